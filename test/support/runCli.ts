import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from '../scripts/project';
import { cleanEnvironment } from './environment';
import { temporaryFolder } from './temporary';

export interface CliOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Called with the process as soon as it runs. */
  readonly onStart?: (child: ChildProcess) => void;
}

export interface CliRun {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Everything that a failed assertion should show. */
  readonly story: string;
}

let copy: string | undefined;

/** The built command line in a folder of its own: with no node_modules beside it, what is not bundled is missed. */
export function cliFile(): string {
  if (copy === undefined) {
    const built = inRoot('dist', 'cli.js');
    if (!existsSync(built)) {
      throw new Error(`${built} is missing: build first (npm run build).`);
    }
    copy = join(temporaryFolder('cli'), 'cli.js');
    copyFileSync(built, copy);
  }
  return copy;
}

/** Runs `bulkhead` as a process with a clean environment; any exit is a result. */
export function runCli(args: readonly string[], options: CliOptions): Promise<CliRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cliFile(), ...args], {
      cwd: options.cwd,
      env: cleanEnvironment(options.env),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => {
      // The process may end before it has read its input; its exit says why.
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const output = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
      resolve({ code, signal, ...output, story: storyOf(args, options, code ?? signal, output) });
    });
    child.stdin.end();
    options.onStart?.(child);
  });
}

/** Everything that a failed assertion should show. */
export function storyOf(
  args: readonly string[],
  { cwd }: CliOptions,
  end: number | string | null,
  { stdout, stderr }: Pick<CliRun, 'stdout' | 'stderr'>,
): string {
  return `bulkhead ${args.join(' ')} (in ${cwd}) ended with ${String(end)}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`;
}

/** Adds `--json` where it is no argument. */
export function withJson(args: readonly string[]): readonly string[] {
  const end = args.indexOf('--');
  const at = end === -1 ? args.length : end;
  return [...args.slice(0, at), '--json', ...args.slice(at)];
}

/** The one document on stdout of a run with `--json` that has to end with this exit code. */
export function documentOf(run: CliRun, exit = 0): unknown {
  if (run.code !== exit) {
    throw new Error(`Expected exit ${String(exit)}: ${run.story}`);
  }
  try {
    return JSON.parse(run.stdout);
  } catch {
    throw new Error(`Not one JSON document: ${run.story}`);
  }
}
