// Mocha's spec output, and beside it the counts in a file, written after every test: a run that is
// cut off has still counted what it did.
import fs from 'node:fs';
import Mocha from 'mocha';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  /** False until the run came to its own end. */
  ended: boolean;
}

/** The extension host's Node hands mocha over as a namespace with a default, other Nodes do not. */
export const MochaClass = (Mocha as unknown as { default?: typeof Mocha }).default ?? Mocha;

export function countResults(runner: Mocha.Runner, file: string | undefined): void {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0, ended: false };
  const write = () => {
    if (file !== undefined) fs.writeFileSync(file, JSON.stringify(counts));
  };
  const count = (what: 'passed' | 'failed' | 'skipped') => () => {
    counts[what]++;
    write();
  };
  runner.on('pass', count('passed'));
  runner.on('fail', count('failed'));
  runner.on('pending', count('skipped'));
  runner.once('end', () => {
    counts.ended = true;
    write();
  });
  write();
}

export class CountingReporter extends MochaClass.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    countResults(runner, process.env['BULKHEAD_RESULTS']);
  }
}
