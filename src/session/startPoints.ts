import { join } from 'node:path';
import { BulkheadError } from '../base/errors';
import { emptyTreeOid, type Oid } from '../core/objectId';
import { type RepoPath, uncheckedRepoPath, visiblePath } from '../core/repoPath';
import { type CreateRequest, type SessionRef, type SkipReason, WORKSPACE } from './api';
import { filterNotices, namedFiles } from './cloneMaker';
import { donorOf } from './donor';
import type { Host } from './host';
import type { SessionCatalog } from './sessionCatalog';
import type { Sites } from './sites';
import { noSuchSnapshot, type SnapshotReader } from './snapshotReader';
import type { SnapshotStore } from './snapshotStore';
import type { Storage } from './storage';
import { fillSubmodules } from './submodules';
import { resolveRevision, type UserRepository } from './userRepository';
import { WorkTree } from './workTree';
import { requireWritable } from './writable';

const MODULES_FILE = uncheckedRepoPath('.gitmodules');

/** Where a new clone starts: resolved to oids. */
export interface ResolvedStart {
  /** Null before the first commit. */
  readonly commit: Oid | null;
  /** What the session is given; differs from the commit's tree when work is carried over. */
  readonly tree: Oid;
  /** For people. */
  readonly label: string;
}

interface FillOptions {
  readonly onProgress?: CreateRequest['onProgress'] | undefined;
  readonly onNotice?: CreateRequest['onNotice'] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Finds the commit and the tree that a new session starts with, and writes what differs between the two into its clone. */
export class StartPoints {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #repository: UserRepository;
  readonly #reader: SnapshotReader;
  readonly #sites: Sites;
  readonly #catalog: SessionCatalog;
  readonly #storage: Storage;

  constructor(options: {
    readonly host: Host;
    readonly storage: Storage;
    readonly store: SnapshotStore;
    readonly repository: UserRepository;
    readonly reader: SnapshotReader;
    readonly sites: Sites;
    readonly catalog: SessionCatalog;
  }) {
    this.#host = options.host;
    this.#storage = options.storage;
    this.#store = options.store;
    this.#repository = options.repository;
    this.#reader = options.reader;
    this.#sites = options.sites;
    this.#catalog = options.catalog;
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
        return this.#otherSession(from.session, request);
    }
  }

  async #head(request: CreateRequest): Promise<ResolvedStart> {
    const head = await resolveRevision(this.#host, this.#repository, 'HEAD');
    if (head !== null) {
      await this.#sites.keepUserCommit(head.commit);
    }
    const tree = request.carryUncommitted === true ? await this.#liveTree(WORKSPACE, request) : head?.tree;
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
      throw noSuchSnapshot(oid);
    }
    const base = snapshot.meta.session === WORKSPACE ? null : (await this.#catalog.session(snapshot.meta.session)).base;
    const commit = snapshot.meta.head ?? base?.commit ?? null;
    return { commit: await this.#ifInStore(commit), tree: snapshot.tree, label: `snapshot ${oid.slice(0, 10)}` };
  }

  async #otherSession(ref: SessionRef, request: CreateRequest): Promise<ResolvedStart> {
    const session = await this.#catalog.session(ref);
    const tree = session.state === 'ready' ? await this.#liveTree(session.id, request) : session.newestTree;
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

  /** The present state of a work tree; what it cannot hold is named. */
  async #liveTree(ref: SessionRef, { signal, onNotice }: CreateRequest): Promise<Oid> {
    const { writer } = await this.#sites.of(ref);
    const { tree, skipped } = await writer.live(signal);
    const named = (reason: SkipReason): string[] =>
      skipped.filter((path) => path.reason === reason).map(({ path }) => visiblePath(path));
    const large = named('too-large');
    if (large.length > 0) {
      onNotice?.(
        `Not carried over, because ${large.length === 1 ? 'it is' : 'they are'} larger than bulkhead.snapshot.maxFileSize: ${namedFiles(large)}. Copy what the session needs by hand, or raise the limit and start a new session.`,
      );
    }
    const unread = [...named('unreadable'), ...named('special-file')];
    if (unread.length > 0) {
      onNotice?.(
        `Not carried over, because ${unread.length === 1 ? 'it cannot' : 'they cannot'} be read: ${namedFiles(unread)}.`,
      );
    }
    return tree;
  }

  /**
   * Fills a clone that nobody has had yet with what the start's tree has beyond its commit, and with the submodules that the
   * user has on her disk.
   */
  async fill(start: ResolvedStart, clone: string, { onProgress, onNotice, signal }: FillOptions): Promise<void> {
    const tell = (notice: string): void => {
      this.#host.log.info(`${clone}: ${notice}`);
      onNotice?.(notice);
    };
    const left = await this.#carryOver(start, clone, onProgress);
    const hasSubmodules = (await this.#store.entry(start.tree, MODULES_FILE)) !== undefined;
    const notices = !hasSubmodules
      ? []
      : await fillSubmodules(
          this.#host,
          {
            source: this.#repository,
            donor: donorOf(this.#storage, this.#repository),
            gitDir: join(clone, '.git'),
            workTree: clone,
            objects: this.#store.gitDir,
            tree: start.tree,
            prefix: '',
          },
          signal,
        );
    const workTree = new WorkTree(clone);
    const nested = left.filter((path) => workTree.kind(path) === 'absent').map(visiblePath);
    if (nested.length > 0) {
      tell(
        `Not carried over, because ${nested.length === 1 ? 'it is a repository of its own' : 'they are repositories of their own'}: ${nested.join(', ')}. Clone what the session needs there by hand.`,
      );
    }
    for (const notice of [...notices, ...(await filterNotices(this.#host, this.#repository, clone))]) {
      tell(notice);
    }
  }

  /** @returns the repositories in the tree that the clone's commit does not have */
  async #carryOver(start: ResolvedStart, clone: string, onProgress: CreateRequest['onProgress']): Promise<RepoPath[]> {
    const from = start.commit === null ? null : (await this.#store.commit(start.commit)).tree;
    if (from === start.tree) {
      return [];
    }
    onProgress?.('Carrying work over', null);
    const changes = await this.#store.diff(from, start.tree);
    await requireWritable(this.#store, new WorkTree(clone), start.tree, changes);
    await this.#sites.withMaterialiser(clone, (materialiser) =>
      materialiser.write(changes.filter(({ newMode, oldMode }) => newMode !== '160000' && oldMode !== '160000')),
    );
    return changes.filter(({ newMode }) => newMode === '160000').map(({ path }) => path);
  }
}
