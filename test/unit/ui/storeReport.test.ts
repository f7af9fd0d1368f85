import assert from 'node:assert/strict';
import type { Finding, StoreReport } from '../../../src/session/api';
import { storeReportText, storeSummary } from '../../../src/ui/storeReport';
import { context } from './fixtures';

const { l10n } = context;

function finding(changes: Partial<Finding> = {}): Finding {
  return {
    severity: 'error',
    code: 'object-missing',
    session: null,
    subject: 'abc',
    message: 'The object abc is missing.',
    safe: 'The others are there.',
    advice: 'Repair it.',
    repairable: true,
    ...changes,
  };
}

function report(changes: Partial<StoreReport> = {}): StoreReport {
  return {
    storage: '/storage',
    repository: '/harbour',
    git: '2.39.5',
    findings: [],
    repairs: [],
    reportFile: null,
    ...changes,
  };
}

describe('the report on a snapshot store', () => {
  it('says that a store is healthy, also when something is worth knowing', () => {
    const expected = 'The snapshot store of harbour is healthy.';
    assert.equal(storeSummary(l10n, 'harbour', report()), expected);
    assert.equal(storeSummary(l10n, 'harbour', report({ findings: [finding({ severity: 'info' })] })), expected);
  });

  it('counts what is wrong and what a repair can mend', () => {
    const findings = [finding(), finding({ repairable: false }), finding({ severity: 'warning' })];
    assert.equal(
      storeSummary(l10n, 'harbour', report({ findings })),
      'The snapshot store of harbour has 2 errors and 1 warning. 2 of 3 can be repaired without guessing.',
    );
  });

  it('names no kind of which there is none', () => {
    const summary = (...findings: Finding[]): string => storeSummary(l10n, 'harbour', report({ findings }));
    assert.equal(
      summary(finding()),
      'The snapshot store of harbour has 1 error. Everything can be repaired without guessing.',
    );
    assert.equal(
      summary(finding({ severity: 'warning', repairable: false }), finding({ severity: 'warning', repairable: false })),
      'The snapshot store of harbour has 2 warnings.',
    );
  });

  it('says what was mended', () => {
    const repairs = [{ code: 'object-missing', subject: 'abc', what: 'Brought back.' }];
    assert.equal(
      storeSummary(l10n, 'harbour', report({ repairs })),
      '1 thing was mended in the snapshot store of harbour. The snapshot store of harbour is healthy.',
    );
  });

  it('tells of each finding what it means, what is safe and what to do', () => {
    const text = storeReportText(l10n, report({ findings: [finding()], reportFile: '/storage/damaged/report.json' }));
    assert.match(
      text,
      /Error: object-missing abc\n {2}The object abc is missing\.\n {2}The others are there\.\n {2}Repair it\./,
    );
    assert.match(text, /noted in \/storage\/damaged\/report\.json/);
    assert.match(storeReportText(l10n, report()), /Nothing was found wanting/);
  });

  it('breaks its lines where an editor would cut them off, and words never', () => {
    const message = `${'word '.repeat(60)}${'x'.repeat(120)} end`;
    const text = storeReportText(l10n, report({ findings: [finding({ message })] }));
    const lines = text.split('\n').filter((line) => line.startsWith('  '));
    assert.deepEqual(
      lines.filter((line) => line.length > 90),
      [`  ${'x'.repeat(120)}`],
    );
    assert.equal(lines.join(' ').replaceAll(/ +/g, ' ').trim(), `${message} The others are there. Repair it.`);
  });
});
