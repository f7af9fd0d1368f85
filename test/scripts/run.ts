// Running a program and never leaving one behind.
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
  /** What it wrote to stdout and stderr, in order of arrival. */
  readonly output: string;
}

export interface RunOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
  readonly onOutput?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** A non-zero exit is a result; only a failure to launch rejects. */
export async function run(command: string, args: readonly string[], options: RunOptions): Promise<Finished> {
  options.signal?.throwIfAborted();
  const child = spawnGroup(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const collect = (chunk: string) => {
    output += chunk;
    options.onOutput?.(chunk);
  };
  child.stdout?.setEncoding('utf8').on('data', collect);
  child.stderr?.setEncoding('utf8').on('data', collect);

  let timedOut = false;
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true;
          void endGroup(child);
        }, options.timeoutMs);
  const abort = () => void endGroup(child);
  options.signal?.addEventListener('abort', abort);
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    return { code, signal, timedOut, output };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
  }
}

const groups = new Set<ChildProcess>();

/** The child leads a process group of its own, which `endGroup` and the end of this process take down. */
export function spawnGroup(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn(command, args, { ...options, detached: process.platform !== 'win32' });
  groups.add(child);
  child.once('close', () => {
    groups.delete(child);
  });
  child.once('error', () => {
    groups.delete(child);
  });
  return child;
}

process.once('exit', () => {
  for (const child of groups) signalGroup(child, 'SIGKILL');
});

/** SIGTERM, then SIGKILL for what is still there. Resolves when nothing of the group is left. */
export async function endGroup(child: ChildProcess, graceMs = 3000): Promise<void> {
  const until = Date.now() + graceMs;
  let sent = signalGroup(child, 'SIGTERM');
  while (sent && Date.now() < until) {
    await delay(20);
    sent = signalGroup(child, 0);
  }
  while (sent) {
    sent = signalGroup(child, 'SIGKILL');
    await delay(20);
  }
}

/** Whether anybody was there to receive it. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals | 0): boolean {
  if (child.pid === undefined) return false;
  if (process.platform === 'win32') {
    return child.exitCode === null && child.signalCode === null && child.kill(signal);
  }
  try {
    process.kill(-child.pid, signal);
    return true;
  } catch (error) {
    // EPERM is what macOS says about a group of zombies.
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ESRCH' || code === 'EPERM') return false;
    throw error;
  }
}

/** Calls back once for the first of the signals that ask for an end. */
export function onEndSignal(callback: (signal: NodeJS.Signals) => void): void {
  let called = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (called) return;
      called = true;
      callback(signal);
    });
  }
}
