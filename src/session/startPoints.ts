import { BulkheadError } from '../base/errors';
import { emptyTreeOid, type Oid } from '../core/objectId';
import { type CreateRequest, type Session, type SessionRef, WORKSPACE } from './api';
import type { Host } from './host';
import type { ResolvedStart } from './sessionService';
import type { Sites } from './sites';
import type { SnapshotReader } from './snapshotReader';
import type { SnapshotStore } from './snapshotStore';
import { resolveRevision, type UserRepository } from './userRepository';
import { requireWritable } from './writable';

/** Finds the commit and the tree that a new session starts with, and writes what differs between the two into its clone. */
export class StartPoints {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #repository: UserRepository;
  readonly #reader: SnapshotReader;
  readonly #sites: Sites;
  readonly #session: (ref: SessionRef) => Promise<Session>;

  constructor(options: {
    readonly host: Host;
    readonly store: SnapshotStore;
    readonly repository: UserRepository;
    readonly reader: SnapshotReader;
    readonly sites: Sites;
    readonly session: (ref: SessionRef) => Promise<Session>;
  }) {
    this.#host = options.host;
    this.#store = options.store;
    this.#repository = options.repository;
    this.#reader = options.reader;
    this.#sites = options.sites;
    this.#session = options.session;
  }

  /** @throws BulkheadError `revision-not-found`, `revision-invalid`, `snapshot-not-found`, `session-not-found` */
  async resolve(request: CreateRequest): Promise<ResolvedStart> {
    const { from } = request;
    switch (from.kind) {
      case 'head':
        return this.#head(request);
      case 'revision':
        return this.#revision(from.revision);
      case 'snapshot':
        return this.#snapshot(from.oid);
      case 'session':
        return this.#otherSession(from.session, request.signal);
    }
  }

  async #head(request: CreateRequest): Promise<ResolvedStart> {
    const head = await resolveRevision(this.#host, this.#repository, 'HEAD');
    if (head !== null) {
      await this.#sites.keepUserCommit(head.commit);
    }
    const tree =
      request.carryUncommitted === true
        ? await (await this.#sites.of(WORKSPACE)).writer.liveTree(request.signal)
        : head?.tree;
    return {
      commit: head?.commit ?? null,
      tree: tree ?? emptyTreeOid(this.#store.format),
      label: request.carryUncommitted === true ? 'HEAD with uncommitted work' : 'HEAD',
    };
  }

  async #revision(revision: string): Promise<ResolvedStart> {
    const found = await resolveRevision(this.#host, this.#repository, revision);
    if (found === null) {
      throw new BulkheadError(
        'notFound',
        'revision-not-found',
        'The repository has no commit yet; start the session from HEAD.',
      );
    }
    await this.#sites.keepUserCommit(found.commit);
    return { ...found, label: revision };
  }

  async #snapshot(oid: Oid): Promise<ResolvedStart> {
    const snapshot = await this.#reader.commit(oid);
    if (snapshot === undefined) {
      throw new BulkheadError('notFound', 'snapshot-not-found', `There is no snapshot ${oid}.`, {
        data: { snapshot: oid },
      });
    }
    const base = snapshot.meta.session === WORKSPACE ? null : (await this.#session(snapshot.meta.session)).base;
    const commit = snapshot.meta.head ?? base?.commit ?? null;
    return { commit: await this.#ifInStore(commit), tree: snapshot.tree, label: `snapshot ${oid.slice(0, 10)}` };
  }

  async #otherSession(ref: SessionRef, signal: AbortSignal | undefined): Promise<ResolvedStart> {
    const session = await this.#session(ref);
    const tree =
      session.state === 'ready' ? await (await this.#sites.of(session.id)).writer.liveTree(signal) : session.newestTree;
    if (tree === null) {
      throw new BulkheadError('notFound', 'snapshot-not-found', `"${session.name}" has no snapshot to start from.`, {
        data: { session: session.id },
      });
    }
    const newest = session.newest === null ? undefined : await this.#reader.commit(session.newest);
    return {
      commit: await this.#ifInStore(newest?.meta.head ?? session.base?.commit ?? null),
      tree,
      label: session.name,
    };
  }

  async #ifInStore(commit: Oid | null): Promise<Oid | null> {
    return commit !== null && (await this.#store.reader.info(commit))?.type === 'commit' ? commit : null;
  }

  /** Writes what the start's tree has beyond its commit into a clone that nobody has had yet. */
  async carryOver(start: ResolvedStart, clone: string, onProgress: CreateRequest['onProgress']): Promise<void> {
    const from = start.commit === null ? null : (await this.#store.commit(start.commit)).tree;
    if (from === start.tree) {
      return;
    }
    onProgress?.('Carrying work over', null);
    const changes = await this.#store.diff(from, start.tree);
    await requireWritable(this.#store, start.tree, changes);
    await this.#sites.withMaterialiser(clone, (materialiser) =>
      materialiser.write(changes.filter(({ newMode, oldMode }) => newMode !== '160000' && oldMode !== '160000')),
    );
  }
}
