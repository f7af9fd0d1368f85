import { randomBytes } from 'node:crypto';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BulkheadError, ioError } from '../base/errors';
import { type Oid, zeroOid, type ObjectFormat } from '../core/objectId';
import type { CatFile } from './catFile';
import type { Git } from './git';
import { diskError, faultInStderr, GitError } from './gitError';
import { type AnswerParser, GitProcess, SILENCES } from './gitProcess';
import { lockFileOf, removeLeftLocks } from './leftLocks';

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
  | { readonly kind: 'locked'; readonly ref: string; readonly lockFile: string; readonly ageMs: number };

/** So often a transaction is carried out anew whose git was killed before it did anything. */
const KILLED_TRIES = 8;

const LOCK_FILE = /Unable to create '(.*\.lock)': File exists/;

const DONE = 'start: ok\nprepare: ok\ncommit: ok\n';

/** Waits for the whole answer to one transaction. */
export const parseDone: AnswerParser<true> = (bytes) => {
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
 * A transaction is never sent again blindly: after a failure its fate is read from the refs, and only one that is known to
 * have done nothing, because its git was killed, is carried out again.
 */
export class UpdateRef {
  readonly #process: GitProcess;
  readonly #gitDir: string;
  readonly #format: ObjectFormat;
  readonly #reader: CatFile;
  readonly #git: Git;
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
    const zero = zeroOid(this.#format);
    const commands = moves.map(({ ref, from, to }) => {
      if (from === to) {
        return `verify ${ref} ${from ?? zero}\n`;
      }
      return to === null ? `delete ${ref} ${from ?? zero}\n` : `update ${ref} ${to} ${from ?? zero}\n`;
    });
    const request = `start\n${commands.join('')}prepare\ncommit\n`;
    for (let attempt = 1; ; attempt++) {
      const sent = this.#git.clock.now();
      try {
        await this.#process.request(request, parseDone);
        return { kind: 'done' };
      } catch (error) {
        if (!(error instanceof GitError) || error.code !== 'git-process-lost') {
          throw error;
        }
        if (typeof error.data['signal'] !== 'string') {
          return await this.#explain(moves, error);
        }
        // Somebody killed it. Its fate is in the refs, and its lock files would stop everybody.
        await removeLeftLocks(this.#git, this.#gitDir, moves, sent);
        const fate = await this.#fate(moves);
        if (fate !== 'untouched') {
          return fate;
        }
        if (attempt >= (error.data['silent'] === true ? SILENCES : KILLED_TRIES)) {
          throw error;
        }
        // It is gone and did nothing, so this is the first time that anybody can carry it out.
      }
    }
  }

  /** Where the refs stand after a child that was killed. */
  async #fate(moves: readonly RefMove[]): Promise<RefUpdateResult | 'untouched'> {
    const actual = await this.#read(moves);
    let isDone = true;
    for (const [index, { from, to }] of moves.entries()) {
      const now = actual[index] ?? null;
      // Another writer may have built on it already.
      isDone &&= now === to || from === to || (to !== null && now !== null && (await this.#isAncestor(to, now)));
    }
    return isDone && moves.some(({ from, to }) => from !== to)
      ? { kind: 'done' }
      : (firstMoved(moves, actual) ?? 'untouched');
  }

  #read(moves: readonly RefMove[]): Promise<(Oid | null)[]> {
    return Promise.all(moves.map(async ({ ref }) => (await this.#reader.read(ref))?.oid ?? null));
  }

  async #isAncestor(old: Oid, now: Oid): Promise<boolean> {
    const args = [`--git-dir=${this.#gitDir}`, 'merge-base', '--is-ancestor', old, now];
    // 128: one of them is no commit.
    return (await this.#git.run(args, { expect: [0, 1, 128] })).code === 0;
  }

  /** Facts before messages: where the refs stand tells more than what git printed. */
  async #explain(moves: readonly RefMove[], error: GitError): Promise<RefUpdateResult> {
    const actual = await this.#read(moves);
    if (moves.every(({ to }, index) => actual[index] === to)) {
      // It was lost after the commit.
      return { kind: 'done' };
    }
    const moved = firstMoved(moves, actual);
    if (moved !== undefined) {
      return moved;
    }
    const stderr = typeof error.data['stderr'] === 'string' ? error.data['stderr'] : '';
    const fault = faultInStderr(stderr);
    const [first] = moves;
    switch (fault) {
      case 'no-space':
        throw (await diskError(stderr, this.#gitDir, error)) ?? error;
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
    const files = moves.map(({ ref }) => ({ ref, lockFile: lockFileOf(this.#gitDir, ref) }));
    const named = LOCK_FILE.exec(stderr)?.[1];
    if (named !== undefined && !files.some(({ lockFile }) => lockFile === named)) {
      // Not of one ref: every deletion takes that of the packed refs.
      files.unshift({ ref: 'packed-refs', lockFile: named });
    }
    for (const { ref, lockFile } of files) {
      try {
        const { mtimeMs } = await stat(lockFile);
        return { kind: 'locked', ref, lockFile, ageMs: Math.max(0, this.#git.clock.now() - mtimeMs) };
      } catch {
        // No lock file of this ref; the next one may have one.
      }
    }
    if (fault === 'locked') {
      // It was there when git looked and is gone now: as good as a lost race.
      return { kind: 'moved', ref: first?.ref ?? '', actual: actual[0] ?? null };
    }
    // Not every version tells why it could not write.
    await probe(this.#gitDir);
    throw (await diskError(stderr, this.#gitDir, error)) ?? error;
  }

  /** Starts git for a transaction that will come: a failed one has ended the one before. */
  warm(): void {
    this.#process.warm();
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}

function firstMoved(
  moves: readonly RefMove[],
  actual: readonly (Oid | null)[],
): Extract<RefUpdateResult, { readonly kind: 'moved' }> | undefined {
  const index = moves.findIndex(({ from }, at) => actual[at] !== from);
  const move = moves[index];
  return move === undefined ? undefined : { kind: 'moved', ref: move.ref, actual: actual[index] ?? null };
}

/** @throws BulkheadError of kind `io` when nothing can be written there */
async function probe(gitDir: string): Promise<void> {
  const file = join(gitDir, `probe-${randomBytes(6).toString('hex')}`);
  try {
    await writeFile(file, Buffer.alloc(4096), { flag: 'wx' });
  } catch (error) {
    throw ioError('write', gitDir, error);
  } finally {
    await rm(file, { force: true });
  }
}
