import { join } from 'node:path';
import { type Disposable, DisposableStore, toDisposable } from '../base/disposable';
import { BulkheadError, messageOf } from '../base/errors';
import { Emitter, type Event } from '../base/event';
import { emptyTreeOid, type Oid } from '../core/objectId';
import { shadowRef } from '../core/refName';
import type { RepoPath } from '../core/repoPath';
import type { TreeEntry } from '../core/treeObject';
import { workspaceKey } from '../core/workspaceKey';
import {
  type ApplyRequest,
  type ApplyResult,
  type Base,
  type CheckpointRequest,
  type CheckpointResult,
  type ContendedPath,
  type CreateRequest,
  type DiffResult,
  type DiffSide,
  type LockInfo,
  type Recovered,
  type MaintenanceResult,
  type RemovalPreflight,
  type RemoveResult,
  type ResetOptions,
  type ResetResult,
  type RestorePlan,
  type RestoreRequest,
  type RestoreResult,
  type Session,
  type SessionRef,
  type Snapshot,
  type SnapshotQuery,
  type StorageInfo,
  type StoreReport,
  WORKSPACE,
} from './api';
import { ApplyService } from './applyService';
import { Capture } from './capture';
import { CaptureLease } from './captureLease';
import { Claims } from './claims';
import { Comparisons } from './comparisons';
import { type ContentionSide, ContentionService } from './contentionService';
import { Doctor } from './doctor';
import { exists } from './files';
import { currentHead, type HeadState } from './heads';
import type { Host } from './host';
import { LockList } from './lockList';
import { Journal } from './journal';
import { LockFolder } from './locks';
import { Maintenance } from './maintenance';
import { Records } from './records';
import { Recovery } from './recovery';
import { RefWatcher } from './refWatcher';
import { RemovalService } from './removalService';
import { addToIndex, defaultStorageRoot, storageOf } from './repositoryIndex';
import type { RestoreSite } from './restorePlanner';
import { ResetService } from './resetService';
import { RestoreService } from './restoreService';
import { SaveNotices } from './saveNotices';
import { SessionCatalog } from './sessionCatalog';
import { SessionMaker } from './sessionMaker';
import { SessionNames } from './sessionNames';
import { SessionTrash } from './sessionTrash';
import { defaultAgent, Sites } from './sites';
import { SnapshotHealth } from './snapshotHealth';
import { SnapshotReader } from './snapshotReader';
import { openSnapshotStore, type SnapshotStore } from './snapshotStore';
import { SnapshotSummaries } from './snapshotSummaries';
import type { Waiting } from './snapshotWriter';
import { StartPoints } from './startPoints';
import { clonePath, openStorage, type Storage } from './storage';
import { openUserRepository, resolveRevision, trustingHost, type UserRepository } from './userRepository';

/**
 * Opens the storage of a repository.
 * @param where.storage null: the one in the user's index, else a new one below `defaultStorage`
 * @throws BulkheadError `no-storage` (kind `notFound`) when there is none and `create` is false, and what `openUserRepository`
 * and `openStorage` throw
 */
export async function openBulkhead(
  asking: Host,
  where: {
    readonly repository: string;
    readonly storage: string | null;
    readonly defaultStorage?: string;
    readonly create: boolean;
  },
): Promise<Bulkhead> {
  const repository = await openUserRepository(asking, where.repository);
  const host = await trustingHost(asking, repository);
  const root =
    where.storage ??
    (await storageOf(host.environment, repository.root)) ??
    join(where.defaultStorage ?? defaultStorageRoot(host.environment), workspaceKey(repository.root));
  const storage = await openStorage({
    root,
    repository: repository.root,
    create: where.create,
    sessionsRoot: host.settings.sessionsRoot,
  });
  if (storage === null || (!where.create && !(await exists(storage.store)))) {
    throw new BulkheadError(
      'notFound',
      'no-storage',
      `No session was started in ${repository.root} yet. Start one with \`bulkhead session new\`.`,
      {
        data: { repository: repository.root },
      },
    );
  }
  const store = await openSnapshotStore(host, storage, repository);
  await addToIndex(host, { repository: repository.root, storage: storage.root });
  return new Bulkhead(host, storage, repository, store);
}

