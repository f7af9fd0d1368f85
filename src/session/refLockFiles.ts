import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError, isAbsent } from '../base/errors';

/** Git's lock files of single refs in a repository. No ref may end in `.lock`, so these are lock files all. */
export async function refLockFiles(gitDir: string): Promise<string[]> {
  return lockFilesBelow(join(gitDir, 'refs'));
}

async function lockFilesBelow(folder: string): Promise<string[]> {
  let entries;
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isAbsent(error)) {
      // Git removes folders that it emptied.
      return [];
    }
    throw ioError('open', folder, error);
  }
  const found: string[] = [];
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      found.push(...(await lockFilesBelow(path)));
    } else if (entry.name.endsWith('.lock')) {
      found.push(path);
    }
  }
  return found;
}
