import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BulkheadError } from '../base/errors';
import { type Oid, zeroOid, type ObjectFormat } from '../core/objectId';
import type { CatFile } from './catFile';
import type { Git } from './git';
import { faultInStderr, GitError } from './gitError';
import { type AnswerParser, GitProcess } from './gitProcess';

/** One move of a ref. The old oid is required: a blind write cannot be expressed. Null means absent; equal ones only check. */
export interface RefMove {
  readonly ref: string;
  readonly from: Oid | null;
  readonly to: Oid | null;
}

export type RefUpdateResult =
  | { readonly kind: 'done' }
  /** Another writer moved a ref first; `actual` is where it stands now. */
  | { readonly kind: 'moved'; readonly ref: string; readonly actual: Oid | null }
  /** Somebody holds git's own lock file of the ref; it may be left over from a killed git. */
  | {
      readonly kind: 'locked';
      readonly ref: string;
      readonly lockFile: string;
      readonly ageMs: number;
      /** A git of ours was killed, and the file was made while its transaction ran. */
      readonly isOurs: boolean;
    };

const CLOCK_STEP_MS = 20;
const DONE = 'start: ok\nprepare: ok\ncommit: ok\n';

const parseDone: AnswerParser<true> = (bytes) => {
  const text = bytes.toString('latin1', 0, DONE.length);
  if (text === DONE) {
    return { value: true, used: DONE.length };
  }
  if (!DONE.startsWith(text)) {
    throw new GitError('git-output-invalid', 'git update-ref gave an unexpected answer', {
      data: { text: text.slice(0, 200) },
    });
  }
  return { need: bytes.length + 1 };
};

/**
 * Moves refs of one repository by compare-and-swap through a warm `update-ref --stdin`, several refs as one transaction.
 * A transaction is never sent again by itself: after a failure its fate is read from the refs.
 */
export class UpdateRef {
  readonly #process: GitProcess;
  readonly #gitDir: string;
  readonly #format: ObjectFormat;
  readonly #reader: CatFile;
  readonly #git: Git;
  /** When a transaction ran whose git was killed: lock files of that time are its. */
  #killed: { readonly from: number; readonly to: number } | undefined;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(git: Git, gitDir: string, format: ObjectFormat, reader: CatFile) {
    this.#git = git;
    this.#gitDir = gitDir;
    this.#format = format;
    this.#reader = reader;
    this.#process = new GitProcess(git, [`--git-dir=${gitDir}`, 'update-ref', '--no-deref', '--stdin'], {
      endsOnFailure: true,
    });
  }

  get pids(): readonly number[] {
    return [this.#process.pid].filter((pid) => pid !== undefined);
  }

  /**
   * All moves or none. One transaction at a time: a failed one ends the child and whatever was queued behind it.
   * @throws GitError `ref-name-clash`, `object-missing`, or a fault of git; BulkheadError of kind `io` for a full disk or missing permission
   */
  move(moves: readonly RefMove[]): Promise<RefUpdateResult> {
    const result = this.#tail.then(() => this.#move(moves));
    this.#tail = result.catch(() => undefined);
    return result;
  }

  async #move(moves: readonly RefMove[]): Promise<RefUpdateResult> {
    const started = this.#git.clock.now();
    const zero = zeroOid(this.#format);
    const commands = moves.map(({ ref, from, to }) => {
      if (from === to) {
        return `verify ${ref} ${from ?? zero}\n`;
      }
      return to === null ? `delete ${ref} ${from ?? zero}\n` : `update ${ref} ${to} ${from ?? zero}\n`;
    });
    try {
      await this.#process.request(`start\n${commands.join('')}prepare\ncommit\n`, parseDone);
      return { kind: 'done' };
    } catch (error) {
      if (!(error instanceof GitError) || error.code !== 'git-process-lost') {
        throw error;
      }
      return this.#explain(moves, error, started);
    }
  }

  /** Facts before messages: where the refs stand tells more than what git printed. */
  async #explain(moves: readonly RefMove[], error: GitError, started: number): Promise<RefUpdateResult> {
    if (typeof error.data['signal'] === 'string') {
      // A git that ends by itself takes its lock files along. The clock of files ticks in steps of some milliseconds.
      this.#killed = { from: started - CLOCK_STEP_MS, to: this.#git.clock.now() + CLOCK_STEP_MS };
    }
    const actual = await Promise.all(moves.map(async ({ ref }) => (await this.#reader.read(ref))?.oid ?? null));
    if (moves.every(({ to }, index) => actual[index] === to)) {
      // The child was lost after the commit.
      return { kind: 'done' };
    }
    const index = moves.findIndex(({ from }, at) => actual[at] !== from);
    const movedRef = moves[index];
    if (movedRef !== undefined) {
      return { kind: 'moved', ref: movedRef.ref, actual: actual[index] ?? null };
    }
    const stderr = typeof error.data['stderr'] === 'string' ? error.data['stderr'] : '';
    switch (faultInStderr(stderr)) {
      case 'no-space':
        throw new BulkheadError(
          'io',
          'io-enospc',
          'The disk is full. Nothing captured so far is lost; free some space and try again.',
          {
            data: { stderr },
            cause: error,
          },
        );
      case 'no-permission':
        throw new BulkheadError(
          'io',
          'io-eacces',
          `The snapshot store cannot be written. Check the permissions of ${this.#gitDir}.`,
          {
            data: { stderr },
            cause: error,
          },
        );
      case 'name-clash':
        throw new GitError('ref-name-clash', `Another ref stands in the way: ${stderr}`, {
          data: { stderr },
          cause: error,
        });
      case 'missing-object':
        throw new GitError('object-missing', `The snapshot store misses an object: ${stderr}`, {
          data: { stderr },
          cause: error,
        });
      case 'locked':
      case undefined:
        break;
    }
    // Removing a ref that is packed takes a lock file of its own.
    for (const ref of [...moves.map((move) => move.ref), 'packed-refs']) {
      const lockFile = join(this.#gitDir, `${ref}.lock`);
      try {
        const { mtimeMs } = await stat(lockFile);
        const isOurs = this.#killed !== undefined && mtimeMs >= this.#killed.from && mtimeMs <= this.#killed.to;
        return { kind: 'locked', ref, lockFile, ageMs: Math.max(0, this.#git.clock.now() - mtimeMs), isOurs };
      } catch {
        // No lock file of this ref; the next one may have one.
      }
    }
    if (faultInStderr(stderr) === 'locked') {
      // It was there when git looked and is gone now: as good as a lost race.
      const [first] = moves;
      return { kind: 'moved', ref: first?.ref ?? '', actual: actual[0] ?? null };
    }
    throw error;
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}