/** Everything that can be done with the sessions and snapshots of one repository; the command line and the extension use nothing else. */
export class Bulkhead {
  readonly info: StorageInfo;
  readonly #host: Host;
  readonly #storage: Storage;
  readonly #repository: UserRepository;
  readonly #store: SnapshotStore;
  readonly #reader: SnapshotReader;
  readonly #summaries: SnapshotSummaries;
  readonly #catalog: SessionCatalog;
  readonly #maker: SessionMaker;
  readonly #restores: RestoreService;
  readonly #contention: ContentionService;
  readonly #applies: ApplyService;
  readonly #sites: Sites;
  readonly #starts: StartPoints;
  readonly #removals: RemovalService;
  readonly #resets: ResetService;
  readonly #names: SessionNames;
  readonly #comparisons: Comparisons;
  readonly #locks: LockFolder;
  readonly #lockList: LockList;
  readonly #recovery: Recovery;
  readonly #maintenance: Maintenance;
  readonly #captures = new Set<Capture>();
  readonly #notices = new Map<SessionRef, SaveNotices>();
  readonly #waiting = new Map<SessionRef, Waiting>();
  /** Ends what takes long. */
  readonly #closing = new AbortController();
  readonly #long = new Set<Promise<unknown>>();
  readonly #owned = new DisposableStore();
  readonly #onDidChangeSessions: Emitter<void>;
  readonly #onDidChangeSnapshots: Emitter<SessionRef>;
  readonly #onDidChangeWaiting: Emitter<void>;
  readonly #onDidRecover: Emitter<Recovered>;

