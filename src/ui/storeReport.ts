import type { Finding, Severity, StoreReport } from '../session/api';
import type { Localizer } from './localizer';
import { shown } from './safeText';

/** An editor beside the side bar shows about so many characters without a scroll. */
const COLUMNS = 90;

/** What a notification says about a check of the store. */
export function storeSummary(l10n: Localizer, repository: string, report: StoreReport): string {
  const problems = report.findings.filter(({ severity }) => severity !== 'info');
  const parts: string[] = [];
  if (report.repairs.length > 0) {
    parts.push(
      report.repairs.length === 1
        ? l10n.t('1 thing was mended in the snapshot store of {0}.', repository)
        : l10n.t('{0} things were mended in the snapshot store of {1}.', report.repairs.length, repository),
    );
  }
  if (problems.length === 0) {
    parts.push(l10n.t('The snapshot store of {0} is healthy.', repository));
    return parts.join(' ');
  }
  parts.push(l10n.t('The snapshot store of {0} has {1}.', repository, countText(l10n, problems)));
  const repairable = problems.filter((finding) => finding.repairable).length;
  if (repairable === problems.length) {
    parts.push(l10n.t('Everything can be repaired without guessing.'));
  } else if (repairable > 0) {
    parts.push(l10n.t('{0} of {1} can be repaired without guessing.', repairable, problems.length));
  }
  return parts.join(' ');
}

function countText(l10n: Localizer, problems: readonly Finding[]): string {
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const warnings = problems.length - errors;
  const errorText = errors === 1 ? l10n.t('1 error') : l10n.t('{0} errors', errors);
  const warningText = warnings === 1 ? l10n.t('1 warning') : l10n.t('{0} warnings', warnings);
  if (errors > 0 && warnings > 0) {
    return l10n.t('{0} and {1}', errorText, warningText);
  }
  return errors > 0 ? errorText : warningText;
}

/** The whole report as a document: plain text, because names in it come from agents. */
export function storeReportText(l10n: Localizer, report: StoreReport): string {
  const paragraphs = [
    [
      l10n.t('Repository: {0}', report.repository),
      l10n.t('Storage: {0}', report.storage),
      l10n.t('Git: {0}', report.git),
    ].join('\n'),
    ...report.repairs.map(({ subject, what }) => [l10n.t('Mended: {0}', subject), ...wrapped(what)].join('\n')),
    ...(report.reportFile === null ? [] : [l10n.t('What was moved is noted in {0}.', report.reportFile)]),
    ...report.findings.map((finding) => findingText(l10n, finding)),
    ...(report.findings.length === 0 ? [l10n.t('Nothing was found wanting.')] : []),
  ];
  return `${shown(paragraphs.join('\n\n'))}\n`;
}

function findingText(l10n: Localizer, finding: Finding): string {
  const about = finding.subject === null ? '' : ` ${finding.subject}`;
  return [
    `${severityText(l10n, finding.severity)}: ${finding.code}${about}`,
    ...[finding.message, finding.safe, finding.advice].flatMap(wrapped),
  ].join('\n');
}

/** Lines of a paragraph, indented; a word that is longer than a line stays whole. */
function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > COLUMNS) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? `  ${word}` : `${line} ${word}`;
  }
  return [...lines, line];
}

function severityText(l10n: Localizer, severity: Severity): string {
  switch (severity) {
    case 'error':
      return l10n.t('Error');
    case 'warning':
      return l10n.t('Warning');
    case 'info':
      return l10n.t('Note');
  }
}
