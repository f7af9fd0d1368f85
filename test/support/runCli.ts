import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from '../scripts/project';
import { cleanEnvironment } from './environment';
import { temporaryFolder } from './temporary';

export interface CliOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
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
      const out = Buffer.concat(stdout).toString();
      const err = Buffer.concat(stderr).toString();
      resolve({
        code,
        signal,
        stdout: out,
        stderr: err,
        story: `bulkhead ${args.join(' ')} (in ${options.cwd}) ended with ${String(code ?? signal)}\n--- stdout\n${out}\n--- stderr\n${err}`,
      });
    });
    child.stdin.end(options.input ?? '');
    options.onStart?.(child);
  });
}

/** Runs with `--json`, expects this exit code, and gives the one document on stdout. */
export async function cliJson<T = unknown>(
  args: readonly string[],
  options: CliOptions & { readonly exit?: number },
): Promise<T> {
  const end = args.indexOf('--');
  const at = end === -1 ? args.length : end;
  const run = await runCli([...args.slice(0, at), '--json', ...args.slice(at)], options);
  if (run.code !== (options.exit ?? 0)) {
    throw new Error(`Expected exit ${String(options.exit ?? 0)}: ${run.story}`);
  }
  try {
    return JSON.parse(run.stdout) as T;
  } catch {
    throw new Error(`Not one JSON document: ${run.story}`);
  }
}
