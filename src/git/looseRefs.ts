import { randomBytes } from 'node:crypto';
import { constants, existsSync, linkSync, openSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Clock, wait } from '../base/clock';
import { errnoOf, messageOf } from '../base/errors';
import type { Log } from '../base/log';
import { loosePath } from '../core/looseObject';
import { isOid, type Oid } from '../core/objectId';
import { lockFileOf } from './leftLocks';
import { closeQuietly, removeQuietly, syncFolder, writeAndClose, writeNewFile } from './newFile';
import { type StandbyFile, StandbyFiles } from './standbyFiles';
import type { RefMove, RefUpdateResult } from './updateRef';

/** As git makes a ref's file; the umask applies. */
const MODE = 0o666;

/** Who holds a ref's lock file holds it for a moment. Git waits 0.1 s once more, and then tells whose it is. */
const LOCKED_TRIES = 25;
const LOCKED_PAUSE_MS = 2;

type Attempt = 'done' | 'locked' | 'unfit' | { readonly actual: Oid };

/**
 * Moves refs that have a file of their own, by compare-and-swap, in the way of git's files backend (`refs/files-backend.c`): the
 * lock file appears exclusively, then the present oid is read and compared, then the lock file is renamed over the ref. Every
 * git that writes such a ref, `pack-refs` included, takes the same lock file. Whatever is not this plain case is git's: a ref that
 * is packed, symbolic, absent, or in a table; several refs at once; an object that was not just written; any fault.
 *
 * The same through a warm `update-ref` is the answer of another process, and took as long as the rest of a save.
 */
export class LooseRefs {
  readonly #gitDir: string;
  readonly #fsync: boolean;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #standby: StandbyFiles;
  readonly #own = randomBytes(8).toString('hex');
  #count = 0;

  constructor(options: { readonly gitDir: string; readonly fsync: boolean; readonly clock: Clock; readonly log: Log }) {
    this.#gitDir = options.gitDir;
    this.#fsync = options.fsync;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#standby = new StandbyFiles(options.clock, {
      // Among the objects, where files of such names are swept when they are old.
      nextPath: () => join(this.#gitDir, 'objects', `tmp_ref_${this.#own}_${String(this.#count++)}`),
      mode: MODE,
    });
  }

  /**
   * @returns undefined when nothing was changed and git has to do it, or to tell why it cannot be done
   */
  async move([move, ...others]: readonly RefMove[]): Promise<RefUpdateResult | undefined> {
    if (move === undefined || others.length > 0) {
      return undefined;
    }
    const { ref, from, to } = move;
    if (from === null || to === null || from === to || !this.#wasWritten(to)) {
      return undefined;
    }
    for (let attempt = 1; attempt <= LOCKED_TRIES; attempt++) {
      const result = this.#try(ref, from, to);
      if (result === 'done') {
        return { kind: 'done' };
      }
      if (result === 'unfit') {
        return undefined;
      }
      if (result !== 'locked') {
        return { kind: 'moved', ref, actual: result.actual };
      }
      await wait(this.#clock, LOCKED_PAUSE_MS);
    }
    return undefined;
  }

  /** Where a ref stands that has a plain file of its own; undefined for any other. */
  read(ref: string): Oid | undefined {
    return readRefFile(join(this.#gitDir, ref));
  }

  #wasWritten(oid: Oid): boolean {
    return existsSync(join(this.#gitDir, 'objects', loosePath(oid)));
  }

  /** Synchronous, so that the lock file stands for some microseconds only. */
  #try(ref: string, from: Oid, to: Oid): Attempt {
    const file = join(this.#gitDir, ref);
    const lockFile = lockFileOf(this.#gitDir, ref);
    try {
      this.#lock(lockFile, Buffer.from(`${to}\n`, 'latin1'));
    } catch (error) {
      return errnoOf(error) === 'EEXIST' ? 'locked' : 'unfit';
    }
    const actual = this.read(ref);
    if (actual !== from) {
      removeQuietly(lockFile);
      return actual === undefined ? 'unfit' : { actual };
    }
    try {
      renameSync(lockFile, file);
    } catch {
      removeQuietly(lockFile);
      return 'unfit';
    }
    if (this.#fsync) {
      try {
        syncFolder(dirname(file));
      } catch (error) {
        // It has moved all the same: an error would make whoever moved it believe that it had not.
        this.#log.warn(`${ref} was moved, and may be lost if the power fails now: ${messageOf(error)}`);
      }
    }
    return 'done';
  }

  /** Makes the lock file with its content; fails when there is one. */
  #lock(lockFile: string, content: Buffer): void {
    // Looked for first, so that no file that stands by is used up in vain.
    const standby = existsSync(lockFile) ? undefined : this.#standby.take();
    if (standby === undefined || !this.#lockWith(standby, lockFile, content)) {
      writeNewFile(lockFile, content, { mode: MODE, fsync: this.#fsync });
    }
  }

  /** @returns false when it did not work: the ordinary way works, or tells why not */
  #lockWith(standby: StandbyFile, lockFile: string, content: Buffer): boolean {
    try {
      writeAndClose(standby.descriptor, content, { fsync: this.#fsync });
      // A rename would replace the lock file of somebody else.
      linkSync(standby.path, lockFile);
      return true;
    } catch {
      return false;
    } finally {
      removeQuietly(standby.path);
    }
  }

  /** Resolves when what was begun between two moves has ended. */
  idle(): Promise<void> {
    return this.#standby.idle();
  }

  /** Lets go of what stands by. */
  async stop(): Promise<void> {
    await this.#standby.stop();
  }
}

/** Undefined when there is no such file, or anything but one oid in it. */
export function readRefFile(path: string): Oid | undefined {
  let descriptor: number | undefined;
  try {
    // A link in this place is git's oldest form of a symbolic ref.
    descriptor = openSync(path, constants.O_RDONLY | ((constants.O_NOFOLLOW as number | undefined) ?? 0));
    const text = readFileSync(descriptor, 'latin1').trimEnd();
    return isOid(text) ? text : undefined;
  } catch {
    // Git tells what is the matter.
    return undefined;
  } finally {
    if (descriptor !== undefined) {
      closeQuietly(descriptor);
    }
  }
}
