// What the extension host calls: runs every test beside this file. The console of the host is mixed
// with the workbench's, so mocha's output goes into a file that the runner follows.
import fs from 'node:fs';
import path from 'node:path';
import { format } from 'node:util';
import { countResults, MochaClass } from '../../scripts/countingReporter';

export async function run(): Promise<void> {
  const output = process.env['BULKHEAD_SUITE_OUTPUT'];
  if (output !== undefined) {
    MochaClass.reporters.Base.consoleLog = (...parts: unknown[]) => {
      fs.appendFileSync(output, `${format(...parts)}\n`);
    };
  }
  const grep = process.env['BULKHEAD_GREP'];
  const mocha = new MochaClass({
    ui: 'bdd',
    reporter: 'spec',
    timeout: 30_000,
    color: false,
    forbidOnly: process.env['CI'] !== undefined,
    ...(grep === undefined ? {} : { grep }),
  });
  for (const file of fs.readdirSync(__dirname).sort()) {
    if (file.endsWith('.test.js')) mocha.addFile(path.join(__dirname, file));
  }
  const failures = await new Promise<number>((resolve) => {
    countResults(mocha.run(resolve), process.env['BULKHEAD_RESULTS']);
  });
  if (failures > 0) throw new Error(`${failures} of the suite's tests failed`);
}
