import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { Deferred } from '../base/async';
import type { Disposable } from '../base/disposable';
import type { Git } from './git';
import type { Environment } from './gitEnvironment';
import { endOfStderr, GitError } from './gitError';
import { ignoreClosedInput } from './ignoreClosedInput';

/**
 * Looks at the bytes that came so far for one answer.
 * Gives the value and how many bytes it took, or how many bytes are needed at least before it is worth looking again.
 */
export type AnswerParser<T> = (
  bytes: Buffer,
) => { readonly value: T; readonly used: number } | { readonly need: number };

interface Pending {
  readonly parse: AnswerParser<unknown>;
  readonly deferred: Deferred<unknown>;
}

/** One child with what was asked of it and what it answered so far. */
interface Run {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<void>;
  pending: Pending[];
  chunks: Buffer[];
  size: number;
  need: number;
  stderr: string;
  /** An answer could not be understood: what follows cannot be told apart from it any more. */
  garbled: boolean;
  /** We asked it to end. */
  stopping: boolean;
}

const LOSSES_PER_MINUTE = 30;

/**
 * One long-lived git that answers requests in the order sent. It starts with the first request and stops by itself
 * when nothing was asked for a while. When the child ends, every request without an answer rejects with
 * `git-process-lost`; the next request starts a new one.
 */
export class GitProcess {
  readonly #git: Git;
  readonly #args: readonly string[];
  readonly #cwd: string | undefined;
  readonly #env: Environment;
  readonly #idleMs: number;
  readonly #endsOnFailure: boolean;
  #run: Run | undefined;
  /** Children that were asked to end and have not ended yet; they still answer what they were asked before. */
  readonly #leaving = new Set<Run>();
  #idle: Disposable | undefined;
  #losses: number[] = [];
  #lastStderr = '';

  /**
   * @param options.endsOnFailure this command ends when a request fails (a lost race, a file that vanished): that is its way
   * to answer, and says nothing about the health of git
   */
  constructor(
    git: Git,
    args: readonly string[],
    options: {
      readonly cwd?: string;
      readonly env?: Environment;
      readonly idleMs?: number;
      readonly endsOnFailure?: boolean;
    } = {},
  ) {
    this.#git = git;
    this.#args = args;
    this.#cwd = options.cwd;
    this.#env = options.env === undefined ? git.environment : { ...git.environment, ...options.env };
    this.#idleMs = options.idleMs ?? 60_000;
    this.#endsOnFailure = options.endsOnFailure ?? false;
  }

  /** Process id of the running child, if any. */
  get pid(): number | undefined {
    return this.#run?.child.pid;
  }

  /**
   * Sends one request and waits for its answer.
   * @throws GitError `git-process-lost` with the exit code and the end of stderr; `git-launch-failed`
   */
  async request<T>(bytes: Buffer | string, parse: AnswerParser<T>): Promise<T> {
    const run = this.#run ?? this.#start();
    this.#idle?.dispose();
    const pending: Pending = { parse, deferred: new Deferred() };
    run.pending.push(pending);
    run.child.stdin.write(bytes);
    return (await pending.deferred.promise) as T;
  }

  #start(): Run {
    const now = this.#git.clock.now();
    this.#losses = this.#losses.filter((time) => now - time < 60_000);
    if (this.#losses.length >= LOSSES_PER_MINUTE) {
      throw new GitError(
        'git-process-lost',
        `git ${this.#args.join(' ')} ended ${String(LOSSES_PER_MINUTE)} times within a minute. ${this.#lastStderr}`,
        {
          data: { args: [...this.#args], stderr: this.#lastStderr },
        },
      );
    }
    const child = spawn(this.#git.path, [...this.#args], {
      cwd: this.#cwd,
      env: this.#env,
      windowsHide: true,
      stdio: 'pipe',
    });
    let launchFault: Error | undefined;
    const ended = new Deferred<null>();
    const run: Run = {
      child,
      ended: ended.promise.then(() => undefined),
      pending: [],
      chunks: [],
      size: 0,
      need: 1,
      stderr: '',
      garbled: false,
      stopping: false,
    };
    this.#run = run;
    ignoreClosedInput(child.stdin);
    child.stdout.on('data', (chunk: Buffer) => {
      this.#receive(run, chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      run.stderr = (run.stderr + chunk.toString('utf8')).slice(-65536);
    });
    child.on('error', (error) => {
      launchFault = error;
    });
    child.on('close', (code, signal) => {
      this.#lost(run, code, signal, launchFault);
      ended.resolve(null);
    });
    return run;
  }

