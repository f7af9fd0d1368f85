import { readdir, statfs } from 'node:fs/promises';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { BulkheadError, errnoOf, ioError, isAbsent } from '../base/errors';
import { parseFormatted } from '../core/formattedJson';
import { STORE_CLAIM } from '../core/refName';
import { endOfStderr, GitError } from '../git/gitError';
import type { MaintenanceResult, StoreSize } from './api';
import type { Claims } from './claims';
import { restoreClosedRefs } from './closedChains';
import { namesIn, readTextIfThere, writeFileAtomic } from './files';
import type { Host } from './host';
import { packsToRewrite } from './packGeometry';
import type { SnapshotStore } from './snapshotStore';
import { findLeftovers, sweepLeftovers } from './storeLeftovers';

/** What nothing leads to is kept for so long: a snapshot's objects are written before its ref moves. */
const EXPIRE = '1.day.ago';
const EXPIRE_MS = 86_400_000;

/**
 * Loose objects from which on a run is worth it. Each takes a block of the disk, 4 kB as a rule, however small it is: this
 * many waste 40 MB. A save writes about seven, so it takes a busy day. Reading does not get slower by them.
 */
const MANY_LOOSE = 10_000;
/** So many make a run due although one was made within a day. */
const VERY_MANY_LOOSE = 50_000;
/** Below this a run has nothing to do, however long ago the last one was. */
const FEW_LOOSE = 500;
const DAY_MS = 86_400_000;
const LONG_AGO_MS = 7 * DAY_MS;
/**
 * A full repack writes the whole store anew, so it is rare. It alone removes what nothing leads to and was packed meanwhile:
 * snapshots that lost a race, claims, old records. That is little, so a month of it may lie there.
 */
const FULL_EVERY_MS = 30 * DAY_MS;

/** Not all processors and not all memory: nobody waits for it. */
const GENTLE = ['-c', 'pack.threads=1', '-c', 'pack.windowMemory=100m', '-c', 'pack.deltaCacheSize=32m'];

const STATE_FILE = 'maintenance.json';
const FORMAT = 1;

/** When the store was tidied up. Milliseconds since 1970-01-01 UTC, each. */
interface State {
  readonly first: number;
  readonly last: number;
  readonly lastFull: number | null;
}

export interface MaintenanceOptions {
  readonly host: Host;
  readonly store: SnapshotStore;
  readonly claims: Claims;
  readonly storageRoot: string;
  /** Bytes that are free where a folder is; tests pretend. */
  readonly freeBytes?: (folder: string) => Promise<number>;
}

/**
 * Keeps the store small: packs loose objects, and removes what has been out of reach for a day. Takes no lock that a
 * checkpoint waits for; one process does it at a time, under a claim on the store.
 */
export class Maintenance {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #claims: Claims;
  readonly #root: string;
  readonly #freeBytes: (folder: string) => Promise<number>;
  #warned = false;

  constructor(options: MaintenanceOptions) {
    this.#host = options.host;
    this.#store = options.store;
    this.#claims = options.claims;
    this.#root = options.storageRoot;
    this.#freeBytes = options.freeBytes ?? freeBytes;
  }

