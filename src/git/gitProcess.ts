import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { Deferred } from '../base/async';
import type { Disposable } from '../base/disposable';
import { requireDescriptors } from './descriptors';
import type { Git } from './git';
import type { Environment } from './gitEnvironment';
import { type BulkheadError, messageOf } from '../base/errors';
import { endOfStderr, GitError, hasPipes, launchError } from './gitError';
import { ignoreClosedInput } from './ignoreClosedInput';

/**
 * Looks at the bytes that came so far for one answer.
 * Gives the value and how many bytes it took, or how many bytes are needed at least before it is worth looking again.
 */
export type AnswerParser<T> = (
  bytes: Buffer,
) => { readonly value: T; readonly used: number } | { readonly need: number };

interface Pending {
  readonly bytes: Buffer | string;
  readonly parse: AnswerParser<unknown>;
  readonly deferred: Deferred<unknown>;
  /** Children that ended while they worked at this. */
  losses: number;
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
  /** It gave at least one answer. */
  useful: boolean;
  /** An answer could not be understood: what follows cannot be told apart from it any more. */
  garbled: boolean;
  /** We asked it to end. */
  stopping: boolean;
  /** Runs while an answer is due. */
  silence: Disposable | undefined;
  /** It was ended because no answer came. */
  silent: boolean;
}

/** A request that made git exit so often is taken for the reason: the same bytes lead to the same exit. */
const EXITS = 2;
/** So often a request is sent again when git was killed, which says nothing about the request. */
const KILLS = 8;
/** So many children in a row that ended before their first answer: git does not work here. */
const USELESS = 8;
/** A child that owes an answer and has said nothing for so long is stuck: it would keep everybody waiting for ever. */
const SILENCE_MS = 60_000;
/** Asked once more: where the computer slept, the time was over before the answer could be read. */
export const SILENCES = 2;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1000;
/** A child that was asked to end has so long for it. */
const KILL_AFTER_MS = 5000;

/**
 * One long-lived git that answers requests in the order sent. It starts with the first request and stops by itself
 * when nothing was asked for a while. When the child ends unasked, a new one takes over: at once after one that did some
 * work, after a growing pause when it ended before its first answer.
 */
export class GitProcess {
  readonly #git: Git;
  readonly #args: readonly string[];
  readonly #cwd: string | undefined;
  readonly #env: Environment;
  readonly #idleMs: number;
  readonly #endsOnFailure: boolean;
  readonly #repeats: boolean;
  readonly #silenceMs: number;
  #run: Run | undefined;
  /** Children that were asked to end and have not ended yet; they still answer what they were asked before. */
  readonly #leaving = new Set<Run>();
  #idle: Disposable | undefined;
  /** Children in a row that ended unasked before their first answer. */
  #useless = 0;
  /** No child is started while it lasts. A length of time and no moment: a clock that jumps cannot make it longer. */
  #pause: Disposable | undefined;
  /** What was asked while there was no child. */
  #waiting: Pending[] = [];

  /**
   * @param options.endsOnFailure this command exits when a request fails (a lost race, a file that vanished): that is its way
   * to answer, and says nothing about the health of git
   * @param options.repeats asking twice does no harm: what was not answered by a child that was lost is asked again, a bounded
   * number of times. Without it every loss is told to whoever asked.
   * @param options.silenceMs a child that owes an answer and writes nothing for so long is ended; at the second time its request
   * fails; 60 s
   */
  constructor(
    git: Git,
    args: readonly string[],
    options: {
      readonly cwd?: string;
      readonly env?: Environment;
      readonly idleMs?: number;
      readonly endsOnFailure?: boolean;
      readonly repeats?: boolean;
      readonly silenceMs?: number;
    } = {},
  ) {
    this.#git = git;
    this.#args = args;
    this.#cwd = options.cwd;
    this.#env = options.env === undefined ? git.environment : { ...git.environment, ...options.env };
    this.#idleMs = options.idleMs ?? 60_000;
    this.#endsOnFailure = options.endsOnFailure ?? false;
    this.#repeats = options.repeats ?? false;
    this.#silenceMs = options.silenceMs ?? SILENCE_MS;
  }

  /** Process id of the running child, if any. */
  get pid(): number | undefined {
    return this.#run?.child.pid;
  }

  /**
   * Sends one request and waits for its answer.
   * @throws GitError `git-process-lost` with arguments, exit code or signal, the end of stderr, and whether it was ended because
   * it was silent; BulkheadError when git cannot be started
   */
  async request<T>(bytes: Buffer | string, parse: AnswerParser<T>): Promise<T> {
    const pending: Pending = { bytes, parse, deferred: new Deferred(), losses: 0 };
    this.#send(pending);
    return (await pending.deferred.promise) as T;
  }

  /** Starts the child that the next request needs, while the caller still has something else to do. */
  warm(): void {
    if (this.#run !== undefined || this.#pause !== undefined) {
      return;
    }
    try {
      this.#start();
      this.#rest();
    } catch (error) {
      // The request itself tells.
      this.#git.log.debug(`git ${this.#args.join(' ')} was not started: ${messageOf(error)}`);
    }
  }

