import { rm } from 'node:fs/promises';
import { KeyedQueue } from '../base/async';
import { wait } from '../base/clock';
import { BulkheadError } from '../base/errors';
import { type ChainPosition, firstInChain, nextInChain } from '../core/chain';
import { writeCommit } from '../core/commitObject';
import { describeHolder, type Holder } from '../core/holder';
import { emptyTreeOid, type Oid } from '../core/objectId';
import { claimRef, closedRef, shadowRef } from '../core/refName';
import type { RepoPath } from '../core/repoPath';
import { formatMessage, parseMessage, type Trigger } from '../core/snapshotMessage';
import { subjectFor } from '../core/subject';
import type { TreeChange } from '../core/treeDiff';
import { CancelledError, GitError } from '../git/gitError';
import type { RefMove } from '../git/updateRef';
import type { ChangeStatus, CheckpointResult, PathChange, SkippedPath } from './api';
import type { Claims } from './claims';
import { bringHead, currentHead, type HeadSource, type HeadState, lastHead } from './heads';
import type { Host } from './host';
import { newHolder } from './holders';
import type { LockFolder } from './locks';
import { type Captured, PathCapture, type TrackedTrees, withoutCovered } from './pathCapture';
import type { SnapshotHealth } from './snapshotHealth';
import { isDamage, refLocked, type SnapshotStore } from './snapshotStore';
import { SparsePaths, withoutLeftOut } from './sparsePaths';
import { StatCache } from './statCache';
import { changesOf, editTree, type PathEdits } from './treeBuilder';
import { WriterTurn } from './writerTurn';
import type { WorkTree } from './workTree';

/** Trace's number. */
const TRIES = 16;
const CLAIM_WAIT_MS = 10_000;

