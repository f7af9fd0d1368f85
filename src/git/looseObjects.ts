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

  #publish(target: string, bytes: Buffer): void {
    const folder = dirname(target);
    // Git sweeps names of this form when they are old, so a crash leaves nothing for ever.
    const temporary = join(folder, `tmp_obj_${randomBytes(8).toString('hex')}`);
    let descriptor: number;
    try {
      descriptor = openForWriting(temporary, folder);
    } catch (error) {
      throw ioError('write a snapshot to', folder, error);
    }
    try {
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
      renameSync(temporary, target);
      if (this.#fsync) {
        syncFolder(folder);
      }
    } catch (error) {
      removeQuietly(temporary);
      throw ioError('write a snapshot to', folder, error);
    }
  }
}

function openForWriting(path: string, folder: string): number {
  try {
    return openSync(path, 'wx', 0o444);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') {
      throw error;
    }
    mkdirSync(folder, { recursive: true });
    return openSync(path, 'wx', 0o444);
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
    // It was renamed already or cannot be removed; maintenance sweeps it by age.
  }
}