  #receive(run: Run, chunk: Buffer): void {
    if (run.garbled) {
      return;
    }
    run.chunks.push(chunk);
    run.size += chunk.length;
    while (run.size >= run.need && run.size > 0) {
      const [pending] = run.pending;
      if (pending === undefined) {
        // Nobody asked: the answers would be one off from now on.
        this.#discard(run);
        return;
      }
      const bytes = run.chunks.length === 1 ? (run.chunks[0] ?? chunk) : Buffer.concat(run.chunks, run.size);
      let answer: ReturnType<AnswerParser<unknown>>;
      try {
        answer = pending.parse(bytes);
      } catch (error) {
        run.pending.shift();
        this.#discard(run);
        pending.deferred.reject(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      if ('need' in answer) {
        run.chunks = [bytes];
        run.need = Math.max(answer.need, run.size + 1);
        return;
      }
      const rest = bytes.subarray(answer.used);
      run.chunks = rest.length === 0 ? [] : [rest];
      run.size = rest.length;
      run.need = 1;
      run.pending.shift();
      pending.deferred.resolve(answer.value);
    }
    if (run.pending.length === 0 && run === this.#run) {
      this.#rest();
    }
  }

  #discard(run: Run): void {
    run.garbled = true;
    run.child.kill();
    if (this.#run === run) {
      this.#run = undefined;
      this.#leaving.add(run);
    }
  }

  #rest(): void {
    this.#idle?.dispose();
    this.#idle = this.#git.clock.schedule(
      this.#idleMs,
      () => {
        void this.stop();
      },
      { background: true },
    );
  }

  #lost(run: Run, code: number | null, signal: string | null, launchFault: Error | undefined): void {
    this.#leaving.delete(run);
    if (this.#run === run) {
      this.#run = undefined;
      this.#idle?.dispose();
    }
    const stderr = endOfStderr(run.stderr);
    this.#lastStderr = stderr;
    if (!run.stopping && !this.#endsOnFailure) {
      this.#losses.push(this.#git.clock.now());
    }
    const { pending } = run;
    run.pending = [];
    if (pending.length === 0) {
      return;
    }
    const error =
      launchFault === undefined
        ? new GitError(
            'git-process-lost',
            `git ${this.#args.join(' ')} ended (${signal ?? `exit code ${String(code)}`}). ${stderr}`,
            {
              data: { args: [...this.#args], exit: code, signal, stderr },
            },
          )
        : new GitError('git-launch-failed', `git could not be started: ${launchFault.message}`, { cause: launchFault });
    for (const { deferred } of pending) {
      deferred.reject(error);
    }
  }

  /**
   * Closes the child's input and waits until it is gone; kills it after five seconds. What it was asked before is still
   * answered; a request that comes from now on, even before it is gone, goes to a new one.
   */
  async stop(): Promise<void> {
    this.#idle?.dispose();
    const run = this.#run;
    if (run !== undefined) {
      this.#run = undefined;
      run.stopping = true;
      this.#leaving.add(run);
      run.child.stdin.end();
    }
    const leaving = [...this.#leaving];
    if (leaving.length === 0) {
      return;
    }
    const force = this.#git.clock.schedule(5000, () => {
      for (const { child } of leaving) {
        child.kill('SIGKILL');
      }
    });
    await Promise.all(leaving.map(({ ended }) => ended));
    force.dispose();
  }
}
