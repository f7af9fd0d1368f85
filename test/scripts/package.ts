// Makes the .vsix in the root of the project. `--no-build` takes dist/ as it is.
import fs from 'node:fs';
import { inRoot, root } from './project.ts';
import { run } from './run.ts';

const limit = 1_000_000;
const echo = (text: string) => process.stdout.write(text);

async function node(...args: string[]): Promise<string> {
  const result = await run(process.execPath, args, { cwd: root, onOutput: echo });
  if (result.code !== 0) {
    console.error(`package: ${args[0] ?? ''} ended with ${result.code ?? result.signal}`);
    process.exit(1);
  }
  return result.output;
}

if (!process.argv.includes('--no-build')) await node('esbuild.mjs', '--production');

const { version } = JSON.parse(fs.readFileSync(inRoot('package.json'), 'utf8')) as {
  version: string;
};
for (const file of fs.globSync('*.vsix', { cwd: root })) fs.rmSync(inRoot(file));
const vsix = `bulkhead-${version}.vsix`;
const vsce = 'node_modules/@vscode/vsce/vsce';
const files = await node(vsce, 'ls', '--no-dependencies');
const unwanted = files.split('\n').filter((file) => /\.map$|^(src|test|node_modules)\//.test(file));
if (unwanted.length > 0) {
  console.error(`package: these files must not be shipped: ${unwanted.join(', ')}`);
  process.exit(1);
}
// The README's picture is shipped beside it: its link stays relative.
await node(
  vsce,
  'package',
  '--no-dependencies',
  '--allow-missing-repository',
  '--no-rewrite-relative-links',
  '--out',
  vsix,
);
const { size } = fs.statSync(inRoot(vsix));
if (size > limit) {
  console.error(`package: ${vsix} has ${size} bytes, more than the ${limit} it may have`);
  process.exit(1);
}
console.log(`${vsix}: ${Math.round(size / 1000)} kB`);
