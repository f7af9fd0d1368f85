import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isAbsent, ioError } from '../base/errors';

/** Writes a small file so that readers see the old or the new content: a temporary name that no other writer uses, then a rename. */
export async function writeFileAtomic(path: string, content: string | Buffer, mode = 0o600): Promise<void> {
  const temporary = join(dirname(path), `.tmp-${randomBytes(6).toString('hex')}`);
  try {
    const handle = await open(temporary, 'wx', mode);
    try {
      await handle.writeFile(content);
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // Whatever the reason was, it is reported; a leftover is swept by its name.
    await unlink(temporary).catch(() => undefined);
    throw ioError('write', path, error);
  }
}

export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw ioError('read', path, error);
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) {
      return false;
    }
    throw ioError('look at', path, error);
  }
}

/** Makes a folder with its parents, readable by its owner only. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw ioError('make the folder', path, error);
  }
}

/** @returns whether `path` itself is a folder, and no link to one */
export async function isRealFolder(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    if (isAbsent(error)) {
      return false;
    }
    throw ioError('look at', path, error);
  }
}

/** Names in a folder; none when it is not there. @throws BulkheadError of kind `io` */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isAbsent(error)) {
      return [];
    }
    throw ioError('open', folder, error);
  }
}
