import type { BulkheadError } from '../base/errors';
import type { ChainPosition } from '../core/chain';
import { emptyTreeOid, type Oid } from '../core/objectId';
import { parseMessage } from '../core/snapshotMessage';
import { GitError } from '../git/gitError';
import type { Host } from './host';
import type { SnapshotHealth } from './snapshotHealth';
import { SnapshotReader } from './snapshotReader';
import { isDamage, type SnapshotStore } from './snapshotStore';
import type { TrackedTreesReader } from './trackedTrees';
import type { TreeRecorder } from './treeRecorder';

/** What the next snapshot of a session goes on from. */
export interface Newest {
  /** Where the shadow ref stands. */
  readonly oid: Oid | null;
  /** What the next snapshot follows; another one than `oid` only when that is damaged. */
  readonly parent: Oid | null;
  /**
   * The newest snapshot is damaged, or behind too many foreign commits: the next one is made of everything, and is made even
   * when nothing changed.
   */
  readonly damaged: boolean;
  /** The newest snapshot of ours: `oid`, or what foreign commits were put upon. */
  readonly own: Oid | null;
  /** What that one says of the work tree; foreign commits say nothing of it. The base's tree before the first snapshot. */
  readonly tree: Oid;
  /** The ref shows another tree than that, by a foreign hand: the next one is made even when nothing changed. */
  readonly covered: boolean;
  /** Null: a foreign commit stands there. */
  readonly chain: ChainPosition | null;
}

/** Where a session stands, kept between the saves of this process: the ref's old value is what judges whether it still holds. */
export class NewestSnapshot {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #health: SnapshotHealth;
  readonly #session: string;
  readonly #tracked: TrackedTreesReader;
  readonly #recorder: TreeRecorder;
  readonly #reader: SnapshotReader;
  #known: Newest | undefined;

  constructor(options: {
    readonly host: Host;
    readonly store: SnapshotStore;
    readonly health: SnapshotHealth;
    readonly session: string;
    readonly tracked: TrackedTreesReader;
    readonly recorder: TreeRecorder;
  }) {
    this.#host = options.host;
    this.#store = options.store;
    this.#health = options.health;
    this.#session = options.session;
    this.#tracked = options.tracked;
    this.#recorder = options.recorder;
    this.#reader = new SnapshotReader(options.store, options.health);
  }

  /** As it was last read or made, without a look. */
  async current(): Promise<Newest> {
    return this.#known ?? this.read();
  }

  /** This process has just moved the ref there. */
  made(newest: Newest): void {
    this.#known = newest;
  }

  forget(): void {
    this.#known = undefined;
  }

  /** Looks at the shadow ref, and mends what is damaged there. */
  async read(): Promise<Newest> {
    const { ref: oid, good, readable, damage } = await this.#health.standing(this.#session);
    if (oid !== this.#known?.oid) {
      this.#tracked.forgetBase();
    }
    if (damage !== null) {
      return this.#mended(oid, damage.fault);
    }
    if (good === null) {
      const tree = await this.#firstParent();
      this.#known = { oid: null, parent: null, damaged: false, own: null, tree, covered: false, chain: null };
      return this.#known;
    }
    const { tree } = await this.#store.commit(good);
    const own = await this.#reader.nearest(good);
    this.#known = {
      oid,
      parent: readable,
      damaged: own === undefined,
      own: own?.oid ?? null,
      tree: own?.tree ?? tree,
      covered: own !== undefined && own.tree !== tree,
      // A message that cannot be read (a foreign hand) ends the chain: the next snapshot starts a new one behind it.
      chain: own?.oid === good ? own.meta.chain : null,
    };
    return this.#known;
  }

  /**
   * After damage: everything that is in the work tree is written again, which often makes the newest snapshot whole. If not,
   * the next one goes on from the newest whole one, and takes the place of the damaged one under the ref.
   */
  async #mended(oid: Oid | null, fault: BulkheadError): Promise<Newest> {
    if (oid === null) {
      // Where the ref stands cannot be told, so nothing can be compared and swapped.
      throw fault;
    }
    await this.#recorder.everything(emptyTreeOid(this.#store.format));
    const { good, readable, damage } = await this.#health.suspect(this.#session);
    const parent = good ?? readable;
    const commit = parent === null ? undefined : await this.#store.commit(parent);
    const chain = (commit === undefined ? undefined : parseMessage(commit.message))?.meta.chain ?? null;
    const tree = good === null || commit === undefined ? emptyTreeOid(this.#store.format) : commit.tree;
    this.#known = { oid, parent, damaged: damage !== null, own: good, tree, covered: false, chain };
    this.#host.log.warn(
      damage === null
        ? `${this.#session}: the objects that its newest snapshot ${oid} had lost were written again from the work tree`
        : `${this.#session}: the damaged snapshot ${oid} is left behind; the next one follows ${parent ?? 'none'}`,
    );
    return this.#known;
  }

  /**
   * A part of the newest snapshot that nobody had looked at may be what could not be read.
   * @throws the error itself when no damage is behind it
   */
  async afterDamage(newest: Newest, error: unknown): Promise<Newest> {
    const isSuspicious = isDamage(error) || (error instanceof GitError && error.code === 'git-exited');
    if (!isSuspicious || newest.damaged) {
      throw error;
    }
    if (newest.covered) {
      // Under the ref lies what a foreign hand put there, and nothing has to take its place.
      this.#known = { ...newest, damaged: true, tree: emptyTreeOid(this.#store.format) };
      return this.#known;
    }
    if ((await this.#health.suspect(this.#session)).damage === null) {
      throw error;
    }
    return this.read();
  }

  /** Before the first snapshot everything is compared with the base. */
  async #firstParent(): Promise<Oid> {
    const { base } = await this.#tracked.refresh();
    return (await this.#store.reader.info(base)) === undefined ? emptyTreeOid(this.#store.format) : base;
  }
}