export interface SnapshotRequest {
  /** Absent: everything. */
  readonly paths?: readonly RepoPath[];
  /** Taken although ignored or large. */
  readonly forced?: ReadonlySet<RepoPath>;
  readonly trigger: Trigger;
  readonly subject?: string;
  readonly agent: string;
  readonly turn?: string | null;
  readonly reverses?: Oid;
  /** Make a snapshot even when the tree is the newest one's: the end of a restore is an event of its own. */
  readonly always?: boolean;
  /** Asked for by the holder of the session's claim; anybody else waits until the claim is gone. */
  readonly underClaim?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A wait that a person may want to know of. */
export interface Waiting {
  readonly what: 'lock' | 'race' | 'claim';
  readonly holder: string;
}

interface Newest {
  /** Where the shadow ref stands. */
  readonly oid: Oid | null;
  /** What the next snapshot follows; another one than `oid` only when that is damaged. */
  readonly parent: Oid | null;
  /** The newest snapshot is damaged: the next one is made of everything, and is made even when nothing changed. */
  readonly damaged: boolean;
  /** The base's tree before the first snapshot. */
  readonly tree: Oid;
  readonly chain: ChainPosition | null;
}

/** What a work tree looked like upon the newest snapshot. */
interface Built {
  readonly tree: Oid;
  readonly edits: PathEdits;
  readonly skipped: readonly SkippedPath[];
  readonly rulesChanged: boolean;
}

type Recorded = CheckpointResult & { readonly rulesChanged: boolean };

type Published =
  | { readonly kind: 'made'; readonly oid: Oid }
  /** Another writer moved the ref first. */
  | { readonly kind: 'lost-race' }
  /** Git's own lock file of the ref is in the way. */
  | { readonly kind: 'ref-locked'; readonly error: BulkheadError };

/**
 * Recorded even when nothing changed, because moving the ref is what keeps others out: whoever looked for a claim before
 * this one was taken has the old newest snapshot in hand and loses the race. (A person is promised them anyway.)
 */
const FENCES: ReadonlySet<Trigger> = new Set<Trigger>(['before-restore', 'before-apply', 'final']);

interface Built {
  readonly tree: Oid;
  readonly edits: PathEdits;
  readonly skipped: readonly SkippedPath[];
  readonly rulesChanged: boolean;
}

/** After so many tries a lock file of git's is reported: git itself has waited 0.1 s each time. */
const REF_LOCK_TRIES = 4;
/** A lock file of git's that is older than this belongs to no living transaction of ours, in milliseconds. */
const STALE_REF_LOCK_MS = 60_000;

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
  readonly #queue = new KeyedQueue<'write'>();
  readonly #claims: Claims;
  readonly #beforeWrite: () => Promise<void>;
  readonly #health: SnapshotHealth;
  readonly #onMoved: () => void;
  readonly #onWaiting: (waiting: Waiting | null) => void;
  #newest: Newest | undefined;
  #tracked: TrackedTrees | undefined;
  /** Undefined: to be read again. Only an apply moves it, and that ends with a snapshot: whoever meets another newest one reads it again. */
  #base: Oid | undefined;
  /** Where HEAD stood when `#tracked` was made; undefined when it has to be looked at again. */
  #headSeen: Oid | null | undefined;
  /** The commit behind `#tracked`. */
  #headNow: Oid | null = null;

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
    this.#health = options.health;
    this.#onMoved = options.onMoved;
    this.#onWaiting = options.onWaiting;
    const { git, log } = options.host;
    const { head, workTree } = options.site;
    this.#capture = new PathCapture(git, options.store, workTree, {
      sparse: new SparsePaths(git, log, options.store.gitDir, head.gitDir),
      // What the user's own submodules point to may lie beside her work tree; an agent's may not.
      gitFolders: head.trusted ? [head.gitDir, head.commonDir] : [],
    });
    this.#statCache = new StatCache(options.host, options.store, workTree, options.site.statCacheFolder);
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
  async snapshot(request: SnapshotRequest): Promise<Recorded> {
    for (;;) {
      if (request.underClaim !== true) {
        await this.#beforeWrite();
      }
      const result = await this.#queue.run('write', () => this.#snapshot(request));
      if (result !== 'claimed') {
        return result;
      }
      // Waited for outside of the queue: the holder of the claim has snapshots of its own to make.
      try {
        await this.#claims.waitUntilFree(this.#site.session, CLAIM_WAIT_MS, (holder) => {
          this.#onWaiting({ what: 'claim', holder });
        });
      } finally {
        this.#onWaiting(null);
      }
      this.#newest = undefined;
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
      const newest = await this.#readNewest();
      if (paths !== undefined && !newest.damaged) {
        const captured = await this.#captureOnly(paths, newest.tree, forced);
        return { tree: await editTree(this.#store, newest.tree, captured.edits), skipped: captured.skipped };
      }
      const { tree, captured } = await this.#everything(newest.tree, undefined, signal);
      return { tree, skipped: captured.skipped };
    });
  }

  /** Writes every object of the present work tree again: what of it the store has lost is there afterwards. Moves no ref. */
  async rewrite(signal?: AbortSignal): Promise<void> {
    await this.#queue.run('write', () => this.#everything(emptyTreeOid(this.#store.format), undefined, signal));
  }

  async #snapshot(request: SnapshotRequest): Promise<Recorded | 'claimed'> {
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
  ): Promise<Recorded | 'claimed'> {
    let newest = this.#newest ?? (await this.#readNewest());
    let built: Built | undefined;
    for (let attempt = 1; ; attempt++) {
      if (request.signal?.aborted === true) {
        throw new CancelledError();
      }
      // Asked now that the old value of the ref is known, and answered while the files are read: see FENCES.
      let current: Built;
      let isClaimed: boolean;
      try {
        [current, isClaimed] = await Promise.all([built ?? this.#build(newest, request), this.#isClaimed(request)]);
      } catch (error) {
        newest = await this.#afterDamage(newest, error);
        built = undefined;
        continue;
      }
      const { tree, edits, skipped, rulesChanged } = current;
      const answer = (snapshot: Oid | null, last: Oid | null, changes: readonly TreeChange[]): Recorded => ({
        session: this.#site.session,
        snapshot,
        newest: last,
        tree,
        changed: changes.map(pathChange),
        skipped,
        rulesChanged,
      });
      const isNew = newest.damaged || request.always === true || FENCES.has(request.trigger);
      if (tree === newest.tree && newest.oid !== null && !isNew) {
        // What we take for the newest may be out of date, and then "no change" would be wrong.
        if ((await this.#store.ref(shadowRef(this.#site.session))) === newest.oid) {
          return answer(null, newest.oid, []);
        }
        newest = await this.#readNewest();
        built = undefined;
        continue;
      }
      if (isClaimed) {
        return 'claimed';
      }
      const changes = await changesOf(this.#store, newest.tree, tree, edits);
      const published = await this.#publish(newest, tree, changes, skipped, request, turn.isHeld);
      if (published.kind === 'made') {
        return answer(published.oid, published.oid, changes);
      }
      if (published.kind === 'ref-locked' && attempt >= REF_LOCK_TRIES) {
        throw published.error;
      }
      if (attempt >= TRIES) {
        const holder = await this.#locks.holder(this.#site.session);
        throw new BulkheadError(
          'busy',
          'lost-race',
          `Another writer was faster ${String(TRIES)} times in a row (${this.#describe(holder)}). Nothing was overwritten, and the files are as they were; try again.`,
          { data: { session: this.#site.session, tries: TRIES, holder: holder ?? null } },
        );
      }
      this.#onWaiting({ what: 'race', holder: this.#describe(await this.#locks.holder(this.#site.session)) });
      await queue();
      // The lost transaction has ended its git: the next one starts while we wait.
      this.#store.prepareMove(this.#site.session);
      await wait(this.#host.clock, 1 + this.#host.random.fraction() * 8 * Math.min(attempt, 4));
      const before = newest;
      newest = await this.#readNewest();
      // A foreign hand that put a commit with the same tree on top changed nothing that we looked at. Looking again would
      // take longer than it takes such a hand to do that again, and nobody of us would ever win.
      built = newest.chain === null && newest.tree === before.tree ? current : undefined;
    }
  }

  /** Nobody else records a work tree while somebody restores, applies or deletes it. */
  async #isClaimed(request: SnapshotRequest): Promise<boolean> {
    return request.underClaim !== true && (await this.#store.hasRef(claimRef(this.#site.session)));
  }

  #describe(holder: Holder | undefined): string {
    return holder === undefined ? 'another writer' : describeHolder(holder, this.#host.clock.now());
  }

  async #build(newest: Newest, request: SnapshotRequest): Promise<Built> {
    if (request.paths === undefined || newest.damaged) {
      const { tree, captured } = await this.#everything(newest.tree, request.forced, request.signal);
      return { tree, edits: captured.edits, skipped: captured.skipped, rulesChanged: false };
    }
    const captured = await this.#captureOnly(request.paths, newest.tree, request.forced);
    const tree = await editTree(this.#store, newest.tree, captured.edits);
    return { tree, edits: captured.edits, skipped: captured.skipped, rulesChanged: captured.rulesChanged };
  }

  async #captureOnly(
    paths: readonly RepoPath[],
    parent: Oid,
    forced: ReadonlySet<RepoPath> | undefined,
  ): Promise<Captured> {
    const before = this.#tracked;
    const tracked = await this.#trackedTrees();
    const captured = await this.#capture.capture(withoutCovered(paths), {
      parent,
      tracked,
      maxFileSize: this.#host.settings.maxFileSize,
      ...(forced === undefined ? {} : { forced }),
    });
    // A commit or another branch changes which ignored files are tracked, also beyond these paths.
    const headMoved = before !== undefined && before.head !== tracked.head;
    return headMoved ? { ...captured, rulesChanged: true } : captured;
  }

  /** Reconcile, the slow and certain way: git says which files may differ, and those are captured like any others. */
  async #everything(
    parent: Oid,
    forced: ReadonlySet<RepoPath> | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly tree: Oid; readonly captured: Captured }> {
    const tracked = await this.#refreshTracked();
    const cache = await this.#statCache.open(parent);
    try {
      const candidates = await cache.candidates(signal);
      const { ignored, refused } = candidates;
      const paths = withoutLeftOut(
        candidates.paths,
        await this.#capture.leftOut(),
        (path) => this.#site.workTree.kind(path) === 'absent',
      );
      // Paths that are tracked and ignored but not captured yet show up nowhere else: compare the tracked trees themselves.
      const committed = await this.#committedMeanwhile(parent, tracked);
      const moved = await this.#movedWithHead(await cache.lastHead(), tracked.head);
      const captured = await this.#capture.capture(
        withoutCovered([...paths, ...ignored, ...committed, ...moved, ...(forced ?? [])]),
        {
          parent,
          tracked,
          maxFileSize: this.#host.settings.maxFileSize,
          ...(forced === undefined ? {} : { forced }),
        },
      );
      captured.skipped.push(...refused.map((path) => ({ path, reason: 'name-not-allowed' as const })));
      const tree = await editTree(this.#store, parent, captured.edits);
      await cache.keep(tree, captured.edits, tracked.head);
      return { tree, captured };
    } finally {
      await cache.discard();
    }
  }

  /**
   * Paths that HEAD holds otherwise than at the last look. What is recorded for a file can depend on what HEAD has, though
   * the file did not change: line endings under `text=auto`, and the folder of a submodule that is not checked out.
   */
  async #movedWithHead(before: Oid | null | undefined, now: Oid | null): Promise<RepoPath[]> {
    if (
      before === undefined ||
      before === now ||
      (before !== null && (await this.#store.reader.info(before)) === undefined)
    ) {
      return [];
    }
    return (await this.#store.diff(before, now)).map(({ path }) => path);
  }

  /** Paths of the tracked trees that the parent tree does not have. */
  async #committedMeanwhile(parent: Oid, tracked: TrackedTrees): Promise<RepoPath[]> {
    const paths: RepoPath[] = [];
    for (const tree of new Set([tracked.base, tracked.head])) {
      if (tree === null) {
        continue;
      }
      for (const change of await this.#store.diff(parent, tree)) {
        if (change.oldMode === null) {
          paths.push(change.path);
        }
      }
    }
    return paths;
  }

  /** For a single save: what is tracked is looked up again only when HEAD moved or the base did. */
  async #trackedTrees(): Promise<TrackedTrees> {
    if (this.#tracked !== undefined && (this.#base !== undefined || this.#site.readBase === null)) {
      const head = await currentHead(this.#host, this.#site.head);
      if (head.kind !== 'unreadable' && commitOf(head) === this.#headSeen) {
        return this.#tracked;
      }
    }
    return this.#refreshTracked();
  }

  async #refreshTracked(): Promise<TrackedTrees> {
    const head = await currentHead(this.#host, this.#site.head);
    let commit = commitOf(head);
    let seen: Oid | null | undefined = commit;
    if (head.kind === 'unreadable') {
      this.#host.log.warn(`HEAD of ${this.#site.session} is not read: ${head.reason}`);
    }
    if (
      head.kind === 'unreadable' ||
      (commit !== null && !(await bringHead(this.#host, this.#store, this.#site.head, commit)))
    ) {
      // What was tracked stays so.
      seen = undefined;
      commit = await lastHead(this.#store, this.#site.session);
    }
    const headTree = commit === null ? null : (await this.#store.commit(commit)).tree;
    this.#base = await this.#site.readBase?.();
    const tracked = { base: this.#base ?? headTree ?? emptyTreeOid(this.#store.format), head: headTree };
    this.#headSeen = seen;
    this.#headNow = commit;
    this.#tracked = tracked;
    return tracked;
  }

  async #readNewest(): Promise<Newest> {
    const { ref: oid, good, readable, damage } = await this.#health.standing(this.#site.session);
    if (oid !== this.#newest?.oid) {
      this.#base = undefined;
    }
    if (damage !== null) {
      return this.#mended(oid, damage.fault);
    }
    if (good === null) {
      this.#newest = { oid: null, parent: null, damaged: false, tree: await this.#firstParent(), chain: null };
      return this.#newest;
    }
    const commit = await this.#store.commit(good);
    const parsed = parseMessage(commit.message);
    // A message that cannot be read (a foreign hand) ends the chain: the next snapshot starts a new one behind it.
    this.#newest = { oid, parent: readable, damaged: false, tree: commit.tree, chain: parsed?.meta.chain ?? null };
    return this.#newest;
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
    await this.#everything(emptyTreeOid(this.#store.format), undefined, undefined);
    const { good, readable, damage } = await this.#health.suspect(this.#site.session);
    const parent = good ?? readable;
    const commit = parent === null ? undefined : await this.#store.commit(parent);
    const chain = (commit === undefined ? undefined : parseMessage(commit.message))?.meta.chain ?? null;
    const tree = good === null || commit === undefined ? emptyTreeOid(this.#store.format) : commit.tree;
    this.#newest = { oid, parent, damaged: damage !== null, tree, chain };
    this.#host.log.warn(
      damage === null
        ? `${this.#site.session}: the objects that its newest snapshot ${oid} had lost were written again from the work tree`
        : `${this.#site.session}: the damaged snapshot ${oid} is left behind; the next one follows ${parent ?? 'none'}`,
    );
    return this.#newest;
  }

  /** A part of the newest snapshot that nobody had looked at may be what could not be read. */
  async #afterDamage(newest: Newest, error: unknown): Promise<Newest> {
    const isSuspicious = isDamage(error) || (error instanceof GitError && error.code === 'git-exited');
    if (!isSuspicious || newest.damaged || (await this.#health.suspect(this.#site.session)).damage === null) {
      throw error;
    }
    return this.#readNewest();
  }

  /** Before the first snapshot everything is compared with the base. */
  async #firstParent(): Promise<Oid> {
    const { base } = await this.#refreshTracked();
    return (await this.#store.reader.info(base)) === undefined ? emptyTreeOid(this.#store.format) : base;
  }

  async #publish(
    newest: Newest,
    tree: Oid,
    changes: readonly TreeChange[],
    skipped: readonly SkippedPath[],
    request: SnapshotRequest,
    holdsLock: boolean,
  ): Promise<Published> {
    const { session } = this.#site;
    const now = Math.floor(this.#host.clock.now());
    const time = Math.floor(now / 1000);
    const { chain, closes } = nextPosition(newest, now);
    const { parent } = newest;
    const startsChain = closes !== null;
    const head = this.#headNow;
    const person = { name: request.agent, email: `${request.agent}@bulkhead.invalid`, time, offset: '+0000' };
    // The first look at the checkout is where its timeline starts.
    const trigger = newest.oid === null && request.trigger === 'reconcile' ? 'start' : request.trigger;
    const subject = trigger === 'start' ? 'Start of this workspace' : subjectFor(trigger, changes.map(pathChange));
    const message = formatMessage(request.subject ?? subject, {
      session,
      trigger,
      agent: request.agent,
      turn: request.turn ?? null,
      head,
      skipped: { count: skipped.length, named: skipped.map(({ path }) => path) },
      chain,
      previous: startsChain ? parent : null,
      reverses: request.reverses ?? null,
    });
    const parents = parent === null || startsChain ? [] : [parent];
    const oid = this.#store.objects.write(
      'commit',
      writeCommit({ tree, parents, author: person, committer: person, message }),
    );
    const moves: RefMove[] = [{ ref: shadowRef(session), from: newest.oid, to: oid }];
    if (request.underClaim === true) {
      // Whoever lost its claim must not go on.
      const claim = this.#claims.ownClaim(session);
      moves.push({ ref: claimRef(session), from: claim, to: claim });
    }
    if (closes !== null) {
      moves.push(await this.#closing(newest, closes, time));
    }
    const result = await this.#store.move(session, moves);
    switch (result.kind) {
      case 'done':
        this.#newest = { oid, parent: oid, damaged: false, tree, chain };
        this.#onMoved();
        return { kind: 'made', oid };
      case 'moved':
        return { kind: 'lost-race' };
      case 'locked':
        if (holdsLock && result.ref === shadowRef(session) && result.ageMs > STALE_REF_LOCK_MS) {
          // A transaction of ours takes milliseconds, and nobody else of us writes this ref now: a killed git left it.
          this.#host.log.warn(`removing ${result.lockFile}, left ${String(Math.round(result.ageMs / 1000))} s ago`);
          await rm(result.lockFile, { force: true });
        }
        return { kind: 'ref-locked', error: refLocked(result) };
    }
  }

  async #closing({ parent, damaged }: Newest, number: number, time: number): Promise<RefMove> {
    // The snapshot that is left behind may have closed this very chain already.
    const standing = damaged ? await this.#store.ref(closedRef(this.#site.session, number)) : null;
    return standing === parent
      ? { ref: closedRef(this.#site.session, number), from: parent, to: parent }
      : { ref: closedRef(this.#site.session, standing === null ? number : time), from: null, to: parent };
  }

  async stop(): Promise<void> {
    await this.#queue.idle();
    await this.#capture.stop();
  }
}

/** Where the next snapshot stands, and the number of the chain that it closes, if any. */
function nextPosition(newest: Newest, now: number): { readonly chain: ChainPosition; readonly closes: number | null } {
  const time = Math.floor(now / 1000);
  if (newest.oid === null) {
    return { chain: firstInChain(time), closes: null };
  }
  if (newest.chain === null) {
    // A foreign hand moved the ref to something that we did not write: close it under a number that no chain of ours gets.
    // Milliseconds, because that can happen again in the same second.
    return { chain: { number: now + 1, ordinal: 1, started: time }, closes: now };
  }
  const next = nextInChain(newest.chain, time);
  return { chain: next.chain, closes: next.kind === 'new' ? next.closedNumber : null };
}

function commitOf(head: HeadState): Oid | null {
  return head.kind === 'known' ? head.commit : null;
}

function statusOf(change: TreeChange): ChangeStatus {
  if (change.oldMode === null) {
    return 'added';
  }
  if (change.newMode === null) {
    return 'deleted';
  }
  const kind = (mode: string): string => mode.slice(0, 3);
  return kind(change.oldMode) === kind(change.newMode) ? 'modified' : 'type-changed';
}

export function pathChange(change: TreeChange): PathChange {
  return { path: change.path, status: statusOf(change) };
}
