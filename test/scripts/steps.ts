// The steps of `npm run check` and `npm test`, and how they are run: two at a time, one line each,
// counted from what the runners say.
import fs from 'node:fs';
import { ensureHost } from '../host/install.ts';
import type { Counts } from './countingReporter.ts';
import { inRoot, root } from './project.ts';
import { onEndSignal, run } from './run.ts';

interface StepResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly output: string;
  /** What the step wants to say when all is well. */
  readonly remark?: string;
}

interface Context {
  readonly signal: AbortSignal;
  readonly grep: string | undefined;
}

export interface Step {
  readonly name: string;
  /** Names of steps that must have passed before. */
  readonly needs?: readonly string[];
  /** Nothing else runs at the same time: it waits for what happens within moments, and a whole browser wants both cores. */
  readonly alone?: boolean;
  readonly run: (context: Context) => Promise<StepResult>;
}

const one = (ok: boolean, output: string): StepResult => ({
  passed: ok ? 1 : 0,
  failed: ok ? 0 : 1,
  skipped: 0,
  output,
});

/** Output is shown indented and read by people and programs: no colours, whatever the terminal wants. */
function plain(added: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { FORCE_COLOR: _, ...rest } = process.env;
  // Hundreds of short processes run the same code: it is compiled once.
  return { ...rest, NODE_COMPILE_CACHE: inRoot('out', 'compile-cache'), ...added, NO_COLOR: '1' };
}

/** A program that says everything by its exit code counts as one test. */
function tool(name: string, args: readonly string[], more: Partial<Step> = {}): Step {
  return {
    ...more,
    name,
    run: async ({ signal }) => {
      const result = await run(process.execPath, args, {
        cwd: root,
        env: plain(),
        timeoutMs: 5 * 60_000,
        signal,
      });
      const late = result.timedOut ? `\n${name} did not end within 5 minutes.\n` : '';
      return one(result.code === 0, result.output + late);
    },
  };
}

