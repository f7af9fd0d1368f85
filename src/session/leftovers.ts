import { lstat, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAbsent, ioError } from '../base/errors';
import { namesIn } from './files';
import type { Host } from './host';
import { livenessOfOwner } from './ownedNames';
import { sessionFolderIds } from './pointer';
import { sweepWorkingCopies } from './statCache';
import { statCacheFolder, type Storage } from './storage';

/** What nobody can be proven to have left goes after this time, in milliseconds. */
const OLD_MS = 86_400_000;
const HALF_WRITTEN = /^\.tmp-[0-9a-f]{12}$/;

/**
 * Removes what killed processes left half made: folders that something was being made in, once their maker is proven dead or
 * after a day, and half-written files after a day, and working copies of stat caches. Folders of sessions are left to whoever holds the claim, see Recovery.
 */
export async function sweepLeftovers(
  host: Host,
  storage: Storage,
  options: { readonly isBeingMade: (creating: string) => boolean },
): Promise<void> {
  for (const folder of new Set([storage.creating, join(storage.root, 'creating')])) {
    for (const name of await namesIn(folder)) {
      const path = join(folder, name);
      if (!options.isBeingMade(name) && (await isLeft(host, name, path))) {
        host.log.info(`removing ${path}, left half made`);
        await remove(path);
      }
    }
  }
  for (const session of ['workspace', ...(await sessionFolderIds(storage.sessions))]) {
    await sweepWorkingCopies(host, statCacheFolder(storage, session));
  }
  for (const folder of [storage.root, storage.store, join(storage.store, 'info'), storage.donor, storage.locks]) {
    for (const name of await namesIn(folder)) {
      if (HALF_WRITTEN.test(name) && (await isOld(host, join(folder, name)))) {
        await remove(join(folder, name));
      }
    }
  }
}

/** A name that proves neither is judged by its age. */
async function isLeft(host: Host, name: string, path: string): Promise<boolean> {
  const owner = await livenessOfOwner(name);
  return owner === 'dead' || (owner === 'unknown' && (await isOld(host, path)));
}

async function isOld(host: Host, path: string): Promise<boolean> {
  try {
    return host.clock.now() - (await lstat(path)).mtimeMs > OLD_MS;
  } catch (error) {
    if (isAbsent(error)) {
      return false;
    }
    throw ioError('look at', path, error);
  }
}

async function remove(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    throw ioError('remove', path, error);
  }
}
