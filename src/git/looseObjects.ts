import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf, ioError, isAbsent } from '../base/errors';
import { decodeLoose, encodeLoose, loosePath } from '../core/looseObject';
import { hashObject, type ObjectFormat, type ObjectType, type Oid } from '../core/objectId';

/**
 * Above this many bytes a tree is stored without compression: its oids do not shrink, and deflating them is most of the
 * cost of a change in a folder of thousands of files. Maintenance packs them later.
 */
const STORED_TREE_BYTES = 64 * 1024;

/**
 * A file of up to this many bytes that is there already is read before it is trusted: that costs no more than writing it
 * would. A larger one is trusted by its size until damage was seen anywhere in the store.
 */
const CHECKED_BYTES = 64 * 1024;

/** What stands where an object's own file would be. */
export type LooseState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'whole'; readonly type: ObjectType; readonly body: Buffer }
  /** `reason` for people. */
  | { readonly kind: 'corrupt'; readonly reason: string };

/**
 * Writes loose objects in git's own format, in process: temporary name, rename, as git does it. Synchronous on purpose:
 * a handful of small system calls takes less time than handing each of them to a thread.
 */
export class LooseObjects {
  readonly #folder: string;
  readonly #format: ObjectFormat;
  readonly #fsync: boolean;
  #damageSeen = false;

  constructor(options: { readonly objectsFolder: string; readonly format: ObjectFormat; readonly fsync: boolean }) {
    this.#folder = options.objectsFolder;
    this.#format = options.format;
    this.#fsync = options.fsync;
  }

  /** From now on no file is trusted by its size: something in the store is damaged. */
  distrust(): void {
    this.#damageSeen = true;
  }

  /**
   * Writes the object unless a whole loose one is there already; that one becomes fresh, so that no maintenance that runs
   * until the object is reachable takes it for old rubbish. One that is only in a pack is written again; maintenance removes
   * it.
   * @throws BulkheadError of kind `io`
   */
  write(type: ObjectType, body: Buffer): Oid {
    const oid = hashObject(this.#format, type, body);
    const target = this.#path(oid);
    const size = sizeOf(target);
    if (size !== undefined && this.#isTrusted(oid, size, body) && freshen(target)) {
      return oid;
    }
    const level = type === 'tree' && body.length > STORED_TREE_BYTES ? 0 : 1;
    this.#publish(target, encodeLoose(type, body, { level }));
    return oid;
  }

  /** Reads an object's own file and checks it against its name. */
  check(oid: Oid): LooseState {
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.#path(oid));
    } catch (error) {
      if (isAbsent(error)) {
        return { kind: 'absent' };
      }
      throw ioError('read', this.#path(oid), error);
    }
    if (bytes.length === 0) {
      return { kind: 'corrupt', reason: 'its file is empty' };
    }
    try {
      const { type, body } = decodeLoose(bytes);
      return hashObject(this.#format, type, body) === oid
        ? { kind: 'whole', type, body }
        : { kind: 'corrupt', reason: 'its content is that of another object' };
    } catch {
      // Any failure to decode it means the same: the bytes are not what was written.
      return { kind: 'corrupt', reason: 'its file cannot be unpacked' };
    }
  }

  #path(oid: Oid): string {
    return join(this.#folder, loosePath(oid));
  }

  #isTrusted(oid: Oid, size: number, body: Buffer): boolean {
    if (size === 0) {
      return false;
    }
    if (size > CHECKED_BYTES && !this.#damageSeen) {
      return true;
    }
    const found = this.check(oid);
    return found.kind === 'whole' && found.body.equals(body);
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

function sizeOf(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.size;
  } catch {
    // A folder that may not be read: the write that follows says why.
    return undefined;
  }
}

/** @returns false when it is gone, or its time cannot be set: then it has to be written again, as git does it */
function freshen(path: string): boolean {
  const now = new Date();
  try {
    utimesSync(path, now, now);
    return true;
  } catch {
    // Pruned a moment ago, or the file of another user: a new one takes its place.
    return false;
  }
}

/** Packing removes a folder whose last object it has packed, also one that was made a moment ago. */
const FOLDER_TRIES = 16;

function moveInto(temporary: string, target: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      renameSync(temporary, target);
      return;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || attempt === FOLDER_TRIES) {
        throw error;
      }
    }
    mkdirSync(dirname(target), { recursive: true });
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
