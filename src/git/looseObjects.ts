import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock } from '../base/clock';
import { errnoOf, ioError, isAbsent } from '../base/errors';
import { decodeLoose, encodeLoose, loosePath } from '../core/looseObject';
import { hashObject, type ObjectFormat, type ObjectType, type Oid } from '../core/objectId';
import { removeQuietly, syncFolder, writeAndClose, writeNewFile } from './newFile';
import { StandbyFiles } from './standbyFiles';

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

/** As git's own; whoever reads the object finds that nobody means to change it. */
const MODE = 0o444;

/** What stands where an object's own file would be. */
export type LooseState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'whole'; readonly type: ObjectType; readonly body: Buffer }
  /** `reason` for people. */
  | { readonly kind: 'corrupt'; readonly reason: string };

/**
 * Writes loose objects in git's own format, in process: temporary name, rename, as git does it.
 */
export class LooseObjects {
  readonly #folder: string;
  readonly #format: ObjectFormat;
  readonly #fsync: boolean;
  readonly #standby: StandbyFiles;
  /** No other writer gives its files such names. Drawn once: seven draws took as long as all the hashing of a save. */
  readonly #own = randomBytes(8).toString('hex');
  #count = 0;
  #damageSeen = false;

  constructor(options: {
    readonly objectsFolder: string;
    readonly format: ObjectFormat;
    readonly fsync: boolean;
    readonly clock: Clock;
  }) {
    this.#folder = options.objectsFolder;
    this.#format = options.format;
    this.#fsync = options.fsync;
    this.#standby = new StandbyFiles(options.clock, { nextPath: () => this.#temporaryPath(), mode: MODE });
  }

  /** From now on no file is trusted by its size: something in the store is damaged. */
  distrust(): void {
    this.#damageSeen = true;
  }

  /**
   * Writes the object unless a whole loose one is there already; that one becomes fresh, so that no maintenance that runs
   * until the object is reachable takes it for old rubbish. One that is only in a pack is written again; maintenance removes
   * it. So is one that somebody may have written without a flush, where everything is to be flushed.
   * @throws BulkheadError of kind `io`
   */
  write(type: ObjectType, body: Buffer): Oid {
    const oid = hashObject(this.#format, type, body);
    const target = this.#path(oid);
    const size = sizeOf(target);
    if (size !== undefined && !this.#fsync && this.#isTrusted(oid, size, body) && freshen(target)) {
      return oid;
    }
    const level = type === 'tree' && body.length > STORED_TREE_BYTES ? 0 : 1;
    this.#publish(target, encodeLoose(type, body, { level }));
    return oid;
  }

  /**
   * Reads an object that has a small file of its own, in less time than it takes to ask git; undefined for any other, also for a
   * damaged one, of which git tells more.
   */
  readSmall(oid: Oid): Omit<Extract<LooseState, { readonly kind: 'whole' }>, 'kind'> | undefined {
    const size = sizeOf(this.#path(oid));
    if (size === undefined || size > CHECKED_BYTES) {
      return undefined;
    }
    try {
      const state = this.check(oid);
      return state.kind === 'whole' ? { type: state.type, body: state.body } : undefined;
    } catch {
      // No descriptor left, or no permission: a git that runs already may fare better, or tells why not.
      return undefined;
    }
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

  #publish(target: string, bytes: Buffer): void {
    if (this.#publishStandby(target, bytes)) {
      return;
    }
    const temporary = this.#temporaryPath();
    try {
      writeNewFile(temporary, bytes, { mode: MODE, fsync: this.#fsync });
      this.#moveInto(temporary, target);
    } catch (error) {
      removeQuietly(temporary);
      throw ioError('write a snapshot to', this.#folder, error);
    }
  }

  /** @returns false when none stands by, or it did not work: the ordinary way works, or tells why not */
  #publishStandby(target: string, bytes: Buffer): boolean {
    const file = this.#standby.take();
    if (file === undefined) {
      return false;
    }
    try {
      writeAndClose(file.descriptor, bytes, { fsync: this.#fsync });
      this.#moveInto(file.path, target);
      return true;
    } catch {
      removeQuietly(file.path);
      return false;
    }
  }

  /**
   * The temporary file is made in the folder above, and only the rename goes where the object belongs: file systems put a
   * new file near its folder, and 256 folders far apart cost ext4 eight times as long as one. Git sweeps names of this form
   * there when they are old, so a crash leaves nothing for ever.
   */
  #temporaryPath(): string {
    return join(this.#folder, `tmp_obj_${this.#own}_${String(this.#count++)}`);
  }

  #moveInto(temporary: string, target: string): void {
    const madeFolder = moveInto(temporary, target);
    if (this.#fsync) {
      syncFolder(dirname(target));
      if (madeFolder) {
        syncFolder(this.#folder);
      }
    }
  }

  /** Resolves when what was begun between two writes has ended. */
  idle(): Promise<void> {
    return this.#standby.idle();
  }

  /** Lets go of what stands by. */
  async stop(): Promise<void> {
    await this.#standby.stop();
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

/** @returns whether the folder had to be made */
function moveInto(temporary: string, target: string): boolean {
  for (let attempt = 1; ; attempt++) {
    try {
      renameSync(temporary, target);
      return attempt > 1;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || attempt === FOLDER_TRIES) {
        throw error;
      }
    }
    mkdirSync(dirname(target), { recursive: true });
  }
}
