import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf, ioError, isAbsent, messageOf } from '../base/errors';
import { formatHolder, type Holder, type HolderRecord, parseHolder } from '../core/holder';
import type { Host } from './host';

/** Taking a lock away is a handful of system calls: a guard of this age was left by a process that was killed in between. */
const GUARD_STALE_MS = 10_000;
export const LOCK_SUFFIX = '.lock';

/** A lock as it is found, by whomever it is held. */
export interface FoundLock {
  readonly path: string;
  readonly record: HolderRecord;
  /** The last sign of life: when the file was written or touched. */
  readonly renewed: number;
}

export interface SeenLock extends FoundLock {
  readonly ino: bigint;
  /** The first versions made a folder, with the record in a file beside it. */
  readonly isFolder: boolean;
}

/**
 * The file of one lock. It holds the record of its holder and appears with it at once, as a hard link to a finished
 * temporary file; it is taken away by one process at a time, after looking once more. Synchronous: a few small system calls
 * take less than handing them to threads.
 */
export class LockFile {
  readonly path: string;
  readonly #host: Host;
  /** Where the first versions put the record. */
  readonly #beside: string;

  /** @param base its path without the suffix */
  constructor(base: string, host: Host) {
    this.path = `${base}${LOCK_SUFFIX}`;
    this.#beside = `${base}.holder`;
    this.#host = host;
  }

  /** @throws BulkheadError of kind `io` when it cannot be seen whether it is there */
  isThere(): boolean {
    try {
      return lstatSync(this.path, { throwIfNoEntry: false }) !== undefined;
    } catch (error) {
      throw ioError('look at the lock', this.path, error);
    }
  }

  /**
   * @returns its descriptor, or undefined when it is there already
   * @throws what the file system throws
   */
  create(holder: Holder): number | undefined {
    const temporary = join(dirname(this.path), `.tmp-${randomBytes(6).toString('hex')}`);
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      fill(fd, holder);
      linkSync(temporary, this.path);
      return fd;
    } catch (error) {
      closeSync(fd);
      if (errnoOf(error) === 'EEXIST') {
        return undefined;
      }
      if (!NO_LINKS.has(errnoOf(error) ?? '')) {
        throw error;
      }
    } finally {
      removeQuietly(temporary);
    }
    // A file system without hard links: a reader may see the record half written, and takes it for one that tells nothing.
    return createInPlace(this.path, holder);
  }

  /** @throws BulkheadError of kind `io` */
  look(): SeenLock | undefined {
    try {
      const stats = lstatSync(this.path, { bigint: true });
      const isFolder = stats.isDirectory();
      const text = isFolder ? readIfThere(this.#beside) : stats.isFile() ? readNoFollow(this.path) : '';
      return {
        path: this.path,
        record: parseHolder(text),
        renewed: Number(stats.mtimeMs),
        ino: stats.ino,
        isFolder,
      };
    } catch (error) {
      if (isAbsent(error)) {
        return undefined;
      }
      throw ioError('look at the lock', this.path, error);
    }
  }

  /**
   * Removes it if it is still the one that was judged.
   * @returns false when it is not, or somebody else is at it
   * @throws BulkheadError of kind `io`
   */
  takeAway(judged: SeenLock): boolean {
    const guard = `${this.path}.guard`;
    try {
      mkdirSync(guard, { mode: 0o700 });
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') {
        this.#dropStaleGuard(guard);
        return false;
      }
      if (isAbsent(error)) {
        return false;
      }
      throw ioError('take over the lock', this.path, error);
    }
    try {
      const seen = this.look();
      if (seen === undefined || !isSame(seen, judged)) {
        return false;
      }
      if (seen.isFolder) {
        removeQuietly(this.#beside);
        rmdirSync(this.path);
      } else {
        unlinkSync(this.path);
      }
      return true;
    } catch (error) {
      if (isAbsent(error) || errnoOf(error) === 'ENOTEMPTY') {
        this.#host.log.debug(`the lock ${this.path} was not taken away: ${messageOf(error)}`);
        return false;
      }
      throw errnoOf(error) === undefined ? error : ioError('take over the lock', this.path, error);
    } finally {
      removeFolderQuietly(guard);
    }
  }

  #dropStaleGuard(guard: string): void {
    try {
      if (Math.abs(this.#host.clock.now() - lstatSync(guard).mtimeMs) > GUARD_STALE_MS) {
        rmdirSync(guard);
      }
    } catch (error) {
      // Gone in the meantime, as a rule.
      this.#host.log.debug(`the guard ${guard}: ${messageOf(error)}`);
    }
  }
}

const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** The time of the file is the holder's last sign of life. */
function fill(fd: number, holder: Holder): void {
  writeSync(fd, formatHolder(holder));
  futimesSync(fd, holder.time / 1000, holder.time / 1000);
}

function createInPlace(path: string, holder: Holder): number | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'wx', 0o600);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') {
      return undefined;
    }
    throw error;
  }
  try {
    fill(fd, holder);
    return fd;
  } catch (error) {
    closeSync(fd);
    removeQuietly(path);
    throw error;
  }
}

function isSame(a: SeenLock, b: SeenLock): boolean {
  const nonceOf = ({ record }: SeenLock): string | null => (record.kind === 'ok' ? record.holder.nonce : null);
  return a.ino === b.ino && a.isFolder === b.isFolder && a.renewed === b.renewed && nonceOf(a) === nonceOf(b);
}

function readNoFollow(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | ((constants.O_NOFOLLOW as number | undefined) ?? 0));
  try {
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function readIfThere(path: string): string {
  try {
    return readNoFollow(path);
  } catch (error) {
    if (isAbsent(error)) {
      return '';
    }
    throw error;
  }
}

function removeQuietly(file: string): void {
  try {
    unlinkSync(file);
  } catch {
    // It is gone already, or the folder is: then nobody reads it.
  }
}

function removeFolderQuietly(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Gone already: somebody took it for left behind.
  }
}