  /**
   * Whether there is enough to do: many loose objects and no run for a day, very many, or some and no run for a week. Never
   * where a newer version tidies up.
   */
  async isDue(): Promise<boolean> {
    const loose = await this.#estimateLoose();
    if (loose < FEW_LOOSE) {
      return false;
    }
    const now = this.#host.clock.now();
    const found = await this.#readState(now);
    if (found === 'newer') {
      if (!this.#warned) {
        this.#warned = true;
        this.#host.log.warn(
          'the store was tidied up by a newer version of Bulkhead, and this one leaves that to it. Update Bulkhead in this window, too',
        );
      }
      return false;
    }
    const since = found === undefined ? Infinity : now - found.last;
    return loose >= VERY_MANY_LOOSE || (loose >= MANY_LOOSE && since >= DAY_MS) || since >= LONG_AGO_MS;
  }

  /**
   * @throws BulkheadError `claimed` (kind `busy`) while another process does it; `maintenance-newer`; CancelledError; of kind
   * `io` and `git`.
   * Whenever it ends, nothing that a ref leads to and nothing that is younger than a day is gone
   */
  run(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<MaintenanceResult> {
    return this.#claims.hold(STORE_CLAIM, 'maintenance', this.#host.product, () => this.#run(options.signal));
  }

  async #run(signal: AbortSignal | undefined): Promise<MaintenanceResult> {
    const started = this.#host.clock.now();
    const state = await this.#readState(started);
    if (state === 'newer') {
      throw new BulkheadError(
        'damaged',
        'maintenance-newer',
        'The snapshot store was tidied up by a newer version of Bulkhead, whose rules are not known here. Nothing was changed. Update Bulkhead.',
      );
    }
    const before = await this.#size();
    const swept = await sweepLeftovers(await findLeftovers(this.#store.gitDir, started));
    const closedRefs = await restoreClosedRefs(this.#host, this.#store);
    const skipped: { step: string; reason: string }[] = [];
    const step = async (name: string, bytes: number, args: readonly string[]): Promise<string | undefined> => {
      const free = await this.#freeBytes(this.#store.gitDir);
      if (free < 2 * bytes) {
        skipped.push({
          step: name,
          reason: `It may write ${megabytes(bytes)}, and only ${megabytes(free)} are free; twice as much has to be.`,
        });
        return undefined;
      }
      const { code, stdout, stderr } = await this.#host.git.run(
        [...GENTLE, `--git-dir=${this.#store.gitDir}`, ...args],
        { signal, background: true, expect: [0, 1, 128] },
      );
      if (code !== 0) {
        skipped.push({
          step: name,
          reason: `Git refused it, because something cannot be read: ${endOfStderr(stderr)} Nothing was removed; "bulkhead doctor" tells more.`,
        });
        return undefined;
      }
      return stdout.toString('latin1');
    };

    // Before packing: what is packed is out of the reach of a prune.
    let pruned = 0;
    if (await this.#hasOldLoose(started)) {
      const removed = await step('prune', 0, ['prune', '--verbose', `--expire=${EXPIRE}`]);
      pruned = removed?.split('\n').filter((line) => /^[0-9a-f]{40,64} /.test(line)).length ?? 0;
    }
    const isFull =
      this.#host.git.can('cruft') && started - (state?.lastFull ?? state?.first ?? started) >= FULL_EVERY_MS;
    const whole = before.looseBytes + before.packBytes;
    const didFull =
      isFull &&
      (await step('full repack', whole, ['repack', '-d', '-q', '--cruft', `--cruft-expiration=${EXPIRE}`])) !==
        undefined;
    if (!didFull) {
      const rewritten = await packsToRewrite(join(this.#store.gitDir, 'objects', 'pack'));
      await step('repack', before.looseBytes + rewritten, ['repack', '-d', '-q', '--geometric=2', '--write-midx']);
    }
    const after = await this.#size();
    const result: MaintenanceResult = {
      time: started,
      before,
      after,
      full: didFull,
      pruned,
      swept,
      closedRefs,
      skipped,
    };
    await this.#writeState(
      {
        first: state?.first ?? started,
        last: started,
        lastFull: didFull ? started : (state?.lastFull ?? null),
      },
      result,
    );
    this.#host.log.info(
      `maintenance of the store: ${String(before.loose)} loose objects and ${String(before.packs)} packs became ${String(after.loose)} and ${String(after.packs)}`,
    );
    return result;
  }

  async #size(): Promise<StoreSize> {
    return parseObjectCounts(await this.#host.git.text([`--git-dir=${this.#store.gitDir}`, 'count-objects', '-v']));
  }

  /** Object names are spread evenly, so a few of the 256 folders tell how many there are. */
  async #estimateLoose(): Promise<number> {
    const sample = ['17', '3b', '5e', '80', 'a2', 'c5', 'e9', 'fe'];
    let found = 0;
    for (const name of sample) {
      try {
        found += (await readdir(join(this.#store.gitDir, 'objects', name))).length;
      } catch (error) {
        if (!isAbsent(error)) {
          throw ioError('open', join(this.#store.gitDir, 'objects', name), error);
        }
      }
    }
    return (found * 256) / sample.length;
  }

  /** A prune walks all that can be reached: not worth it when no loose object is old enough to go. */
  async #hasOldLoose(now: number): Promise<boolean> {
    const objects = join(this.#store.gitDir, 'objects');
    for (const folder of (await namesIn(objects)).filter((name) => /^[0-9a-f]{2}$/.test(name))) {
      const isOld = (await namesIn(join(objects, folder))).some((file) => {
        const stats = statSync(join(objects, folder, file), { throwIfNoEntry: false });
        return stats !== undefined && now - stats.mtimeMs >= EXPIRE_MS;
      });
      if (isOld) {
        return true;
      }
    }
    return false;
  }

  async #readState(now: number): Promise<State | 'newer' | undefined> {
    const text = await readTextIfThere(join(this.#root, STATE_FILE));
    const parsed = text === undefined ? undefined : parseMaintenance(text);
    switch (parsed?.kind) {
      case 'ok': {
        const { first, last, lastFull } = parsed.state;
        // A clock that was ahead then and was set back must not put the next run off for as long.
        return {
          first: Math.min(first, now),
          last: last > now ? 0 : last,
          lastFull: lastFull !== null && lastFull > now ? null : lastFull,
        };
      }
      case 'newer':
        return 'newer';
      case 'damaged':
        this.#host.log.info(`${STATE_FILE} cannot be read and is written anew`);
        return undefined;
      case undefined:
        return undefined;
    }
  }

  async #writeState(state: State, result: MaintenanceResult): Promise<void> {
    await writeFileAtomic(
      join(this.#root, STATE_FILE),
      `${JSON.stringify({ format: FORMAT, ...state, result }, null, 2)}\n`,
    );
  }
}

type ParsedMaintenance =
  | { readonly kind: 'ok'; readonly state: State }
  | { readonly kind: 'newer' }
  /** It does not tell when the store was tidied up. */
  | { readonly kind: 'damaged' };

export function parseMaintenance(text: string): ParsedMaintenance {
  const parsed = parseFormatted(text, FORMAT);
  if (parsed.kind !== 'ok') {
    return parsed;
  }
  const { first, last, lastFull } = parsed.fields;
  return isTime(first) && isTime(last)
    ? { kind: 'ok', state: { first, last, lastFull: isTime(lastFull) ? lastFull : null } }
    : { kind: 'damaged' };
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Parses what `count-objects -v` prints. @throws GitError `git-output-invalid` */
export function parseObjectCounts(text: string): StoreSize {
  // So many KiB no disk has, and of more the bytes would be no exact number.
  const value = (key: string): number => {
    const [, digits] = new RegExp(`^${key}: (\\d{1,12})$`, 'm').exec(text) ?? [];
    if (digits === undefined) {
      throw new GitError('git-output-invalid', `git count-objects does not tell "${key}": ${text.slice(0, 200)}`);
    }
    return Number(digits);
  };
  return {
    loose: value('count'),
    // Git counts in KiB.
    looseBytes: value('size') * 1024,
    packs: value('packs'),
    packed: value('in-pack'),
    packBytes: value('size-pack') * 1024,
  };
}

/** Free for us, not for the administrator. */
export async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    if (errnoOf(error) === 'ENOSYS') {
      return Infinity;
    }
    throw ioError('look at', folder, error);
  }
}

function megabytes(bytes: number): string {
  return `${String(Math.ceil(bytes / 1_000_000))} MB`;
}
