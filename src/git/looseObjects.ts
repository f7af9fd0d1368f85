import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf, ioError } from '../base/errors';
import { encodeLoose, loosePath } from '../core/looseObject';
import { hashObject, type ObjectFormat, type Oid } from '../core/objectId';

/**
 * Above this many bytes a tree is stored without compression: its oids do not shrink, and deflating them is most of the
 * cost of a change in a folder of thousands of files. Maintenance packs them later.
 */
const STORED_TREE_BYTES = 64 * 1024;

/**
 * Writes loose objects in git's own format, in process: temporary name, rename, as git does it. Synchronous on purpose:
 * a handful of small system calls takes less time than handing each of them to a thread.
 */
export class LooseObjects {
  readonly #folder: string;
  readonly #format: ObjectFormat;
  readonly #fsync: boolean;

  constructor(options: { readonly objectsFolder: string; readonly format: ObjectFormat; readonly fsync: boolean }) {
    this.#folder = options.objectsFolder;
    this.#format = options.format;
    this.#fsync = options.fsync;
  }

  /**
   * Writes the object unless a loose one is there already. One that is only in a pack is written again; maintenance removes it.
   * @throws BulkheadError of kind `io`
   */
  write(type: 'blob' | 'tree' | 'commit', body: Buffer): Oid {
    const oid = hashObject(this.#format, type, body);
    const target = join(this.#folder, loosePath(oid));
    if (existsSync(target)) {
      return oid;
    }
    const level = type === 'tree' && body.length > STORED_TREE_BYTES ? 0 : 1;
    this.#publish(target, encodeLoose(type, body, { level }));
    return oid;
  }

  /**
   * The temporary file is made in the folder above, and only the rename goes where the object belongs: file systems put a
   * new file near its folder, and 256 folders far apart cost ext4 eight times as long as one. Git sweeps names of this form
   * there when they are old, so a crash leaves nothing for ever.
   */
  #publish(target: string, bytes: Buffer): void {
    const temporary = join(this.#folder, `tmp_obj_${randomBytes(8).toString('hex')}`);
    try {
      const descriptor = openSync(temporary, 'wx', 0o444);
      try {
        for (let written = 0; written < bytes.length;) {
          written += writeSync(descriptor, bytes, written);
        }
        if (this.#fsync) {
          fsyncSync(descriptor);
        }
      } finally {
        closeSync(descriptor);
      }
      moveInto(temporary, target);
      if (this.#fsync) {
        syncFolder(dirname(target));
      }
    } catch (error) {
      removeQuietly(temporary);
      throw ioError('write a snapshot to', this.#folder, error);
    }
  }
}

function moveInto(temporary: string, target: string): void {
  try {
    renameSync(temporary, target);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') {
      throw error;
    }
    mkdirSync(dirname(target), { recursive: true });
    renameSync(temporary, target);
  }
}

function syncFolder(folder: string): void {
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

function removeQuietly(path: string): void {
  try {
    chmodSync(path, 0o644);
    unlinkSync(path);
  } catch {
    // It was never made, was renamed already, or cannot be removed; maintenance sweeps it by age.
  }
}
