import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Deadline, wait } from '../base/clock';
import { errnoOf, ioError, isAbsent } from '../base/errors';
import { describeHolder, type Holder, type Liveness, mayBeTaken } from '../core/holder';
import { HeldLock, type LockLoss } from './heldLock';
import { livenessOfHolder } from './holders';
import type { Host } from './host';
import { type FoundLock, LOCK_SUFFIX, LockFile } from './lockFile';

export type Locked =
  | { readonly kind: 'held'; readonly lock: HeldLock }
  /** Somebody else held it for as long as we were willing to wait. */
  | { readonly kind: 'busy'; readonly holder: Holder | undefined }
  /** The place for locks is gone: go on without, compare-and-swap still judges. */
  | { readonly kind: 'absent' }
  /** A later version of Bulkhead holds it, by rules that we do not know: the same. */
  | { readonly kind: 'newer' };

export interface NamedLock extends FoundLock {
  readonly name: string;
}

/**
 * Files that spare writers wasted work. Nothing's correctness rests on them: the ref's old oid judges. A lock is removed by
 * its holder, or by somebody who may take it over (`mayBeTaken`).
 */
export class LockFolder {
  readonly folder: string;
  readonly #host: Host;
  readonly #warned = new Set<string>();

  constructor(folder: string, host: Host) {
    this.folder = folder;
    this.#host = host;
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  /**
   * Whether the lock is held at this moment, by whomever.
   * @throws BulkheadError of kind `io` when that cannot be seen
   */
  isHeld(name: string): boolean {
    return this.#lock(name).isThere();
  }

  /** Who holds a lock now, as far as it told. */
  async holder(name: string): Promise<Holder | undefined> {
    const record = this.#lock(name).look()?.record;
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
    const lock = this.#lock(name);
    const deadline = new Deadline(clock, options.waitMs);
    let told = false;
    for (;;) {
      const taken = this.#take(name, lock, options);
      if (taken !== 'held-by-another') {
        return taken;
      }
      for (let seen = lock.look(); seen !== undefined; seen = lock.look()) {
        const liveness = await livenessOfHolder(seen.record);
        if (this.#mayTake(seen, liveness, options.capMs) && lock.takeAway(seen)) {
          this.#tellTakenOver(name, seen, liveness);
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
        if (deadline.isOver) {
          return { kind: 'busy', holder };
        }
        // Flat random pauses: growing ones starved single writers for seconds.
        await wait(clock, 5 + random.fraction() * 5);
      }
    }
  }

  /** Every lock of the folder; none when the folder is gone. */
  async list(): Promise<readonly NamedLock[]> {
    let names: string[];
    try {
      names = await readdir(this.folder);
    } catch (error) {
      if (isAbsent(error)) {
        return [];
      }
      throw ioError('read the folder', this.folder, error);
    }
    return names
      .filter((name) => name.endsWith(LOCK_SUFFIX))
      .map((name) => name.slice(0, -LOCK_SUFFIX.length))
      .flatMap((name) => {
        const seen = this.#lock(name).look();
        return seen === undefined ? [] : [{ ...seen, name }];
      });
  }

  #lock(name: string): LockFile {
    return new LockFile(this.file(name), this.#host);
  }

  #take(
    name: string,
    file: LockFile,
    options: { readonly holder: Holder; readonly capMs: number; readonly onLost?: (loss: LockLoss) => void },
  ): Locked | 'held-by-another' {
    const now = this.#host.clock.now();
    // Held from now on, however long it was waited for.
    const holder: Holder = { ...options.holder, since: now, time: now };
    let fd: number | undefined;
    try {
      fd = file.create(holder);
    } catch (error) {
      if (isAbsent(error)) {
        this.#warnOnce('', `the folder for locks is gone (${this.folder}); going on with compare-and-swap alone`);
        return { kind: 'absent' };
      }
      throw errnoOf(error) === undefined ? error : ioError('lock', file.path, error);
    }
    if (fd === undefined) {
      return 'held-by-another';
    }
    const lock = new HeldLock({
      host: this.#host,
      name,
      path: file.path,
      fd,
      holder,
      capMs: options.capMs,
      onLost: options.onLost,
      takeAway: () => {
        const seen = file.look();
        if (seen?.record.kind === 'ok' && seen.record.holder.nonce === holder.nonce) {
          file.takeAway(seen);
        }
      },
    });
    return { kind: 'held', lock };
  }

  #mayTake({ record, renewed }: FoundLock, liveness: Liveness, capMs: number): boolean {
    return mayBeTaken({
      liveness,
      since: record.kind === 'ok' ? record.holder.since : null,
      renewed,
      now: this.#host.clock.now(),
      capMs,
    });
  }

  #tellTakenOver(name: string, { record }: FoundLock, liveness: Liveness): void {
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
