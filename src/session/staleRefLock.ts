import { rm, stat } from 'node:fs/promises';
import { isAbsent, ioError } from '../base/errors';
import { SAVE_LOCK_CAP_MS } from '../core/holder';
import type { RefUpdateResult } from '../git/updateRef';
import { newHolder } from './holders';
import type { Host } from './host';
import type { LockFolder } from './locks';

/** A lock file of git's that is older than this was left by a killed git: a transaction of ours takes milliseconds. */
const STALE_REF_LOCK_MS = 60_000;

/**
 * Removes a lock file that a killed git left on a ref of ours.
 * @param lockName the lock under which it is done, by one process at a time
 * @returns whether it is gone, so that the transaction may be tried again
 * @throws BulkheadError of kind `io`
 */
export async function removeStaleRefLock(
  host: Host,
  locks: LockFolder,
  lockName: string,
  { lockFile, ageMs }: Extract<RefUpdateResult, { readonly kind: 'locked' }>,
): Promise<boolean> {
  if (ageMs <= STALE_REF_LOCK_MS) {
    return false;
  }
  const locked = await locks.acquire(lockName, {
    holder: await newHolder(host, 'remove a lock file of git', host.product),
    waitMs: 0,
    capMs: SAVE_LOCK_CAP_MS,
  });
  if (locked.kind !== 'held') {
    return false;
  }
  try {
    // Looked at once more under the lock: whoever had it before may have removed it, and git made a new one.
    const { mtimeMs } = await stat(lockFile);
    if (host.clock.now() - mtimeMs <= STALE_REF_LOCK_MS) {
      return false;
    }
    host.log.warn(`removing ${lockFile}, left ${String(Math.round(ageMs / 1000))} s ago`);
    await rm(lockFile, { force: true });
    return true;
  } catch (error) {
    if (isAbsent(error)) {
      return true;
    }
    throw ioError('remove', lockFile, error);
  } finally {
    locked.lock.release();
  }
}
