import type { Finding, Severity, StoreReport } from '../session/api';
import type { Localizer } from './localizer';
import { shown } from './safeText';

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
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  parts.push(
    l10n.t(
      'The snapshot store of {0} has {1} and {2}.',
      repository,
      errors === 1 ? l10n.t('1 error') : l10n.t('{0} errors', errors),
      problems.length - errors === 1 ? l10n.t('1 warning') : l10n.t('{0} warnings', problems.length - errors),
    ),
  );
  const repairable = problems.filter((finding) => finding.repairable).length;
  if (repairable > 0) {
    parts.push(l10n.t('{0} can be repaired without guessing.', repairable));
  }
  return parts.join(' ');
}

/** The whole report as a document: plain text, because names in it come from agents. */
export function storeReportText(l10n: Localizer, report: StoreReport): string {
  const paragraphs = [
    [
      l10n.t('Repository: {0}', report.repository),
      l10n.t('Storage: {0}', report.storage),
      l10n.t('Git: {0}', report.git),
    ].join('\n'),
    ...report.repairs.map(({ subject, what }) => [l10n.t('Mended: {0}', subject), `  ${what}`].join('\n')),
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
    ...[finding.message, finding.safe, finding.advice].map((text) => `  ${text}`),
  ].join('\n');
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
