import { KeyedQueue } from '../base/async';
import { wait } from '../base/clock';
import { BulkheadError } from '../base/errors';
import { describeHolder, type Holder } from '../core/holder';
import { emptyTreeOid, type Oid } from '../core/objectId';
import { claimRef, shadowRef } from '../core/refName';
import type { RepoPath } from '../core/repoPath';
import type { Trigger } from '../core/snapshotMessage';
import type { TreeChange } from '../core/treeDiff';
import { CancelledError } from '../git/gitError';
import type { CheckpointResult, SkippedPath } from './api';
import type { Claims } from './claims';
import type { HeadSource } from './heads';
import { newHolder } from './holders';
import type { Host } from './host';
import type { LockFolder } from './locks';
import { type Newest, NewestSnapshot } from './newestSnapshot';
import { PathCapture } from './pathCapture';
import { pathChange } from './pathChanges';
import { othersTurn } from './slices';
import type { SnapshotHealth } from './snapshotHealth';
import { SnapshotPublisher } from './snapshotPublisher';
import type { SnapshotRequest } from './snapshotRequest';
import type { SnapshotStore } from './snapshotStore';
import { SparsePaths } from './sparsePaths';
import { StatCache } from './statCache';
import { TrackedTreesReader } from './trackedTrees';
import { changesOf } from './treeBuilder';
import { type Recorded, TreeRecorder } from './treeRecorder';
import { WriterTurn } from './writerTurn';
import type { WorkTree } from './workTree';

/** Trace's number. */
const TRIES = 16;
const CLAIM_WAIT_MS = 10_000;

/** A wait that a person may want to know of. */
export interface Waiting {
  readonly what: 'lock' | 'race' | 'claim';
  readonly holder: string;
}

/** What became of a request. */
export interface Recording extends CheckpointResult {
  /** An ignore file or HEAD changed, so that other paths may be recorded otherwise than before. */
  readonly rulesChanged: boolean;
  /** Nothing was recorded, as the request wanted it. */
  readonly heldBack: boolean;
}

/**
 * Recorded even when nothing changed, because moving the ref is what keeps others out: whoever looked for a claim before
 * this one was taken has the old newest snapshot in hand and loses the race. (A person is promised them anyway.)
 */
const FENCES: ReadonlySet<Trigger> = new Set<Trigger>(['before-restore', 'before-apply', 'final']);

/** After so many tries a lock file of git's is reported: git itself has waited 0.1 s each time. */
const REF_LOCK_TRIES = 4;

export interface WriterSite {
  readonly session: string;
  readonly workTree: WorkTree;
  readonly head: HeadSource;
  /** Reads the tree of the session's base; null: the base is HEAD, as in the user's own checkout. */
  readonly readBase: (() => Promise<Oid>) | null;
  readonly statCacheFolder: string;
}

/** Makes the snapshots of one work tree: captures paths, writes trees and commit, and moves the shadow ref. */
export class SnapshotWriter {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #locks: LockFolder;
  readonly #site: WriterSite;
  readonly #capture: PathCapture;
  readonly #statCache: StatCache;
  readonly #tracked: TrackedTreesReader;
  readonly #recorder: TreeRecorder;
  readonly #newest: NewestSnapshot;
  readonly #publisher: SnapshotPublisher;
  readonly #queue = new KeyedQueue<'write'>();
  readonly #claims: Claims;
  readonly #beforeWrite: () => Promise<void>;
  readonly #onMoved: () => void;
  readonly #onWaiting: (waiting: Waiting | null) => void;

