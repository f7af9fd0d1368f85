import { type FSWatcher, watch } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Disposable } from '../base/disposable';
import { isAbsent, messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import { sessionOfShadowRef } from '../core/refName';
import { listRefs } from '../git/forEachRef';
import { makeFolder } from './files';
import type { Host } from './host';
import type { SnapshotStore } from './snapshotStore';

const QUIET_MS = 30;

export interface RefChanges {
  /** Sessions whose shadow ref moved. */
  readonly snapshots: ReadonlySet<string>;
  /** A record was made, changed or removed. */
  readonly records: boolean;
}

interface Watched {
  readonly watcher: FSWatcher;
  /** Which folder it is that is watched: one of the same name may be another by now. */
  readonly identity: string;
}

/**
 * Follows what other processes do to the store's refs, by watching the few folders that they live in. Git removes a folder
 * with its last ref and makes a new one with the next, so after each event it is looked whether they are still the same.
 */
export class RefWatcher implements Disposable {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #onChange: (changes: RefChanges) => void;
  readonly #watched = new Map<string, Watched>();
  #known = new Map<string, Oid>();
  #timer: Disposable | undefined;
  #running: Promise<void> = Promise.resolve();
  #disposed = false;

  constructor(host: Host, store: SnapshotStore, onChange: (changes: RefChanges) => void) {
    this.#host = host;
    this.#store = store;
    this.#onChange = onChange;
  }

  async start(): Promise<void> {
    this.#known = await this.#read();
    // Watches, and then looks again for what happened in between.
    const first = this.#look();
    this.#running = first.catch(() => undefined);
    await first;
  }

  /** Watches each folder that is not watched yet, or is another one than before. */
  async #watch(): Promise<void> {
    const refs = join(this.#store.gitDir, 'refs', 'bulkhead');
    for (const folder of [refs, join(refs, 'sessions'), join(refs, 'records')]) {
      await makeFolder(folder);
      const identity = await identityOf(folder);
      const before = this.#watched.get(folder);
      if (this.#disposed || (identity !== undefined && identity === before?.identity)) {
        continue;
      }
      this.#unwatch(folder);
      if (identity === undefined) {
        // Removed again in between; the folder above tells of the next one.
        continue;
      }
      try {
        this.#watched.set(folder, { watcher: this.#watcherOf(folder), identity });
      } catch (error) {
        if (!isAbsent(error)) {
          throw error;
        }
      }
    }
  }

  #watcherOf(folder: string): FSWatcher {
    const watcher = watch(folder, (_event, name) => {
      if (name === basename(folder)) {
        // About the folder itself: removed, as a rule, and the next one may even get its number.
        this.#unwatch(folder);
      }
      this.#soon();
    });
    watcher.on('error', (error) => {
      this.#host.log.info(`${folder} is watched anew: ${error.message}`);
      this.#unwatch(folder);
      this.#soon();
    });
    return watcher;
  }

  #unwatch(folder: string): void {
    this.#watched.get(folder)?.watcher.close();
    this.#watched.delete(folder);
  }

  #soon(): void {
    if (this.#disposed) {
      return;
    }
    this.#timer ??= this.#host.clock.schedule(QUIET_MS, () => {
      this.#timer = undefined;
      this.#running = this.#running
        .then(() => this.#look())
        .catch((error: unknown) => {
          this.#host.log.warn(`the refs could not be read: ${messageOf(error)}`);
        });
    });
  }

  async #look(): Promise<void> {
    if (this.#disposed) {
      return;
    }
    // First, so that nothing happens between the reading and the watching.
    await this.#watch();
    const now = await this.#read();
    const changed = [...new Set([...now.keys(), ...this.#known.keys()])].filter(
      (ref) => now.get(ref) !== this.#known.get(ref),
    );
    this.#known = now;
    const snapshots = new Set(changed.map((ref) => sessionOfShadowRef(ref)).filter((session) => session !== undefined));
    const records = changed.some((ref) => ref.startsWith('refs/bulkhead/records/'));
    if (snapshots.size > 0 || records) {
      this.#onChange({ snapshots, records });
    }
  }

  #read(): Promise<Map<string, Oid>> {
    return listRefs(this.#host.git, this.#store.gitDir, [
      'refs/bulkhead/sessions',
      'refs/bulkhead/workspace',
      'refs/bulkhead/records',
    ]);
  }

  dispose(): void {
    this.#disposed = true;
    this.#timer?.dispose();
    for (const { watcher } of this.#watched.values()) {
      watcher.close();
    }
  }
}

async function identityOf(folder: string): Promise<string | undefined> {
  try {
    const { ino, birthtimeNs } = await lstat(folder, { bigint: true });
    return `${String(ino)} ${String(birthtimeNs)}`;
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw error;
  }
}
