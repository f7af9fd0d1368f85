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
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { wait } from '../base/clock';
import { errnoOf, ioError, isAbsent, messageOf } from '../base/errors';
import {
  describeHolder,
  formatHolder,
  type Holder,
  type HolderRecord,
  type Liveness,
  mayBeTaken,
  parseHolder,
} from '../core/holder';
import { HeldLock, type LockLoss } from './heldLock';
import { livenessOfHolder } from './holders';
import type { Host } from './host';

/** Taking a lock away is a handful of system calls: a guard of this age was left by a process that was killed in between. */
const GUARD_STALE_MS = 10_000;
const SUFFIX = '.lock';

export type Locked =
  | { readonly kind: 'held'; readonly lock: HeldLock }
  /** Somebody else held it for as long as we were willing to wait. */
  | { readonly kind: 'busy'; readonly holder: Holder | undefined }
  /** The place for locks is gone: go on without, compare-and-swap still judges. */
  | { readonly kind: 'absent' }
  /** A later version of Bulkhead holds it, by rules that we do not know: the same. */
  | { readonly kind: 'newer' };

/** A lock as it is found, by whomever it is held. */
export interface FoundLock {
  readonly name: string;
  readonly path: string;
  readonly record: HolderRecord;
  /** The last sign of life: when the file was written or touched. */
  readonly renewed: number;
}

interface Seen extends FoundLock {
  readonly ino: bigint;
  /** The first versions made a folder, with the record in a file beside it. */
  readonly isFolder: boolean;
}

/**
 * Files that spare writers wasted work. Nothing's correctness rests on them: the ref's old oid judges.
 *
 * A lock is one file that holds its record and appears with it at once, as a hard link to a finished temporary file. It is
 * removed by its holder, or by somebody who may take it over (`mayBeTaken`), one of them at a time, after looking once more.
 */
export class LockFolder {
  readonly #folder: string;
  readonly #host: Host;
  readonly #warned = new Set<string>();

  constructor(folder: string, host: Host) {
    this.#folder = folder;
    this.#host = host;
  }

