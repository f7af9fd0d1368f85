import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import type { Disposable } from '../base/disposable';
import { messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import { sessionOfShadowRef } from '../core/refName';
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

/** Follows what other processes do to the store's refs, by watching the few folders that they live in. */
export class RefWatcher implements Disposable {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #onChange: (changes: RefChanges) => void;
  readonly #watchers: FSWatcher[] = [];
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
    const refs = join(this.#store.gitDir, 'refs', 'bulkhead');
    for (const folder of [refs, join(refs, 'sessions'), join(refs, 'records')]) {
      await makeFolder(folder);
      if (this.#disposed) {
        return;
      }
      const watcher = watch(folder, () => {
        this.#soon();
      });
      watcher.on('error', (error) => {
        this.#host.log.warn(`${folder} is not watched any more: ${error.message}`);
      });
      this.#watchers.push(watcher);
    }
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

  async #read(): Promise<Map<string, Oid>> {
    const text = await this.#host.git.text([
      `--git-dir=${this.#store.gitDir}`,
      'for-each-ref',
      '--format=%(objectname) %(refname)',
      'refs/bulkhead/sessions',
      'refs/bulkhead/workspace',
      'refs/bulkhead/records',
    ]);
    const refs = new Map<string, Oid>();
    for (const line of text.split('\n').filter((part) => part !== '')) {
      refs.set(line.slice(line.indexOf(' ') + 1), line.slice(0, line.indexOf(' ')));
    }
    return refs;
  }

  dispose(): void {
    this.#disposed = true;
    this.#timer?.dispose();
    for (const watcher of this.#watchers) {
      watcher.close();
    }
  }
}
