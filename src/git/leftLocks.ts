import { readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { wait } from '../base/clock';
import { isAbsent, ioError, messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import type { Git } from './git';

/** A living git holds the lock of a ref for some milliseconds; one that stands for longer without a sign is nobody's. */
const SETTLE_MS = 1000;
/** File times are coarser than our clock. */
const SLACK_MS = 2000;

export function lockFileOf(gitDir: string, ref: string): string {
  return join(gitDir, `${ref}.lock`);
}

/** What the transaction wanted of a ref; null means absent. */
interface Wanted {
  readonly ref: string;
  readonly from: Oid | null;
  readonly to: Oid | null;
}

interface LockFile {
  readonly path: string;
  readonly ino: bigint;
  readonly changed: bigint;
  readonly content: string;
}

/**
 * Removes the lock files that a git of ours left when it was killed in a transaction; git itself never does, and every later
 * write of those refs would fail. One that holds the very oid that we wanted to write is ours. An empty one (a ref that is
 * only checked, or deleted) tells nothing: it is taken for ours when it came with the transaction and nobody touches it.
 * @param since when the transaction was sent, in milliseconds since 1970
 */
export async function removeLeftLocks(
  git: Git,
  gitDir: string,
  moves: readonly Wanted[],
  since: number,
): Promise<void> {
  const doubtful: LockFile[] = [];
  for (const { ref, from, to } of moves) {
    const lock = await look(lockFileOf(gitDir, ref), since);
    if (lock !== undefined && from !== to && to !== null && lock.content === `${to}\n`) {
      await remove(git, lock.path);
    } else if (lock?.content === '') {
      doubtful.push(lock);
    }
  }
  if (moves.some(({ from, to }) => from !== to && to === null)) {
    const packed = await look(join(gitDir, 'packed-refs.lock'), since);
    if (packed?.content === '') {
      doubtful.push(packed);
    }
  }
  if (doubtful.length === 0) {
    return;
  }
  await wait(git.clock, SETTLE_MS);
  for (const before of doubtful) {
    const now = await look(before.path, since);
    if (now?.ino === before.ino && now.changed === before.changed && now.content === '') {
      await remove(git, before.path);
    }
  }
}

/** Undefined when there is none, or one from before. */
async function look(path: string, since: number): Promise<LockFile | undefined> {
  try {
    const stats = await stat(path, { bigint: true });
    return Number(stats.ctimeMs) + SLACK_MS < since
      ? undefined
      : { path, ino: stats.ino, changed: stats.ctimeNs, content: await readFile(path, 'latin1') };
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw ioError('look at', path, error);
  }
}

async function remove(git: Git, path: string): Promise<void> {
  git.log.info(`removing ${path}, left by a git of ours that was killed`);
  try {
    await unlink(path);
  } catch (error) {
    // The next transaction meets it and names it.
    git.log.warn(`${path} could not be removed: ${messageOf(error)}`);
  }
}