  constructor(host: Host, storage: Storage, repository: UserRepository, store: SnapshotStore) {
    this.#host = host;
    this.#storage = storage;
    this.#repository = repository;
    this.#store = store;
    this.info = { storage: storage.root, repository: repository.root, objectFormat: repository.format };
    const onError = (error: unknown): void => {
      host.log.error(`a listener failed: ${messageOf(error)}`);
    };
    this.#onDidChangeSessions = this.#owned.add(new Emitter<void>(onError));
    this.#onDidChangeSnapshots = this.#owned.add(new Emitter<SessionRef>(onError));
    this.#onDidChangeWaiting = this.#owned.add(new Emitter<void>(onError));
    this.#onDidRecover = this.#owned.add(new Emitter<Recovered>(onError));
    const records = new Records(host, store);
    const locks = new LockFolder(storage.locks, host);
    const claims = new Claims(host, store, locks);
    const journal = new Journal(host, storage.journal);
    const health = new SnapshotHealth(host, store);
    this.#reader = new SnapshotReader(host, store, health);
    this.#summaries = new SnapshotSummaries(host, store, health, this.#reader);
    this.#catalog = new SessionCatalog({ host, storage, store, records, health, summaries: this.#summaries });
    this.#maker = new SessionMaker({ host, storage, store, repository, records, claims, journal });
    const trash = new SessionTrash({ host, storage, store, repository, records, journal, health });
    this.#sites = new Sites({
      host,
      storage,
      repository,
      store,
      locks,
      claims,
      records,
      health,
      catalog: this.#catalog,
      beforeWrite: (session) => this.#recovery.settle(session),
      onMoved: (session) => {
        this.#onDidChangeSnapshots.fire(session);
      },
      onWaiting: (session, waiting) => {
        this.#setWaiting(session, waiting);
      },
    });
    const session = (ref: SessionRef): Promise<Session> => this.session(ref);
    this.#restores = new RestoreService(host, store, this.#reader, claims, journal);
    this.#contention = new ContentionService(store, host.settings.contentionExclude);
    this.#applies = new ApplyService({ host, store, repository, records, claims, journal, reader: this.#reader });
    this.#starts = new StartPoints({
      host,
      storage,
      store,
      repository,
      reader: this.#reader,
      sites: this.#sites,
      session,
    });
    this.#removals = new RemovalService({
      host,
      store,
      records,
      claims,
      journal,
      catalog: this.#catalog,
      trash,
      sites: this.#sites,
      contention: this.#contention,
    });
    this.#resets = new ResetService({
      host,
      records,
      claims,
      catalog: this.#catalog,
      summaries: this.#summaries,
      maker: this.#maker,
      trash,
      sites: this.#sites,
      starts: this.#starts,
      removals: this.#removals,
      onWaiting: (ref, waiting) => {
        this.#setWaiting(ref, waiting);
      },
    });
    this.#names = new SessionNames(host, locks, records, this.#catalog);
    this.#recovery = new Recovery({
      host,
      storage,
      store,
      journal,
      claims,
      locks,
      sites: this.#sites,
      records,
      maker: this.#maker,
      trash,
      restores: this.#restores,
      applies: this.#applies,
      onRecovered: (recovered) => {
        this.#onDidRecover.fire(recovered);
        this.#onDidChangeSessions.fire();
      },
    });
    this.#comparisons = new Comparisons({ host, store, sites: this.#sites, session });
    this.#locks = locks;
    this.#lockList = new LockList({
      host,
      store,
      locks,
      claims,
      names: async () => new Map((await this.sessions({ all: true })).map(({ id, name }) => [id, name])),
    });
    this.#maintenance = new Maintenance({ host, store, claims, storageRoot: storage.root });
  }

  /** A record, folder or state changed, here or in another process. */
  get onDidChangeSessions(): Event<void> {
    return this.#onDidChangeSessions.event;
  }

  /** A shadow ref moved, here or in another process. */
  get onDidChangeSnapshots(): Event<SessionRef> {
    return this.#onDidChangeSnapshots.event;
  }

  /** An operation of a killed process was finished or taken back, by this one. */
  get onDidRecover(): Event<Recovered> {
    return this.#onDidRecover.event;
  }

  /**
   * Finishes or takes back what killed processes left in the middle. To be called once after opening; from then on whoever
   * needs a session looks by itself. Never throws: what cannot be done now is in the log.
   * @param options.sweep look for half-made folders as well; without it an empty journal costs one look at the disk
   */
  async recover(options: { readonly sweep: boolean }): Promise<void> {
    await this.#recovery.settleAll();
    if (options.sweep) {
      await this.#recovery.sweep();
    }
  }

  /** Somebody waits for a lock or lost a race, or does not any more. */
  get onDidChangeWaiting(): Event<void> {
    return this.#onDidChangeWaiting.event;
  }

  waiting(): readonly { readonly session: SessionRef; readonly holder: string; readonly what: Waiting['what'] }[] {
    return [...this.#waiting].map(([session, { what, holder }]) => ({ session, what, holder }));
  }

  /** Everything that is locked, leased or claimed now, the oldest first. */
  locks(): Promise<readonly LockInfo[]> {
    return this.#lockList.list();
  }

  /** Follows what other processes do. */
  watch(): Disposable {
    const watcher = new RefWatcher(this.#host, this.#store, ({ snapshots, records }) => {
      for (const session of snapshots) {
        this.#onDidChangeSnapshots.fire(session);
      }
      if (records) {
        this.#onDidChangeSessions.fire();
      }
    });
    watcher.start().catch((error: unknown) => {
      this.#host.log.warn(`changes of other windows are not followed: ${messageOf(error)}`);
    });
    this.#owned.add(watcher);
    return toDisposable(() => {
      this.#owned.delete(watcher);
    });
  }

  /** The user's own checkout, as a session of its own kind. */
  async workspace(): Promise<Session> {
    const current = await currentHead(this.#host, this.#sites.workspaceHead());
    return {
      id: WORKSPACE,
      name: 'This workspace',
      path: this.#repository.root,
      state: 'ready',
      reason: null,
      base: await this.#workspaceBase(current),
      shadowRef: shadowRef(WORKSPACE),
      branch: current.kind === 'unreadable' ? null : current.branch,
      ...(await this.#summaries.of(WORKSPACE)),
      created: null,
    };
  }

  /** The checkout's base is its HEAD; git is asked only while the store does not have that commit. */
  async #workspaceBase(head: HeadState): Promise<Base> {
    if (head.kind === 'known' && (await this.#store.reader.info(head.commit)) !== undefined) {
      return { commit: head.commit, tree: (await this.#store.commit(head.commit)).tree };
    }
    const found = await resolveRevision(this.#host, this.#repository, 'HEAD');
    return found ?? { commit: null, tree: emptyTreeOid(this.#store.format) };
  }

  /** @param options.all deleted ones too */
  sessions(options: { readonly all?: boolean } = {}): Promise<readonly Session[]> {
    return this.#catalog.list({ all: options.all ?? false });
  }

  /** @throws BulkheadError `session-not-found` */
  async session(ref: SessionRef): Promise<Session> {
    if (ref === WORKSPACE) {
      return this.workspace();
    }
    const session = await this.#catalog.get(ref);
    if (session === undefined) {
      throw new BulkheadError('notFound', 'session-not-found', `There is no session ${ref}.`, {
        data: { session: ref },
      });
    }
    return session;
  }

  /** @throws BulkheadError `session-not-found`, `session-ambiguous` */
  resolveSession(text: string): Promise<Session> {
    return text === WORKSPACE ? this.workspace() : this.#catalog.resolve(text);
  }

  /** @throws BulkheadError `name-invalid`, `name-taken`, and what finding the start can throw */
  async createSession(request: CreateRequest): Promise<Session> {
    const { name, release } = await this.#names.take(request.name);
    try {
      await this.#recovery.settle(request.from.kind === 'session' ? request.from.session : WORKSPACE);
      const start = await this.#starts.resolve(request);
      const record = await this.#maker.create({
        name,
        start,
        agent: request.agent ?? 'user',
        onProgress: request.onProgress,
        signal: request.signal,
        fill: (clone) => this.#starts.fill(start, clone, request),
      });
      return await this.#begun(record.id, record.base);
    } finally {
      release();
    }
  }

  /** What a session that was just made needs before it is worked in. */
  async #begun(ref: SessionRef, base: Base): Promise<Session> {
    const session = await this.session(ref);
    if (base.commit !== null && session.path !== null) {
      const { statCache } = this.#sites.at(ref, session.path).writer;
      await statCache.seed(join(session.path, '.git', 'index'), base.tree);
    }
    this.#onDidChangeSessions.fire();
    return session;
  }

  /** @throws BulkheadError `name-invalid`, `name-taken`, `session-not-found` */
  async renameSession(ref: SessionRef, name: string): Promise<Session> {
    this.#refuseWorkspace(ref, 'renamed');
    await this.#names.rename(ref, name);
    this.#onDidChangeSessions.fire();
    return this.session(ref);
  }

  /** What would be lost if the clone were gone; any doubt is told. */
  async preflightRemoval(ref: SessionRef): Promise<RemovalPreflight> {
    this.#refuseWorkspace(ref, 'deleted');
    return this.#removals.preflight(await this.session(ref));
  }

  /**
   * Takes a final snapshot and puts the clone into the trash.
   * @throws BulkheadError `would-lose` (kind `refused`) with the preflight, unless forced; `claimed`
   */
  async removeSession(ref: SessionRef, options: { readonly force: boolean }): Promise<RemoveResult> {
    this.#refuseWorkspace(ref, 'deleted');
    await this.#recovery.settle(ref);
    const result = await this.#removals.remove(await this.session(ref), options);
    this.#onDidChangeSessions.fire();
    return result;
  }

  /**
   * Replaces a session by a fresh one at the same base, under the same name; the old one goes to the trash after a final
   * snapshot. Exactly one successor is made, however many ask and whenever: everybody else is given that one.
   * @throws BulkheadError `would-lose` (kind `refused`) with the preflight, unless forced; `claimed`; `session-trashed`,
   * `successor-deleted` when a person deleted one of the two
   */
  async resetSession(ref: SessionRef, options: ResetOptions): Promise<ResetResult> {
    this.#refuseWorkspace(ref, 'reset');
    await this.#recovery.settle(ref);
    const { id, made, snapshot } = await this.#resets.reset(ref, options);
    const session = await this.session(id);
    if (made && session.base !== null) {
      return { session: await this.#begun(id, session.base), made, snapshot };
    }
    this.#onDidChangeSessions.fire();
    return { session, made, snapshot };
  }

  /** @returns the session that took the place of one that was reset; null when there is none (any more) */
  async successorOf(ref: SessionRef): Promise<Session | null> {
    const id = ref === WORKSPACE ? null : await this.#resets.successorOf(ref);
    return id === null ? null : this.session(id);
  }

  #refuseWorkspace(ref: SessionRef, verb: string): void {
    if (ref === WORKSPACE) {
      throw new BulkheadError('user', 'is-workspace', `This workspace is your own checkout and cannot be ${verb}.`);
    }
  }

  /** @throws BulkheadError `lost-race`, `ref-locked`, `claimed` (kind `busy`), or of kind `io` and `git`; the files are untouched */
  checkpoint(request: CheckpointRequest): Promise<CheckpointResult> {
    return this.#checkpoint(request);
  }

  async #checkpoint(request: CheckpointRequest): Promise<CheckpointResult & { readonly rulesChanged: boolean }> {
    const site = await this.#sites.of(request.session);
    return site.writer.snapshot({
      trigger: request.trigger,
      agent: request.agent ?? defaultAgent(request.session),
      ...(request.paths === undefined ? {} : { paths: request.paths }),
      ...(request.message === undefined ? {} : { subject: request.message }),
      ...(request.turn === undefined ? {} : { turn: request.turn }),
      signal: request.signal,
    });
  }

  async snapshots(query: SnapshotQuery): Promise<readonly Snapshot[]> {
    const sessions =
      query.session === undefined
        ? [WORKSPACE, ...(await this.sessions({ all: true })).map(({ id }) => id)]
        : [query.session];
    return this.#reader.list(sessions, query);
  }

  /** @throws BulkheadError `snapshot-not-found` */
  snapshot(oid: Oid): Promise<Snapshot> {
    return this.#reader.snapshot(oid);
  }

  /** @throws BulkheadError `snapshot-not-found`, `snapshot-ambiguous` */
  resolveSnapshot(text: string, session?: SessionRef): Promise<Snapshot> {
    return this.#reader.resolve(text, session);
  }

  diff(
    from: DiffSide,
    to: DiffSide,
    options: { readonly paths?: readonly RepoPath[]; readonly signal?: AbortSignal } = {},
  ): Promise<DiffResult> {
    return this.#comparisons.diff(from, to, options);
  }

  /** Files that differ between the base and the newest snapshot. */
  async changedSinceBase(ref: SessionRef): Promise<number> {
    const session = await this.session(ref);
    return session.base === null ||
      session.newestTree === null ||
      (await this.#store.reader.info(session.base.tree)) === undefined
      ? 0
      : this.#contention.count(session.base.tree, session.newestTree);
  }

  /** The tree that a side of a comparison stands for; `worktree` reads the disk and makes no snapshot. */
  treeOf(side: DiffSide): Promise<Oid> {
    return this.#comparisons.treeOf(side);
  }

  /** @returns undefined when the tree has nothing at that path */
  async entry(tree: Oid, path: RepoPath): Promise<{ readonly mode: string; readonly oid: Oid } | undefined> {
    return this.#store.entry(tree, path);
  }

  /** Entries of a folder of a tree; empty when there is no such folder. */
  children(tree: Oid, path: RepoPath | ''): Promise<readonly TreeEntry[]> {
    return this.#comparisons.children(tree, path);
  }

  blob(oid: Oid): Promise<Buffer> {
    return this.#store.blob(oid);
  }

  /** In bytes. */
  blobSize(oid: Oid): Promise<number> {
    return this.#comparisons.blobSize(oid);
  }

  /** Says what a restore would do, and writes nothing. */
  async planRestore(request: RestoreRequest): Promise<RestorePlan> {
    return this.#restores.plan(await this.#restoreSite(request.session), this.#restoreOrder(request));
  }

  /** @throws BulkheadError `needs-consent` with the plan, `foreign-snapshot`, `claimed`; nothing was written then */
  async restore(request: RestoreRequest): Promise<RestoreResult> {
    await this.#recovery.settle(request.session);
    return this.#restores.restore(await this.#restoreSite(request.session), this.#restoreOrder(request));
  }

  #restoreOrder(request: RestoreRequest): Parameters<RestoreService['restore']>[1] {
    return {
      target: request.target,
      paths: request.paths,
      consent: request.consent,
      agent: request.agent ?? 'user',
      foreign: request.foreign ?? false,
      signal: request.signal,
    };
  }

  /** @throws BulkheadError `nothing-to-undo`, `nothing-to-redo`, `needs-consent` with the plan, `claimed` */
  async undo(request: {
    readonly session: SessionRef;
    readonly redo?: boolean;
    readonly consent: 'ask' | 'safe' | 'all';
    readonly dryRun?: boolean;
    readonly agent?: string;
    readonly signal?: AbortSignal;
  }): Promise<RestoreResult> {
    if (request.dryRun !== true) {
      await this.#recovery.settle(request.session);
    }
    return this.#restores.undo(await this.#restoreSite(request.session), {
      redo: request.redo ?? false,
      consent: request.consent,
      dryRun: request.dryRun ?? false,
      agent: request.agent ?? 'user',
      signal: request.signal,
    });
  }

  async #restoreSite(session: SessionRef): Promise<RestoreSite> {
    const { workTree, writer, materialiser } = await this.#sites.of(session);
    return { session, workTree, writer, materialiser, defaultAgent: defaultAgent(session) };
  }

  /**
   * Paths to which two sessions, or a session and the checkout, gave different contents.
   * @param mode `live` reads the work trees, `newest` compares the newest snapshots
   */
  async contention(mode: 'live' | 'newest'): Promise<readonly ContendedPath[]> {
    const sides: ContentionSide[] = [];
    for (const session of await this.sessions()) {
      if (session.state !== 'ready' || session.base === null) {
        continue;
      }
      const tree = mode === 'live' ? await (await this.#sites.of(session.id)).writer.liveTree() : session.newestTree;
      if (tree !== null) {
        sides.push({ session: session.id, base: session.base.tree, tree });
      }
    }
    if (sides.length > 0 && this.#host.settings.captureWorkspace) {
      const tree =
        mode === 'live'
          ? await (await this.#sites.of(WORKSPACE)).writer.liveTree()
          : (await this.#summaries.of(WORKSPACE)).newestTree;
      if (tree !== null) {
        sides.push({ session: WORKSPACE, base: null, tree });
      }
    }
    return sides.length < 2 ? [] : this.#contention.find(sides);
  }

  /** @throws BulkheadError `nothing-to-apply`, `claimed` */
  async apply(request: ApplyRequest): Promise<ApplyResult> {
    if (request.session === WORKSPACE) {
      throw new BulkheadError('user', 'is-workspace', 'This workspace is what sessions are applied to.');
    }
    if (request.dryRun !== true) {
      await this.#recovery.settle(request.session);
    }
    const record = await this.#catalog.ready(request.session);
    const { writer, head } = this.#sites.at(record.id, clonePath(this.#storage, record));
    const result = await this.#applies.applyAsBranch({ record, writer, head }, request);
    if (request.dryRun !== true) {
      this.#onDidChangeSessions.fire();
    }
    return result;
  }

  /**
   * Records what happens in a work tree from now on.
   * @param options.isSaving whether an editor of this window is writing a file: nothing is booked as an outside write then
   */
  async capture(
    ref: SessionRef,
    options: { readonly ownWindow: boolean; readonly isSaving?: () => boolean },
  ): Promise<Capture> {
    const site = await this.#sites.of(ref);
    const lease = new CaptureLease(this.#host, this.#locks, ref, options);
    const capture = new Capture(
      this.#host,
      {
        session: ref,
        root: site.workTree.root,
        outsideAgent: defaultAgent(ref),
        isSaving: () => options.isSaving?.() === true || this.#noticesOf(ref).othersAreSaving(),
        checkpoint: (request) => this.#checkpoint(request),
      },
      lease,
    );
    this.#captures.add(capture);
    await lease.start();
    return capture;
  }

  /** An editor of this window is about to write a file: whoever records outside writes of that session waits for the save. */
  willSave(ref: SessionRef, fsPath: string): void {
    this.#noticesOf(ref).begin(fsPath);
  }

  /** The save is recorded, or did not come. */
  saveEnded(ref: SessionRef, fsPath: string): void {
    this.#notices.get(ref)?.end(fsPath);
  }

  #noticesOf(ref: SessionRef): SaveNotices {
    let notices = this.#notices.get(ref);
    if (notices === undefined) {
      notices = this.#owned.add(new SaveNotices(this.#host, this.#locks.folder, ref));
      this.#notices.set(ref, notices);
    }
    return notices;
  }

  /**
   * Packs loose objects and removes what has been out of reach for a day. Checkpoints go on meanwhile.
   * @throws BulkheadError `claimed` (kind `busy`) while another process does it
   */
  maintain(options: { readonly signal?: AbortSignal } = {}): Promise<MaintenanceResult> {
    return this.#untilClosed(options.signal, (signal) => this.#maintenance.run({ signal }));
  }

  /**
   * Looks at everything that the snapshots depend on. With `repair` it first mends what can be mended without guessing;
   * without, it writes nothing.
   * @throws BulkheadError `claimed` (kind `busy`) while maintenance or another repair is under way
   */
  async checkStore(
    options: { readonly repair?: boolean; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<StoreReport> {
    const report = await this.#untilClosed(options.signal, (signal) => {
      const doctor = new Doctor({
        host: this.#host,
        storage: this.#storage,
        repository: this.#repository,
        store: this.#store,
        rewrite: async (session) => (await this.#sites.of(session)).writer.rewrite(signal),
      });
      return options.repair === true ? doctor.repair(signal) : doctor.check(signal);
    });
    if (report.repairs.length > 0) {
      this.#onDidChangeSessions.fire();
    }
    return report;
  }

  /** Whether there is enough to do for `maintain`. */
  maintenanceIsDue(): Promise<boolean> {
    return this.#maintenance.isDue();
  }

  /** Long work that a shutdown ends and waits for. */
  async #untilClosed<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const own = this.#closing.signal;
    const running = work(signal === undefined ? own : AbortSignal.any([own, signal]));
    this.#long.add(running);
    try {
      return await running;
    } finally {
      this.#long.delete(running);
    }
  }

  #setWaiting(session: SessionRef, waiting: Waiting | null): void {
    if (waiting === null) {
      if (this.#waiting.delete(session)) {
        this.#onDidChangeWaiting.fire();
      }
    } else {
      this.#waiting.set(session, waiting);
      this.#onDidChangeWaiting.fire();
    }
  }

  /** Process ids of the warm git processes, for measurements and leak checks. */
  get pids(): readonly number[] {
    return [...this.#store.pids, ...this.#sites.pids];
  }

  /** Records what is waiting and ends every process. */
  async shutdown(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#long);
    await Promise.all([...this.#captures].map((capture) => capture.shutdown()));
    await this.#sites.stop();
    await this.#store.stop();
    this.#owned.dispose();
  }
}
