import { BulkheadError } from '../base/errors';
import { showUnseen } from '../core/visibleText';
import type { Finding, StoreReport } from '../session/api';
import { examineStorage, repairStorage } from '../session/examine';
import { isHealthy } from '../session/findings';
import type { Command } from './command';
import { EXIT_DONE, EXIT_FAILED } from './failure';
import { storeReportJson } from './json';
import { counted, type Style } from './print';

export const doctor: Command = {
  words: ['doctor'],
  usage: '[--repair]',
  summary: 'check the snapshot store and everything that snapshots depend on',
  details: [
    'Exit 0: healthy. Exit 1: problems found; after a repair, problems left.',
    '--repair   mend what can be mended without guessing. Nothing is deleted that might be the only copy of anything:',
    '           damaged files go to damaged/ in the storage, folders that belong to nobody to the trash.',
  ],
  options: ['repair'],
  arguments: { least: 0, most: 0, paths: false },
  async run({ invocation, options }) {
    await invocation.checkUnconfined();
    const report = await reportOf(async () => {
      const where = await invocation.place();
      const host = await invocation.host();
      return options.repair === true
        ? repairStorage(host, where, invocation.signal)
        : examineStorage(host, where, invocation.signal);
    });
    return {
      json: report === null ? null : storeReportJson(report),
      text: (style) =>
        report === null ? 'There is no storage yet: no session was started here.' : reportText(style, report),
      exitCode: report === null || isHealthy(report.findings) ? EXIT_DONE : EXIT_FAILED,
    };
  },
};

/** A git that cannot be used is a finding like any other. */
async function reportOf(work: () => Promise<StoreReport | null>): Promise<StoreReport | null> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BulkheadError) || (error.code !== 'git-not-found' && error.code !== 'git-too-old')) {
      throw error;
    }
    const finding: Finding = {
      severity: 'error',
      code: error.code,
      session: null,
      subject: null,
      message: error.message,
      safe: 'Nothing that is recorded is affected.',
      advice: 'Install or choose another git, then check again.',
      repairable: false,
    };
    return { storage: '', repository: '', git: '', findings: [finding], repairs: [], reportFile: null };
  }
}

function reportText(style: Style, report: StoreReport): string {
  const problems = report.findings.filter(({ severity }) => severity !== 'info');
  const repairable = problems.filter((finding) => finding.repairable).length;
  return [
    ...report.repairs.map(
      ({ subject, what }) => `${style.paint('green', 'mended')} ${showUnseen(subject)}\n  ${showUnseen(what)}`,
    ),
    ...(report.reportFile === null ? [] : [`What was moved is noted in ${showUnseen(report.reportFile)}.`]),
    ...report.findings.map((finding) => findingText(style, finding)),
    problems.length === 0
      ? `The storage at ${showUnseen(report.storage)} is healthy.`
      : `${counted(problems.length, 'problem')}, ${String(repairable)} of which "bulkhead doctor --repair" can mend.`,
  ].join('\n');
}

function findingText(style: Style, { severity, code, subject, session, message, safe, advice }: Finding): string {
  const colour = severity === 'error' ? 'red' : severity === 'warning' ? 'yellow' : 'dim';
  const about = [session === null ? '' : `session ${session}`, subject ?? ''].filter((part) => part !== '').join(' ');
  return [
    `${style.paint(colour, severity)} ${code}${about === '' ? '' : ` ${showUnseen(about)}`}`,
    ...[message, safe, advice].map((text) => `  ${showUnseen(text)}`),
  ].join('\n');
}
