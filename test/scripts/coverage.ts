// Line coverage of the unit and engine tests, as text and as coverage/index.html.
import fs from 'node:fs';
import { inRoot, root } from './project.ts';
import { run } from './run.ts';

const echo = (text: string) => process.stdout.write(text);
for (const mode of ['--production', '--tests']) {
  const built = await run(process.execPath, ['esbuild.mjs', mode], { cwd: root, onOutput: echo });
  if (built.code !== 0) process.exit(1);
}
const tests = fs.globSync('out/test/{unit,engine,cli}/**/*.test.js', { cwd: root }).sort();
const result = await run(
  process.execPath,
  [
    inRoot('node_modules/c8/bin/c8.js'),
    '--reporter=text',
    '--reporter=html',
    '--all',
    '--src=src',
    '--include=src/**',
    '--exclude-after-remap',
    process.execPath,
    inRoot('node_modules/mocha/bin/mocha.js'),
    '--no-config',
    '--no-package',
    '--timeout=60000',
    '--reporter=dot',
    ...tests,
  ],
  { cwd: root, onOutput: echo },
);
process.exitCode = result.code ?? 1;
