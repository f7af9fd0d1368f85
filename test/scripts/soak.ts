// Runs every test that makes random choices at its large size, with one seed after the other, and stops at the first failure.
//
//   npm run soak [-- --minutes M] [--seed S] [--only WORD]
import fs from 'node:fs';
import path from 'node:path';
import { inRoot, root } from './project.ts';
import { onEndSignal, run } from './run.ts';
import { mochaArguments } from './steps.ts';

interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly only: string;
}

/** One test has this long at its large size. */
const TEST_TIMEOUT_MS = 60 * 60_000;

function readOptions(argv: readonly string[]): Options {
  const options = { minutes: 60, seed: Date.now() % 1_000_000, only: '' };
  for (let index = 0; index < argv.length; index += 2) {
    const [name, value] = [argv[index] ?? '', argv[index + 1]];
    if (value === undefined) throw new Error(`${name} wants a value`);
    if (name === '--only') options.only = value;
    else if (name === '--minutes' || name === '--seed') {
      const number = Number(value);
      if (!Number.isFinite(number) || number < 0) throw new Error(`${name} wants a number, not ${value}`);
      options[name === '--minutes' ? 'minutes' : 'seed'] = number;
    } else throw new Error(`Unknown option ${name}. Known: --minutes M, --seed S, --only WORD`);
  }
  return options;
}

/** The test files whose size or choices come from `test/support/soak.ts`, by themselves or through the helper of the core's tests. */
function suites(only: string): string[] {
  return fs
    .globSync('test/{unit,engine,cli}/**/*.test.ts', { cwd: root })
    .filter((file) => /support\/soak'|\.\/seeded'/.test(fs.readFileSync(inRoot(file), 'utf8')))
    .filter((file) => file.includes(only))
    .sort();
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  const abort = new AbortController();
  const isStopped = () => abort.signal.aborted;
  onEndSignal(() => {
    abort.abort();
    process.exitCode = 130;
  });
  const files = suites(options.only);
  if (files.length === 0) throw new Error(`No test that makes random choices has "${options.only}" in its name.`);
  console.log(`Building, then ${files.length} suites for ${options.minutes} minutes`);
  for (const mode of ['--production', '--tests']) {
    const { code, output } = await run(process.execPath, ['esbuild.mjs', mode], { cwd: root, signal: abort.signal });
    if (code !== 0) throw new Error(output);
  }
  const end = performance.now() + options.minutes * 60_000;
  let rounds = 0;
  for (let seed = options.seed; ; seed++) {
    for (const file of files) {
      // At least one round of everything: a run of no minutes is a short one.
      if (isStopped() || (rounds > 0 && performance.now() >= end)) {
        console.log(`${rounds} whole rounds, no failure`);
        return;
      }
      const started = performance.now();
      const built = inRoot('out', file.replace(/\.ts$/, '.js'));
      const { code, output } = await run(process.execPath, mochaArguments([built], TEST_TIMEOUT_MS), {
        cwd: root,
        env: { ...process.env, NO_COLOR: '1', BULKHEAD_SOAK: '1', BULKHEAD_SEED: String(seed) },
        signal: abort.signal,
      });
      if (isStopped()) return;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      console.log(`${code === 0 ? 'ok  ' : 'FAIL'} seed ${seed} ${seconds.padStart(7)} s   ${file}`);
      if (code !== 0) {
        console.log(output);
        console.log(
          `Repeat it with: npm run soak -- --minutes 0 --seed ${seed} --only ${path.basename(file, '.test.ts')}`,
        );
        process.exitCode = 1;
        return;
      }
    }
    rounds++;
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
