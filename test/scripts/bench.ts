// Builds everything and runs test/bench/main.ts with the given arguments.
import { inRoot, root } from './project.ts';
import { endGroup, onEndSignal, run, spawnGroup } from './run.ts';

for (const mode of ['--production', '--tests']) {
  const { code, output } = await run(process.execPath, ['esbuild.mjs', mode], { cwd: root });
  if (code !== 0) {
    console.error(output);
    process.exit(1);
  }
}
const child = spawnGroup(
  process.execPath,
  ['--enable-source-maps', inRoot('out/test/bench/main.js'), ...process.argv.slice(2)],
  { cwd: root, stdio: 'inherit' },
);
onEndSignal(() => {
  process.exitCode = 130;
  void endGroup(child);
});
child.once('close', (code) => {
  process.exitCode ??= code ?? 1;
});