  constructor(options: {
    readonly host: Host;
    readonly store: SnapshotStore;
    readonly locks: LockFolder;
    readonly claims: Claims;
    readonly health: SnapshotHealth;
    readonly site: WriterSite;
    /** Finishes what was cut off, so that half of a restore is not taken for somebody's writes. */
    readonly beforeWrite: () => Promise<void>;
    readonly onMoved: () => void;
    readonly onWaiting: (waiting: Waiting | null) => void;
  }) {
    this.#host = options.host;
    this.#store = options.store;
    this.#locks = options.locks;
    this.#site = options.site;
    this.#claims = options.claims;
    this.#beforeWrite = options.beforeWrite;
    this.#onMoved = options.onMoved;
    this.#onWaiting = options.onWaiting;
    const { host, store, claims, health } = options;
    const { session, head, workTree, readBase } = options.site;
    this.#capture = new PathCapture(host.git, store, workTree, {
      sparse: new SparsePaths(host.git, host.log, store.gitDir, head.gitDir),
      // What the user's own submodules point to may lie beside her work tree; an agent's may not.
      gitFolders: head.trusted ? [head.gitDir, head.commonDir] : [],
    });
    this.#statCache = new StatCache(host, store, workTree, options.site.statCacheFolder);
    this.#tracked = new TrackedTreesReader(host, store, head, readBase);
    this.#recorder = new TreeRecorder({
      store,
      workTree,
      capture: this.#capture,
      statCache: this.#statCache,
      tracked: this.#tracked,
      maxFileSize: host.settings.maxFileSize,
    });
    this.#newest = new NewestSnapshot({
      host,
      store,
      health,
      session,
      tracked: this.#tracked,
      recorder: this.#recorder,
    });
    this.#publisher = new SnapshotPublisher(host, store, claims, session);
  }

  get statCache(): StatCache {
    return this.#statCache;
  }

  get pathCapture(): PathCapture {
    return this.#capture;
  }

  get pids(): readonly number[] {
    return this.#capture.pids;
  }

  /**
   * Records the work tree, or some of its paths.
   * @returns with `snapshot` null when the tree is that of the newest snapshot
   * @throws BulkheadError `lost-race`, `ref-locked`, `claimed` (kind `busy`), or of kind `io` and `git`
   */
  async snapshot(request: SnapshotRequest): Promise<Recording> {
    // Once: what cannot be finished, because a newer version began it, must not keep everybody waiting.
    for (let leavesOver = true; ; leavesOver = false) {
      if (request.underClaim !== true) {
        await this.#beforeWrite();
      }
      const result = await this.#queue.run('write', () => this.#snapshot(request));
      if (result !== 'claimed') {
        // A save that asks no other process is over before the event loop has come round: who makes one after the other would keep
        // signs of life and the answers of other processes waiting.
        await othersTurn();
        return result;
      }
      // Waited for outside of the queue: the holder of the claim has snapshots of its own to make.
      try {
        await this.#claims.waitUntilFree(this.#site.session, {
          waitMs: CLAIM_WAIT_MS,
          leavesOver,
          onWait: (holder) => {
            this.#onWaiting({ what: 'claim', holder });
          },
        });
      } finally {
        this.#onWaiting(null);
      }
      this.#newest.forget();
    }
  }

  /** The tree that a snapshot of everything would have now; writes objects, and moves no ref. */
  async liveTree(signal?: AbortSignal): Promise<Oid> {
    return (await this.live(signal)).tree;
  }

  /**
   * As `liveTree`, with the paths whose present content that tree does not hold. With `paths` only those are looked at, and
   * of them the `forced` ones although they are ignored or large.
   */
  live(
    signal?: AbortSignal,
    paths?: readonly RepoPath[],
    forced?: ReadonlySet<RepoPath>,
  ): Promise<{ readonly tree: Oid; readonly skipped: readonly SkippedPath[] }> {
    return this.#queue.run('write', async () => {
      const newest = await this.#newest.read();
      return paths !== undefined && !newest.damaged
        ? this.#recorder.paths(paths, newest.tree, forced)
        : this.#recorder.everything(newest.tree, { signal });
    });
  }

  /** Writes every object of the present work tree again: what of it the store has lost is there afterwards. Moves no ref. */
  async rewrite(signal?: AbortSignal): Promise<void> {
    await this.#queue.run('write', () => this.#recorder.everything(emptyTreeOid(this.#store.format), { signal }));
  }

  async #snapshot(request: SnapshotRequest): Promise<Recording | 'claimed'> {
    const turn = new WriterTurn(this.#locks, this.#site.session, () =>
      newHolder(this.#host, 'checkpoint', request.agent),
    );
    const queue = (): Promise<void> =>
      turn.take((other) => {
        this.#onWaiting({ what: 'lock', holder: this.#describe(other) });
      });
    try {
      if (turn.isTaken()) {
        await queue();
      }
      return await this.#tryUntilDone(request, turn, queue);
    } finally {
      this.#onWaiting(null);
      turn.release();
    }
  }

  async #tryUntilDone(
    request: SnapshotRequest,
    turn: WriterTurn,
    queue: () => Promise<void>,
  ): Promise<Recording | 'claimed'> {
    let newest = await this.#newest.current();
    let built: Recorded | undefined;
    for (let attempt = 1; ; attempt++) {
      if (request.signal?.aborted === true) {
        throw new CancelledError();
      }
      // Asked now that the old value of the ref is known, and answered while the files are read: see FENCES.
      let current: Recorded;
      let isClaimed: boolean;
      try {
        [current, isClaimed] = await Promise.all([built ?? this.#record(newest, request), this.#isClaimed(request)]);
      } catch (error) {
        newest = await this.#newest.afterDamage(newest, error);
        built = undefined;
        continue;
      }
      const { tree, edits, skipped, rulesChanged } = current;
      const answer = (snapshot: Oid | null, last: Oid | null, changes: readonly TreeChange[]): Recording => ({
        session: this.#site.session,
        snapshot,
        newest: last,
        tree,
        changed: changes.map(pathChange),
        skipped,
        rulesChanged,
        heldBack: false,
      });
      const isNew = newest.damaged || newest.covered || request.always === true || FENCES.has(request.trigger);
      if (tree === newest.tree && newest.oid !== null && !isNew) {
        // What we take for the newest may be out of date, and then "no change" would be wrong.
        if ((await this.#store.ref(shadowRef(this.#site.session))) === newest.oid) {
          return answer(null, newest.oid, []);
        }
        if (attempt >= TRIES) {
          throw await this.#lostRace();
        }
        await this.#pause(attempt);
        newest = await this.#newest.read();
        built = undefined;
        continue;
      }
      if (isClaimed) {
        return 'claimed';
      }
      const changes = await changesOf(this.#store, newest.tree, tree, edits);
      if ((await request.holdBack?.(changes.map(({ path }) => path))) === true) {
        return { ...answer(null, newest.oid, []), heldBack: true };
      }
      const content = { tree, changes, skipped, head: this.#tracked.head };
      const published = await this.#publisher.publish(newest, content, request, { holdsLock: turn.isHeld });
      if (published.kind === 'made') {
        const { oid } = published.newest;
        this.#newest.made(published.newest);
        this.#onMoved();
        return answer(oid, oid, changes);
      }
      if (published.kind === 'ref-locked' && attempt >= REF_LOCK_TRIES) {
        throw published.error;
      }
      if (attempt >= TRIES) {
        throw await this.#lostRace();
      }
      this.#onWaiting({ what: 'race', holder: this.#describe(await this.#locks.holder(this.#site.session)) });
      await queue();
      // A foreign snapshot has to be closed by the next one: two refs move then, which is git's, and it starts while we wait.
      this.#store.prepareMove(this.#site.session);
      await this.#pause(attempt);
      const before = newest;
      newest = await this.#newest.read();
      // A foreign hand that put a commit on top of the same snapshot of ours changed nothing that we looked at. Looking again
      // would take longer than it takes such a hand to do that again, and nobody of us would ever win.
      built =
        newest.chain === null && newest.own === before.own && newest.damaged === before.damaged ? current : undefined;
    }
  }

  #pause(attempt: number): Promise<void> {
    return wait(this.#host.clock, 1 + this.#host.random.fraction() * 8 * Math.min(attempt, 4));
  }

  async #lostRace(): Promise<BulkheadError> {
    const holder = await this.#locks.holder(this.#site.session);
    return new BulkheadError(
      'busy',
      'lost-race',
      `Another writer was faster ${String(TRIES)} times in a row (${this.#describe(holder)}). Nothing was overwritten, and the files are as they were; try again.`,
      { data: { session: this.#site.session, tries: TRIES, holder: holder ?? null } },
    );
  }

  /** Nobody else records a work tree while somebody restores, applies or deletes it. */
  async #isClaimed(request: SnapshotRequest): Promise<boolean> {
    return request.underClaim !== true && (await this.#store.hasRef(claimRef(this.#site.session)));
  }

  #describe(holder: Holder | undefined): string {
    return holder === undefined ? 'another writer' : describeHolder(holder, this.#host.clock.now());
  }

  #record(newest: Newest, { paths, forced, signal }: SnapshotRequest): Promise<Recorded> {
    return paths === undefined || newest.damaged
      ? this.#recorder.everything(newest.tree, { forced, signal })
      : this.#recorder.paths(paths, newest.tree, forced);
  }

  async stop(): Promise<void> {
    await this.#queue.idle();
    await this.#capture.stop();
  }
}
