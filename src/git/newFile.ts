import { chmodSync, closeSync, fsyncSync, openSync, unlinkSync, writeSync } from 'node:fs';

/**
 * Makes a file and writes it whole, or leaves none; fails when there is one already. Synchronous on purpose: a handful of small
 * system calls takes less time than handing each of them to a thread.
 * @param options.fsync whether the bytes reach the disk before this returns; the name in the folder needs `syncFolder`
 * @throws the fault of the system
 */
export function writeNewFile(
  path: string,
  bytes: Uint8Array,
  options: { readonly mode: number; readonly fsync: boolean },
): void {
  const descriptor = openSync(path, 'wx', options.mode);
  try {
    writeAndClose(descriptor, bytes, options);
  } catch (error) {
    removeQuietly(path);
    throw error;
  }
}

/** Writes all of a new file's bytes; closes it in any case. */
export function writeAndClose(descriptor: number, bytes: Uint8Array, options: { readonly fsync: boolean }): void {
  try {
    for (let written = 0; written < bytes.length;) {
      written += writeSync(descriptor, bytes, written);
    }
    if (options.fsync) {
      fsyncSync(descriptor);
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Lets go of a file of ours that is not needed after all. */
export function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch {
    // Nothing was written that a fault could lose.
  }
}

/** Removes a file of ours that is not needed after all. */
export function removeQuietly(path: string): void {
  try {
    if (process.platform === 'win32') {
      // Read-only files cannot be removed there.
      chmodSync(path, 0o644);
    }
    unlinkSync(path);
  } catch {
    // It is gone already, or cannot be removed: what is left over is swept, or named to whoever meets it, by its age.
  }
}

/** The names in a folder reach the disk. */
export function syncFolder(folder: string): void {
  if (process.platform === 'win32') {
    // A folder cannot be opened for that there.
    return;
  }
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
