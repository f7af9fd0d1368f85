import { lstat, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError, isAbsent } from '../base/errors';
import { namesIn } from './files';
import { refLockFiles } from './refLockFiles';

/** No living git leaves a temporary file or a lock untouched for so long, in milliseconds. */
export const LEFTOVER_AGE_MS = 3_600_000;

/** A file that a killed process left behind in the store: a pack or object that it had begun, or a lock of git's. */
export interface Leftover {
  readonly path: string;
  readonly kind: 'temporary' | 'lock';
  readonly bytes: number;
  /** Since it was written last, in milliseconds. */
  readonly ageMs: number;
}

/** Finds what was left behind in a repository and is older than `LEFTOVER_AGE_MS`; nothing of it is reachable by any name. */
export async function findLeftovers(gitDir: string, now: number): Promise<readonly Leftover[]> {
  const objects = join(gitDir, 'objects');
  const found: Leftover[] = [];
  const look = async (path: string, kind: Leftover['kind']): Promise<void> => {
    const leftover = await leftoverAt(path, kind, now);
    if (leftover !== undefined && leftover.ageMs > LEFTOVER_AGE_MS) {
      found.push(leftover);
    }
  };
  for (const name of await namesIn(objects)) {
    if (name.startsWith('tmp_')) {
      await look(join(objects, name), 'temporary');
    } else if (/^[0-9a-f]{2}$/.test(name)) {
      for (const file of await namesIn(join(objects, name))) {
        if (file.startsWith('tmp_obj_')) {
          await look(join(objects, name, file), 'temporary');
        }
      }
    }
  }
  for (const folder of ['pack', 'info']) {
    for (const name of await namesIn(join(objects, folder))) {
      if (/^(tmp_|\.tmp-)/.test(name)) {
        await look(join(objects, folder, name), 'temporary');
      } else if (name.endsWith('.lock')) {
        await look(join(objects, folder, name), 'lock');
      }
    }
  }
  for (const name of await namesIn(gitDir)) {
    if (name.endsWith('.lock')) {
      await look(join(gitDir, name), 'lock');
    }
  }
  for (const path of await refLockFiles(gitDir)) {
    await look(path, 'lock');
  }
  return found;
}

/** @returns how many went, and their bytes */
export async function sweepLeftovers(
  leftovers: readonly Leftover[],
): Promise<{ readonly files: number; readonly bytes: number }> {
  let bytes = 0;
  for (const leftover of leftovers) {
    try {
      await rm(leftover.path, { recursive: true, force: true });
    } catch (error) {
      throw ioError('remove', leftover.path, error);
    }
    bytes += leftover.bytes;
  }
  return { files: leftovers.length, bytes };
}

async function leftoverAt(path: string, kind: Leftover['kind'], now: number): Promise<Leftover | undefined> {
  try {
    const stats = await lstat(path);
    return { path, kind, bytes: stats.size, ageMs: now - stats.mtimeMs };
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw ioError('look at', path, error);
  }
}
