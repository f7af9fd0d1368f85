import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { existsSync, readFileSync, renameSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { lockSync } from 'proper-lockfile';
import { wait } from '../base/clock';
import { errnoOf, ioError, messageOf } from '../base/errors';
import type { Host } from './host';
import { readTextIfThere } from './files';
import { describeHolder, type Holder, isProvenDead, ownIdentity, parseHolder } from './processIdentity';

/** How long a holder that gives no sign of life keeps a lock, in milliseconds (Hermes' rule: 300 s). */
export const LOCK_TTL_MS = 300_000;
const HEARTBEAT_MS = 10_000;

export type Locked =
  | { readonly kind: 'held'; readonly release: () => void }
  /** Somebody else held it for as long as we were willing to wait. */
  | { readonly kind: 'busy'; readonly holder: Holder | undefined }
  /** The place for locks is gone: go on without, compare-and-swap still judges. */
  | { readonly kind: 'absent' };

export async function newHolder(host: Host, purpose: string, agent: string): Promise<Holder> {
  return {
    format: 1,
    ...(await ownIdentity()),
    thread: threadId,
    agent,
    nonce: randomBytes(4).toString('hex'),
    purpose,
    time: host.clock.now(),
  };
}

/**
 * Files that spare writers wasted work. Nothing's correctness rests on them: the ref's old oid judges. The library's own
 * reclaim goes by age and can admit two holders; what proof allows (a dead holder) is taken over here, with the record.
 */
export class LockFolder {
  readonly #folder: string;
  readonly #host: Host;
  #warned = false;

  constructor(folder: string, host: Host) {
    this.#folder = folder;
    this.#host = host;
  }

  file(name: string): string {
    return join(this.#folder, name);
  }

  /** Whether the lock is held at this moment, by whomever. */
  isHeld(name: string): boolean {
    return existsSync(`${this.file(name)}.lock`);
  }

  /** Who holds a lock now, as far as it told. */
  async holder(name: string): Promise<Holder | undefined> {
    const text = await readTextIfThere(`${this.file(name)}.holder`);
    return text === undefined ? undefined : parseHolder(text);
  }

  /**
   * Takes a lock, waiting at most `waitMs`.
   * @param onWait told once, as soon as somebody else is found to hold it
   * @throws BulkheadError of kind `io` for anything but a lock that is held or a folder that is gone
   */
  async acquire(
    name: string,
    options: {
      readonly holder: Holder;
      readonly waitMs: number;
      readonly record: boolean;
      readonly onWait?: (holder: Holder | undefined) => void;
    },
  ): Promise<Locked> {
    const { clock, random, log } = this.#host;
    const file = this.file(name);
    const deadline = clock.now() + options.waitMs;
    let told = false;
    for (;;) {
      try {
        const release = lockSync(file, {
          realpath: false,
          stale: LOCK_TTL_MS,
          update: HEARTBEAT_MS,
          onCompromised: (error) => {
            log.warn(`the lock ${name} was taken from us: ${messageOf(error)}`);
          },
        });
        if (options.record) {
          this.#writeHolder(name, options.holder);
        }
        return {
          kind: 'held',
          release: () => {
            this.#release(name, release, options.record);
          },
        };
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === 'ENOENT' || errno === 'ENOTDIR') {
          if (!this.#warned) {
            this.#warned = true;
            log.warn(`the folder for locks is gone (${this.#folder}); going on with compare-and-swap alone`);
          }
          return { kind: 'absent' };
        }
        if (errno !== 'ELOCKED') {
          throw errno === undefined ? error : ioError('lock', file, error);
        }
      }
      const holder = await this.holder(name);
      if (holder !== undefined && (await isProvenDead(holder))) {
        this.#takeFromDead(name, holder);
        continue;
      }
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

  #release(name: string, release: () => void, recorded: boolean): void {
    if (recorded) {
      removeQuietly(`${this.file(name)}.holder`);
    }
    try {
      release();
    } catch (error) {
      // Taken from us in the meantime (a pause longer than the time to live): it is not ours to remove any more.
      this.#host.log.debug(`the lock ${name} was not ours any more: ${messageOf(error)}`);
    }
  }

  /** One write without a rename, because it lies in the path of every save: a torn record is taken for none, and none proves nothing. */
  #writeHolder(name: string, holder: Holder): void {
    try {
      writeFileSync(`${this.file(name)}.holder`, JSON.stringify(holder), { mode: 0o600 });
    } catch (error) {
      // The lock itself is held; only who holds it cannot be told.
      this.#host.log.debug(`the holder of ${name} is not recorded: ${messageOf(error)}`);
    }
  }

  #takeFromDead(name: string, holder: Holder): void {
    // A rename has one winner among those who found the same dead holder.
    const record = `${this.file(name)}.holder`;
    const taken = `${record}.${randomBytes(4).toString('hex')}`;
    try {
      renameSync(record, taken);
    } catch {
      // Another one was faster.
      return;
    }
    try {
      if (parseHolder(readFileSync(taken, 'utf8'))?.nonce !== holder.nonce) {
        // A living one had taken it over in between: it keeps it.
        renameSync(taken, record);
        return;
      }
      this.#host.log.info(`the lock ${name} is taken over: ${describeHolder(holder, this.#host.clock.now())} is gone`);
      rmdirSync(`${this.file(name)}.lock`);
    } catch (error) {
      this.#host.log.debug(`the lock ${name} of a dead holder: ${messageOf(error)}`);
    }
    removeQuietly(taken);
  }
}

function removeQuietly(file: string): void {
  try {
    unlinkSync(file);
  } catch {
    // It is gone already, or the folder is: then nobody reads it.
  }
}