  file(name: string): string {
    return join(this.#folder, name);
  }

  /**
   * Whether the lock is held at this moment, by whomever.
   * @throws BulkheadError of kind `io` when that cannot be seen
   */
  isHeld(name: string): boolean {
    try {
      return lstatSync(this.#path(name), { throwIfNoEntry: false }) !== undefined;
    } catch (error) {
      throw ioError('look at the lock', this.#path(name), error);
    }
  }

  /** Who holds a lock now, as far as it told. */
  async holder(name: string): Promise<Holder | undefined> {
    const record = this.#look(name)?.record;
    return record?.kind === 'ok' ? record.holder : undefined;
  }

  /**
   * Takes a lock, waiting at most `waitMs`.
   * @param options.capMs the longest that it may be held, see `mayBeTaken`
   * @param options.onWait told once, as soon as somebody else is found to hold it
   * @param options.onLost told once when it is not ours any more although it was not released
   * @throws BulkheadError of kind `io` for anything but a lock that is held or a folder that is gone
   */
  async acquire(
    name: string,
    options: {
      readonly holder: Holder;
      readonly waitMs: number;
      readonly capMs: number;
      readonly onWait?: (holder: Holder | undefined) => void;
      readonly onLost?: (loss: LockLoss) => void;
    },
  ): Promise<Locked> {
    const { clock, random } = this.#host;
    const deadline = clock.now() + options.waitMs;
    let told = false;
    for (;;) {
      const taken = this.#take(name, options);
      if (taken !== 'held-by-another') {
        return taken;
      }
      for (let seen = this.#look(name); seen !== undefined; seen = this.#look(name)) {
        const liveness = await livenessOfHolder(seen.record);
        if (this.#mayTake(seen, liveness, options.capMs) && this.#takeAway(name, seen)) {
          this.#tellTakenOver(seen, liveness);
          continue;
        }
        if (seen.record.kind === 'newer') {
          this.#warnOnce(
            name,
            `the lock ${name} is held by a newer version of Bulkhead; going on with compare-and-swap alone. Update Bulkhead in this window, too`,
          );
          return { kind: 'newer' };
        }
        const holder = seen.record.kind === 'ok' ? seen.record.holder : undefined;
        if (!told) {
          told = true;
          options.onWait?.(holder);
        }
        if (clock.now() >= deadline) {
          return { kind: 'busy', holder };
        }
        // Flat random pauses: growing ones starved single writers for seconds.
        await wait(clock, 5 + random.fraction() * 5);
      }
    }
  }

  /** Every lock of the folder; none when the folder is gone. */
  async list(): Promise<readonly FoundLock[]> {
    let names: string[];
    try {
      names = await readdir(this.#folder);
    } catch (error) {
      if (isAbsent(error)) {
        return [];
      }
      throw ioError('read the folder', this.#folder, error);
    }
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => this.#look(name.slice(0, -SUFFIX.length)))
      .filter((seen) => seen !== undefined);
  }

  #path(name: string): string {
    return `${this.file(name)}${SUFFIX}`;
  }

  #take(
    name: string,
    options: { readonly holder: Holder; readonly capMs: number; readonly onLost?: (loss: LockLoss) => void },
  ): Locked | 'held-by-another' {
    const path = this.#path(name);
    const now = this.#host.clock.now();
    // Held from now on, however long it was waited for.
    const holder: Holder = { ...options.holder, since: now, time: now };
    let fd: number | undefined;
    try {
      fd = this.#create(path, holder);
    } catch (error) {
      if (isAbsent(error)) {
        this.#warnOnce('', `the folder for locks is gone (${this.#folder}); going on with compare-and-swap alone`);
        return { kind: 'absent' };
      }
      throw errnoOf(error) === undefined ? error : ioError('lock', path, error);
    }
    if (fd === undefined) {
      return 'held-by-another';
    }
    const lock = new HeldLock({
      host: this.#host,
      name,
      path,
      fd,
      holder,
      capMs: options.capMs,
      onLost: options.onLost,
      takeAway: () => {
        const seen = this.#look(name);
        if (seen?.record.kind === 'ok' && seen.record.holder.nonce === holder.nonce) {
          this.#takeAway(name, seen);
        }
      },
    });
    return { kind: 'held', lock };
  }

  /** Synchronous: a few small system calls take less than handing them to threads. @returns undefined when it is there already */
  #create(path: string, holder: Holder): number | undefined {
    const temporary = join(this.#folder, `.tmp-${randomBytes(6).toString('hex')}`);
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      fill(fd, holder);
      linkSync(temporary, path);
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
    return createInPlace(path, holder);
  }

  #look(name: string): Seen | undefined {
    const path = this.#path(name);
    try {
      const stats = lstatSync(path, { bigint: true });
      const isFolder = stats.isDirectory();
      const text = isFolder ? readIfThere(`${this.file(name)}.holder`) : stats.isFile() ? readNoFollow(path) : '';
      return {
        name,
        path,
        record: parseHolder(text),
        renewed: Number(stats.mtimeMs),
        ino: stats.ino,
        isFolder,
      };
    } catch (error) {
      if (isAbsent(error)) {
        return undefined;
      }
      throw ioError('look at the lock', path, error);
    }
  }

  #mayTake({ record, renewed }: Seen, liveness: Liveness, capMs: number): boolean {
    return mayBeTaken({
      liveness,
      since: record.kind === 'ok' ? record.holder.since : null,
      renewed,
      now: this.#host.clock.now(),
      capMs,
    });
  }

  /** Removes a lock if it is still the one that was judged. @returns false when it is not, or somebody else is at it */
  #takeAway(name: string, judged: Seen): boolean {
    const guard = `${judged.path}.guard`;
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
      throw ioError('take over the lock', judged.path, error);
    }
    try {
      const seen = this.#look(name);
      if (seen === undefined || !isSame(seen, judged)) {
        return false;
      }
      if (seen.isFolder) {
        removeQuietly(`${this.file(name)}.holder`);
        rmdirSync(seen.path);
      } else {
        unlinkSync(seen.path);
      }
      return true;
    } catch (error) {
      if (isAbsent(error) || errnoOf(error) === 'ENOTEMPTY') {
        this.#host.log.debug(`the lock ${name} was not taken away: ${messageOf(error)}`);
        return false;
      }
      throw errnoOf(error) === undefined ? error : ioError('take over the lock', judged.path, error);
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

  #tellTakenOver({ name, record }: Seen, liveness: Liveness): void {
    const holder =
      record.kind === 'ok' ? describeHolder(record.holder, this.#host.clock.now()) : 'a holder that is not known';
    this.#host.log.info(
      `the lock ${name} is taken over from ${holder}, ${liveness === 'dead' ? 'which is gone' : 'which kept it for too long'}`,
    );
  }

  #warnOnce(about: string, message: string): void {
    if (!this.#warned.has(about)) {
      this.#warned.add(about);
      this.#host.log.warn(message);
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
  try {
    const fd = openSync(path, 'wx', 0o600);
    fill(fd, holder);
    return fd;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') {
      return undefined;
    }
    throw error;
  }
}

function isSame(a: Seen, b: Seen): boolean {
  const nonceOf = ({ record }: Seen): string | null => (record.kind === 'ok' ? record.holder.nonce : null);
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
