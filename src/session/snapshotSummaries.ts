import type { Oid } from '../core/objectId';
import { listRefs } from '../git/forEachRef';
import type { Session } from './api';
import type { Host } from './host';
import type { SnapshotHealth } from './snapshotHealth';
import type { SnapshotReader } from './snapshotReader';
import { isDamage, type SnapshotStore } from './snapshotStore';

type SnapshotSummary = Pick<Session, 'snapshots' | 'newest' | 'newestTime' | 'newestTree' | 'damage'>;

/** What the newest snapshot of a session tells: where the session stands, and how many snapshots it has. */
export class SnapshotSummaries {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #health: SnapshotHealth;
  readonly #reader: SnapshotReader;
  /** Snapshots in the closed chains of a session, as long as its present chain is the one with that number. */
  readonly #closed = new Map<string, { readonly current: number; readonly count: number }>();

  constructor(host: Host, store: SnapshotStore, health: SnapshotHealth, reader: SnapshotReader) {
    this.#host = host;
    this.#store = store;
    this.#health = health;
    this.#reader = reader;
  }

  async of(session: string): Promise<SnapshotSummary> {
    const standing = await this.#health.standing(session);
    const newest = standing.good;
    const damage = standing.damage?.text ?? null;
    const commit = newest === null ? undefined : await this.#reader.nearest(newest);
    if (commit === undefined) {
      return { snapshots: 0, newest, newestTime: null, newestTree: null, damage };
    }
    const closed = commit.meta.chain.number === 1 ? 0 : await this.#closedSnapshots(session, commit.meta.chain.number);
    return {
      snapshots: closed + commit.meta.chain.ordinal,
      newest: commit.oid,
      newestTime: commit.time,
      newestTree: commit.tree,
      damage,
    };
  }

  /** Each closed chain's last snapshot knows how many the chain has. */
  async #closedSnapshots(session: string, current: number): Promise<number> {
    const known = this.#closed.get(session);
    if (known?.current === current) {
      return known.count;
    }
    const tips = await listRefs(this.#host.git, this.#store.gitDir, [`refs/bulkhead/closed/${session}`]);
    let count = 0;
    for (const tip of tips.values()) {
      count += await this.#lengthOfChain(tip);
    }
    this.#closed.set(session, { current, count });
    return count;
  }

  async #lengthOfChain(tip: Oid): Promise<number> {
    try {
      return (await this.#reader.nearest(tip))?.meta.chain.ordinal ?? 0;
    } catch (error) {
      if (isDamage(error)) {
        // Its snapshots are not lost with it, but nobody knows how many they are.
        return 0;
      }
      throw error;
    }
  }
}
