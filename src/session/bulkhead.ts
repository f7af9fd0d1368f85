import { type Disposable, DisposableStore, toDisposable } from '../base/disposable';
import { BulkheadError, messageOf } from '../base/errors';
import type { Event } from '../base/event';
import type { Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { TreeEntry } from '../core/treeObject';
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
import type { Capture } from './capture';
import { checkpoint } from './checkpoint';
import type { Engine } from './engine';
import { RefWatcher } from './refWatcher';
import type { RestoreSite } from './restorePlanner';
import type { RestoreService } from './restoreService';
import type { Hearing } from './saveNotices';
import { defaultAgent } from './sites';
import type { Waiting } from './snapshotWriter';
import { clonePath } from './storage';

/** Everything that can be done with the sessions and snapshots of one repository; the command line and the extension use nothing else. */
export class Bulkhead {
  readonly info: StorageInfo;
  readonly #engine: Engine;
  /** Ends what takes long. */
  readonly #closing = new AbortController();
  readonly #long = new Set<Promise<unknown>>();
  readonly #owned = new DisposableStore();

  constructor(engine: Engine) {
    this.#engine = engine;
    const { storage, repository } = engine;
    this.info = { storage: storage.root, repository: repository.root, objectFormat: repository.format };
    this.#owned.add(engine.events);
    this.#owned.add(engine.captures);
  }

  /** A record, folder or state changed, here or in another process. */
  get onDidChangeSessions(): Event<void> {
    return this.#engine.events.sessionsChanged.event;
  }

  /** A shadow ref moved, here or in another process. */
  get onDidChangeSnapshots(): Event<SessionRef> {
    return this.#engine.events.snapshotsChanged.event;
  }

  /** An operation of a killed process was finished or taken back, by this one. */
  get onDidRecover(): Event<Recovered> {
    return this.#engine.events.recovered.event;
  }

  /**
   * Finishes or takes back what killed processes left in the middle. To be called once after opening; from then on whoever
   * needs a session looks by itself. Never throws: what cannot be done now is in the log.
   * @param options.sweep look for half-made folders as well; without it an empty journal costs one look at the disk
   */
  async recover(options: { readonly sweep: boolean }): Promise<void> {
    await this.#engine.recovery.settleAll();
    if (options.sweep) {
      await this.#engine.recovery.sweep();
    }
  }

  /** Somebody waits for a lock or lost a race, or does not any more. */
  get onDidChangeWaiting(): Event<void> {
    return this.#engine.events.waitingChanged.event;
  }

  waiting(): readonly { readonly session: SessionRef; readonly holder: string; readonly what: Waiting['what'] }[] {
    return this.#engine.waiting.all();
  }

  /** Everything that is locked, leased or claimed now, the oldest first. */
  locks(): Promise<readonly LockInfo[]> {
    return this.#engine.lockList.list();
  }

  /** Follows what other processes do. */
  watch(): Disposable {
    const watcher = new RefWatcher(this.#engine.host, this.#engine.store, ({ snapshots, records }) => {
      for (const session of snapshots) {
        this.#engine.events.snapshotsChanged.fire(session);
      }
      if (records) {
        this.#engine.events.sessionsChanged.fire();
      }
    });
    watcher.start().catch((error: unknown) => {
      this.#engine.host.log.warn(`changes of other windows are not followed: ${messageOf(error)}`);
    });
    this.#owned.add(watcher);
    return toDisposable(() => {
      this.#owned.delete(watcher);
    });
  }

  /** The user's own checkout, as a session of its own kind. */
  workspace(): Promise<Session> {
    return this.#engine.catalog.session(WORKSPACE);
  }

  /** @param options.all deleted ones too */
  sessions(options: { readonly all?: boolean } = {}): Promise<readonly Session[]> {
    return this.#engine.catalog.list({ all: options.all ?? false });
  }

  /** @throws BulkheadError `session-not-found` */
  session(ref: SessionRef): Promise<Session> {
    return this.#engine.catalog.session(ref);
  }

  /** @throws BulkheadError `session-not-found`, `session-ambiguous` */
  resolveSession(text: string): Promise<Session> {
    return this.#engine.catalog.resolve(text);
  }

  /** @throws BulkheadError `name-invalid`, `name-taken`, and what finding the start can throw */
  async createSession(request: CreateRequest): Promise<Session> {
    const { name, release } = await this.#engine.names.take(request.name);
    try {
      await this.#engine.recovery.settle(request.from.kind === 'session' ? request.from.session : WORKSPACE);
      const start = await this.#engine.starts.resolve(request);
      const record = await this.#engine.maker.create({
        name,
        start,
        agent: request.agent ?? 'user',
        onProgress: request.onProgress,
        signal: request.signal,
        fill: (clone) => this.#engine.starts.fill(start, clone, request),
      });
      return await this.#begun(record.id, record.base);
    } finally {
      release();
    }
  }

  /** What a session that was just made needs before it is worked in. */
  async #begun(ref: SessionRef, base: Base): Promise<Session> {
    const session = await this.session(ref);
    if (session.path !== null) {
      await this.#engine.sites.seedClone(ref, session.path, base);
    }
    this.#engine.events.sessionsChanged.fire();
    return session;
  }

  /** @throws BulkheadError `name-invalid`, `name-taken`, `session-not-found` */
  async renameSession(ref: SessionRef, name: string): Promise<Session> {
    this.#refuseWorkspace(ref, 'renamed');
    await this.#engine.names.rename(ref, name);
    this.#engine.events.sessionsChanged.fire();
    return this.session(ref);
  }

  /** What would be lost if the clone were gone; any doubt is told. */
  async preflightRemoval(ref: SessionRef): Promise<RemovalPreflight> {
    this.#refuseWorkspace(ref, 'deleted');
    return this.#engine.removals.preflight(await this.session(ref));
  }

  /**
   * Takes a final snapshot and puts the clone into the trash.
   * @throws BulkheadError `would-lose` (kind `refused`) with the preflight, unless forced; `claimed`
   */
  async removeSession(ref: SessionRef, options: { readonly force: boolean }): Promise<RemoveResult> {
    this.#refuseWorkspace(ref, 'deleted');
    await this.#engine.recovery.settle(ref);
    const result = await this.#engine.removals.remove(await this.session(ref), options);
    this.#engine.events.sessionsChanged.fire();
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
    await this.#engine.recovery.settle(ref);
    const { id, made, snapshot } = await this.#engine.resets.reset(ref, options);
    const session = await this.session(id);
    if (made && session.base !== null) {
      return { session: await this.#begun(id, session.base), made, snapshot };
    }
    this.#engine.events.sessionsChanged.fire();
    return { session, made, snapshot };
  }

  /** @returns the session that took the place of one that was reset; null when there is none (any more) */
  async successorOf(ref: SessionRef): Promise<Session | null> {
    const id = ref === WORKSPACE ? null : await this.#engine.resets.successorOf(ref);
    return id === null ? null : this.session(id);
  }

  #refuseWorkspace(ref: SessionRef, verb: string): void {
    if (ref === WORKSPACE) {
      throw new BulkheadError('user', 'is-workspace', `This workspace is your own checkout and cannot be ${verb}.`);
    }
  }

  /** @throws BulkheadError `lost-race`, `ref-locked`, `claimed` (kind `busy`), or of kind `io` and `git`; the files are untouched */
  checkpoint(request: CheckpointRequest): Promise<CheckpointResult> {
    return checkpoint(this.#engine.sites, request);
  }

  async snapshots(query: SnapshotQuery): Promise<readonly Snapshot[]> {
    const sessions =
      query.session === undefined
        ? [WORKSPACE, ...(await this.sessions({ all: true })).map(({ id }) => id)]
        : [query.session];
    return this.#engine.snapshotList.list(sessions, query);
  }

  /** @throws BulkheadError `snapshot-not-found` */
  snapshot(oid: Oid): Promise<Snapshot> {
    return this.#engine.snapshotLog.snapshot(oid);
  }

  /** @throws BulkheadError `snapshot-not-found`, `snapshot-ambiguous` */
  resolveSnapshot(text: string, session?: SessionRef): Promise<Snapshot> {
    return this.#engine.snapshotResolver.resolve(text, session);
  }

  diff(
    from: DiffSide,
    to: DiffSide,
    options: { readonly paths?: readonly RepoPath[]; readonly signal?: AbortSignal } = {},
  ): Promise<DiffResult> {
    return this.#engine.comparisons.diff(from, to, options);
  }

  /** Files that differ between the base and the newest snapshot. */
  async changedSinceBase(ref: SessionRef): Promise<number> {
    const session = await this.session(ref);
    return session.base === null ||
      session.newestTree === null ||
      (await this.#engine.store.reader.info(session.base.tree)) === undefined
      ? 0
      : this.#engine.contention.count(session.base.tree, session.newestTree);
  }

  /** The tree that a side of a comparison stands for; `worktree` reads the disk and makes no snapshot. */
  treeOf(side: DiffSide): Promise<Oid> {
    return this.#engine.comparisons.treeOf(side);
  }

  /** @returns undefined when the tree has nothing at that path */
  async entry(tree: Oid, path: RepoPath): Promise<{ readonly mode: string; readonly oid: Oid } | undefined> {
    return this.#engine.store.entry(tree, path);
  }

  /** Entries of a folder of a tree; empty when there is no such folder. */
  children(tree: Oid, path: RepoPath | ''): Promise<readonly TreeEntry[]> {
    return this.#engine.comparisons.children(tree, path);
  }

  blob(oid: Oid): Promise<Buffer> {
    return this.#engine.store.blob(oid);
  }

  /** In bytes. */
  blobSize(oid: Oid): Promise<number> {
    return this.#engine.comparisons.blobSize(oid);
  }

  /** Says what a restore would do, and writes nothing. */
  async planRestore(request: RestoreRequest): Promise<RestorePlan> {
    return this.#engine.restores.plan(await this.#restoreSite(request.session), this.#restoreOrder(request));
  }

  /** @throws BulkheadError `needs-consent` with the plan, `foreign-snapshot`, `claimed`; nothing was written then */
  async restore(request: RestoreRequest): Promise<RestoreResult> {
    await this.#engine.recovery.settle(request.session);
    return this.#engine.restores.restore(await this.#restoreSite(request.session), this.#restoreOrder(request));
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
      await this.#engine.recovery.settle(request.session);
    }
    return this.#engine.restores.undo(await this.#restoreSite(request.session), {
      redo: request.redo ?? false,
      consent: request.consent,
      dryRun: request.dryRun ?? false,
      agent: request.agent ?? 'user',
      signal: request.signal,
    });
  }

  async #restoreSite(session: SessionRef): Promise<RestoreSite> {
    const { workTree, writer, materialiser } = await this.#engine.sites.of(session);
    return { session, workTree, writer, materialiser, defaultAgent: defaultAgent(session) };
  }

  /**
   * Paths to which two sessions, or a session and the checkout, gave different contents.
   * @param mode `live` reads the work trees, `newest` compares the newest snapshots
   */
  async contention(mode: 'live' | 'newest'): Promise<readonly ContendedPath[]> {
    return this.#engine.contention.find(await this.#engine.contentionSides.gather(mode));
  }

  /** @throws BulkheadError `nothing-to-apply`, `claimed` */
  async apply(request: ApplyRequest): Promise<ApplyResult> {
    if (request.session === WORKSPACE) {
      throw new BulkheadError('user', 'is-workspace', 'This workspace is what sessions are applied to.');
    }
    if (request.dryRun !== true) {
      await this.#engine.recovery.settle(request.session);
    }
    const record = await this.#engine.catalog.ready(request.session);
    const { writer, head } = this.#engine.sites.at(record.id, clonePath(this.#engine.storage, record));
    const result = await this.#engine.applies.applyAsBranch({ record, writer, head }, request);
    if (request.dryRun !== true) {
      this.#engine.events.sessionsChanged.fire();
    }
    return result;
  }

  /**
   * Records what happens in a work tree from now on.
   * @param options.isSaving whether an editor of this window is writing a file: nothing is booked as an outside write then
   * @param options.hear lets another window know of our saves before it books what it sees
   */
  capture(
    ref: SessionRef,
    options: { readonly ownWindow: boolean; readonly isSaving?: () => boolean; readonly hear?: Hearing },
  ): Promise<Capture> {
    return this.#engine.captures.start(ref, options);
  }

  /** An editor of this window is about to write a file: whoever records outside writes of that session waits for the save. */
  willSave(ref: SessionRef, fsPath: string): void {
    this.#engine.captures.willSave(ref, fsPath);
  }

  /** The save is recorded, or did not come. */
  saveEnded(ref: SessionRef, fsPath: string): void {
    this.#engine.captures.saveEnded(ref, fsPath);
  }

  /**
   * Packs loose objects and removes what has been out of reach for a day. Checkpoints go on meanwhile.
   * @throws BulkheadError `claimed` (kind `busy`) while another process does it
   */
  maintain(options: { readonly signal?: AbortSignal } = {}): Promise<MaintenanceResult> {
    return this.#untilClosed(options.signal, (signal) => this.#engine.maintenance.run({ signal }));
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
      const doctor = this.#engine.doctor(signal);
      return options.repair === true ? doctor.repair(signal) : doctor.check(signal);
    });
    if (report.repairs.length > 0) {
      this.#engine.events.sessionsChanged.fire();
    }
    return report;
  }

  /** Whether there is enough to do for `maintain`. */
  maintenanceIsDue(): Promise<boolean> {
    return this.#engine.maintenance.isDue();
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

  /** Process ids of the warm git processes, for measurements and leak checks. */
  get pids(): readonly number[] {
    return [...this.#engine.store.pids, ...this.#engine.sites.pids];
  }

  /** Records what is waiting and ends every process. */
  async shutdown(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#long);
    await this.#engine.captures.shutdown();
    await this.#engine.sites.stop();
    await this.#engine.store.stop();
    this.#owned.dispose();
  }
}