  #send(pending: Pending): void {
    if (this.#pause !== undefined) {
      this.#waiting.push(pending);
      return;
    }
    let run: Run;
    try {
      run = this.#run ?? this.#start();
    } catch (error) {
      pending.deferred.reject(launchError(error, this.#git.path, this.#cwd));
      return;
    }
    this.#idle?.dispose();
    run.pending.push(pending);
    if (run.pending.length === 1) {
      this.#listen(run);
    }
    if (hasPipes(run.child)) {
      run.child.stdin.write(pending.bytes);
    }
  }

  #start(): Run {
    requireDescriptors();
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
      useful: false,
      garbled: false,
      stopping: false,
      silence: undefined,
      silent: false,
    };
    this.#run = run;
    const end = (code: number | null, signal: string | null): void => {
      this.#lost(run, code, signal, launchFault);
      ended.resolve(null);
    };
    child.on('error', (error) => {
      launchFault = error;
      if (!hasPipes(child)) {
        end(null, null);
      }
    });
    if (!hasPipes(child)) {
      return run;
    }
    ignoreClosedInput(child.stdin);
    child.stdout.on('data', (chunk: Buffer) => {
      this.#receive(run, chunk);
      this.#listen(run);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      run.stderr = (run.stderr + chunk.toString('utf8')).slice(-65536);
    });
    child.on('close', end);
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
      run.useful = true;
      this.#useless = 0;
      pending.deferred.resolve(answer.value);
    }
    if (run.pending.length === 0 && run === this.#run) {
      this.#rest();
    }
  }

  /** From now on a child that owes an answer has its time again. */
  #listen(run: Run): void {
    run.silence?.dispose();
    if (run.pending.length === 0) {
      run.silence = undefined;
      return;
    }
    run.silence = this.#git.clock.schedule(
      this.#silenceMs,
      () => {
        run.silent = true;
        // Asked first: a transaction that can still hear it takes its lock files away.
        run.child.kill();
        run.silence = this.#git.clock.schedule(KILL_AFTER_MS, () => run.child.kill('SIGKILL'), { background: true });
      },
      { background: true },
    );
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
    run.silence?.dispose();
    if (this.#run === run) {
      this.#run = undefined;
      this.#idle?.dispose();
    }
    const isAnswer = this.#endsOnFailure && code !== null && launchFault === undefined;
    if (!run.useful && !run.stopping && !run.garbled && !isAnswer) {
      this.#useless++;
    }
    const lost = run.pending;
    run.pending = [];
    if (launchFault !== undefined) {
      this.#rejectAll(lost, launchError(launchFault, this.#git.path, this.#cwd));
    } else if (!this.#repeats) {
      for (const { deferred } of lost.splice(0)) {
        deferred.reject(this.#lossError(run, code, signal));
      }
    } else if (this.#useless >= USELESS) {
      this.#rejectAll(lost, this.#lossError(run, code, signal));
    } else {
      this.#blameFirst(lost, run, code, signal);
    }
    if (this.#useless > 0) {
      this.#waiting.unshift(...lost);
      this.#takeBreath();
    } else {
      for (const pending of lost) {
        this.#send(pending);
      }
    }
  }

  /** Git answers in order, so it was at work on the first one; the others are not to blame. */
  #blameFirst(lost: Pending[], run: Run, code: number | null, signal: string | null): void {
    const [first] = lost;
    if (first === undefined || run.garbled) {
      return;
    }
    first.losses++;
    const limit = run.silent ? SILENCES : code === null ? KILLS : this.#endsOnFailure ? 1 : EXITS;
    if (first.losses >= limit) {
      lost.shift();
      first.deferred.reject(this.#lossError(run, code, signal));
    }
  }

  /** Also what waits for the next child: that one would not fare better, and nobody is to wait for ever. */
  #rejectAll(lost: Pending[], error: BulkheadError): void {
    for (const { deferred } of [...lost.splice(0), ...this.#waiting.splice(0)]) {
      deferred.reject(error);
    }
  }

  #lossError(run: Run, code: number | null, signal: string | null): GitError {
    const stderr = endOfStderr(run.stderr);
    const how = run.silent
      ? `it gave no answer for ${String(this.#silenceMs / 1000)} s`
      : (signal ?? `exit code ${String(code)}`);
    const often = this.#useless > 1 ? `, for the ${String(this.#useless)}th time in a row before it answered` : '';
    return new GitError('git-process-lost', `git ${this.#args.join(' ')} ended (${how}${often}). ${stderr}`.trim(), {
      data: { args: [...this.#args], exit: code, signal, stderr, silent: run.silent },
    });
  }

  #takeBreath(): void {
    this.#pause?.dispose();
    const ms = Math.min(FIRST_PAUSE_MS * 2 ** (this.#useless - 1), LONGEST_PAUSE_MS);
    this.#pause = this.#git.clock.schedule(ms, () => {
      this.#pause = undefined;
      for (const pending of this.#waiting.splice(0)) {
        this.#send(pending);
      }
    });
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
    const force = this.#git.clock.schedule(KILL_AFTER_MS, () => {
      for (const { child } of leaving) {
        child.kill('SIGKILL');
      }
    });
    await Promise.all(leaving.map(({ ended }) => ended));
    force.dispose();
  }
}