interface CountedOptions {
  readonly timeoutMs: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs something that uses the counting reporter. */
async function counted(
  name: string,
  args: readonly string[],
  context: Context,
  options: CountedOptions,
): Promise<StepResult> {
  fs.mkdirSync(inRoot('out/results'), { recursive: true });
  const file = inRoot('out/results', `${name.replaceAll(/\W+/g, '-')}.json`);
  fs.rmSync(file, { force: true });
  const result = await run(process.execPath, args, {
    cwd: root,
    env: plain({ ...options.env, BULKHEAD_RESULTS: file }),
    timeoutMs: options.timeoutMs,
    signal: context.signal,
  });
  const counts: Counts = fs.existsSync(file)
    ? (JSON.parse(fs.readFileSync(file, 'utf8')) as Counts)
    : { passed: 0, failed: 0, skipped: 0, ended: false };
  const problems: string[] = [];
  if (result.timedOut) {
    const when = counts.ended ? 'after its last test: something keeps the process alive' : '';
    problems.push(`did not end within ${options.timeoutMs / 1000} s ${when}`);
  } else if (!counts.ended) {
    problems.push(`ended early (${result.code ?? result.signal})`);
  } else if (result.code !== 0 && counts.failed === 0) {
    problems.push(`ended with ${result.code ?? result.signal} although no test failed`);
  }
  if (counts.ended && counts.passed + counts.failed === 0) problems.push('ran no test at all');
  return {
    ...counts,
    failed: counts.failed + problems.length,
    output: [result.output, ...problems.map((problem) => `${name} ${problem}.`)].join('\n'),
  };
}

interface MochaOptions {
  readonly needs?: readonly string[];
  readonly alone?: boolean;
  /** For one test. */
  readonly testTimeoutMs?: number;
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** What Node is given to run test files. */
export function mochaArguments(files: readonly string[], testTimeoutMs: number, grep?: string): string[] {
  return [
    '--enable-source-maps',
    // What short-lived objects go through is written all over between two starts of git, and each start has it copied.
    '--max-semi-space-size=1',
    inRoot('node_modules/mocha/bin/mocha.js'),
    '--no-config',
    '--no-package',
    '--forbid-only',
    '--no-color',
    '--timeout',
    String(testTimeoutMs),
    '--reporter',
    inRoot('test/scripts/reporter.cjs'),
    ...(grep === undefined ? [] : ['--grep', grep]),
    ...files,
  ];
}

function mocha(name: string, patterns: readonly string[], options: MochaOptions = {}): Step {
  return {
    name,
    needs: ['build tests', ...(options.needs ?? [])],
    alone: options.alone ?? false,
    run: async (context) => {
      const files = fs.globSync(patterns, { cwd: root }).sort();
      if (files.length === 0) return one(false, `There are no tests in ${patterns.join(', ')}.`);
      const args = mochaArguments(files, options.testTimeoutMs ?? 20_000, context.grep);
      return counted(name, args, context, {
        timeoutMs: options.timeoutMs ?? 4 * 60_000,
        ...(options.env === undefined ? {} : { env: options.env }),
      });
    },
  };
}

// By content and options, so that a stale entry cannot hide anything.
const prettierCache = ['--cache', '--cache-strategy', 'content', '--cache-location', 'out/prettier-cache'];
const prettier = tool('format', [
  'node_modules/prettier/bin/prettier.cjs',
  '--check',
  '--log-level',
  'warn',
  ...prettierCache,
  '.',
]);
// The native compiler, for its speed; the package `typescript` is what dependency-cruiser parses with.
const types = tool('types', ['node_modules/typescript-native/bin/tsc', '--pretty', 'false']);
const lint = tool('lint', ['node_modules/oxlint/bin/oxlint']);
const layers = tool('layers', [
  'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs',
  '--config',
  '.dependency-cruiser.cjs',
  'src',
  'test',
]);
const deadCode = tool('dead code', ['node_modules/knip/bin/knip.js', '--no-progress']);
const build = tool('build', ['esbuild.mjs', '--production']);
const buildTests = tool('build tests', ['esbuild.mjs', '--tests']);
const manifest = mocha('manifest', ['out/test/lint/manifest.test.js']);
const unit = mocha('unit', ['out/test/unit/**/*.test.js']);

export const checkSteps: readonly Step[] = [lint, buildTests, prettier, types, unit, layers, deadCode, manifest];

const host: Step = {
  name: 'VS Code host',
  run: async () => {
    const lines: string[] = [];
    try {
      await ensureHost((line) => {
        lines.push(line);
        console.log(`  ${line}`);
      });
      return one(true, lines.join('\n'));
    } catch (error) {
      return one(false, [...lines, String(error)].join('\n'));
    }
  },
};

const hostSuite: Step = {
  name: 'host suite',
  needs: ['build', 'build tests', 'VS Code host'],
  alone: true,
  run: async (context) => {
    const result = await counted(
      'host suite',
      ['--disable-warning=MODULE_TYPELESS_PACKAGE_JSON', 'test/scripts/hostSuite.ts'],
      context,
      {
        timeoutMs: 5 * 60_000,
        env: context.grep === undefined ? {} : { BULKHEAD_GREP: context.grep },
      },
    );
    const which = /^Running in (.*)$/m.exec(result.output)?.[1];
    return which === undefined ? result : { ...result, remark: `in ${which}` };
  },
};

const ATTACKS = ['hostile*', 'sharedObjects'];
const FAULTS = ['damage*', 'doctor', 'faults*', 'kill', 'maintenance', 'manyWriters', 'recovery'];
const KINDS = ['kinds*', 'randomEdits'];

/** A part of the tests of the engine: real git, real processes, on machines that may be busy. */
function engine(name: string, pattern: string): Step {
  return mocha(name, [`out/test/engine/${pattern}`], {
    needs: ['build'],
    testTimeoutMs: 60_000,
    timeoutMs: 15 * 60_000,
  });
}

const packaged = tool(
  'package',
  ['--disable-warning=MODULE_TYPELESS_PACKAGE_JSON', 'test/scripts/package.ts', '--no-build'],
  { needs: ['build'] },
);
const workbench = mocha('workbench', ['out/test/ui/**/*.test.js'], {
  needs: ['build', 'package', 'VS Code host'],
  alone: true,
  testTimeoutMs: 120_000,
  timeoutMs: 8 * 60_000,
});

export const testSteps: readonly Step[] = [
  prettier,
  types,
  lint,
  host,
  build,
  buildTests,
  // Then the longest first, and in parts, so that both cores have something to do until the end.
  engine('faults', `{${FAULTS.join(',')}}.test.js`),
  mocha('command line', ['out/test/cli/**/*.test.js'], { needs: ['build'], timeoutMs: 8 * 60_000 }),
  engine('engine', `!(${[...ATTACKS, ...FAULTS, ...KINDS].join('|')}).test.js`),
  engine('attacks', `{${ATTACKS.join(',')}}.test.js`),
  engine('kinds', `{${KINDS.join(',')}}.test.js`),
  unit,
  mocha('rules', ['out/test/lint/{layers,lint}.test.js'], { testTimeoutMs: 60_000 }),
  packaged,
  layers,
  deadCode,
  manifest,
  hostSuite,
  workbench,
];

interface Total {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Runs those steps whose names contain one of `only`, with what they need. */
export async function runSteps(all: readonly Step[], argv: readonly string[]): Promise<Total> {
  const options = readOptions(argv);
  const steps = choose(all, options.only);
  const abort = new AbortController();
  onEndSignal((signal) => {
    console.log(`\n${signal}: stopping what runs …`);
    abort.abort();
    process.exitCode = 130;
  });
  const context: Context = { signal: abort.signal, grep: options.grep };
  const total = { passed: 0, failed: 0, skipped: 0 };
  const waiting = [...steps];
  const passed = new Set<string>();
  const ended = new Set<string>();
  const running = new Map<Step, Promise<void>>();
  const width = Math.max(...steps.map((step) => step.name.length));

  const finish = (step: Step, result: StepResult, seconds: number) => {
    total.passed += result.passed;
    total.failed += result.failed;
    total.skipped += result.skipped;
    ended.add(step.name);
    const ok = result.failed === 0;
    if (ok) passed.add(step.name);
    const counts = `${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped`;
    const few = result.passed + result.failed + result.skipped === 1;
    console.log(
      `${ok ? 'ok  ' : 'FAIL'} ${step.name.padEnd(width)} ${seconds.toFixed(1).padStart(6)} s` +
        (few ? '' : `   ${counts}`) +
        (result.remark === undefined ? '' : `   ${result.remark}`),
    );
    if (!ok || options.verbose) console.log(indent(result.output));
  };
  const start = async (step: Step) => {
    const started = Date.now();
    const missing = (step.needs ?? []).filter((name) => !passed.has(name));
    let result: StepResult;
    if (missing.length > 0) {
      result = one(false, `Not run, because of: ${missing.join(', ')}.`);
    } else {
      try {
        result = await step.run(context);
      } catch (error) {
        result = one(false, error instanceof Error ? (error.stack ?? error.message) : String(error));
      }
    }
    finish(step, result, (Date.now() - started) / 1000);
    running.delete(step);
  };
  const mayStart = (step: Step) =>
    (step.needs ?? []).every((name) => ended.has(name)) &&
    (step.alone === true ? running.size === 0 : running.size < 2) &&
    ![...running.keys()].some((other) => other.alone === true);

  while (waiting.length > 0 || running.size > 0) {
    if (abort.signal.aborted) waiting.length = 0;
    let next = waiting.findIndex(mayStart);
    while (next >= 0) {
      const [step] = waiting.splice(next, 1);
      // Entered before it runs: `start` may end at once.
      if (step !== undefined)
        running.set(
          step,
          Promise.resolve().then(() => start(step)),
        );
      next = waiting.findIndex(mayStart);
    }
    await Promise.race(running.values());
  }
  if (total.passed + total.failed === 0) {
    console.log('Nothing ran.');
    process.exitCode ??= 1;
  } else if (total.failed > 0) {
    process.exitCode ??= 1;
  }
  return total;
}

function choose(all: readonly Step[], only: readonly string[]): readonly Step[] {
  if (only.length === 0) return all;
  const chosen = new Set<string>();
  const add = (step: Step) => {
    chosen.add(step.name);
    for (const name of step.needs ?? []) {
      const needed = all.find((other) => other.name === name);
      if (needed !== undefined) add(needed);
    }
  };
  for (const word of only) {
    const found = all.filter(({ name }) => name.includes(word));
    if (found.length === 0) {
      throw new Error(`No step is called "${word}". Steps: ${all.map(({ name }) => name).join(', ')}`);
    }
    found.forEach(add);
  }
  return all.filter(({ name }) => chosen.has(name));
}

interface Options {
  readonly only: readonly string[];
  readonly grep: string | undefined;
  readonly verbose: boolean;
}

function readOptions(argv: readonly string[]): Options {
  const only: string[] = [];
  let grep = process.env['GREP'];
  let verbose = false;
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? '';
    const [name = '', inline] = argument.split(/=(.*)/s);
    const value = () => {
      const given = inline ?? argv[++index];
      if (given === undefined) throw new Error(`${name} wants a value`);
      return given;
    };
    if (name === '--only') only.push(...value().split(','));
    else if (name === '--grep') grep = value();
    else if (name === '--verbose') verbose = true;
    else throw new Error(`Unknown option ${argument}. Known: --only STEP[,STEP], --grep TEXT, --verbose`);
  }
  return { only, grep, verbose };
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `     ${line}`)
    .join('\n');
}

/** The script's whole life: options, steps, and the line that everybody reads. */
export async function main(steps: readonly Step[]): Promise<void> {
  const started = Date.now();
  try {
    const total = await runSteps(steps, process.argv.slice(2));
    console.log(`\nIn ${((Date.now() - started) / 1000).toFixed(1)} s`);
    console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  }
}
