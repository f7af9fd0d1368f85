import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { BulkheadError, messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import { fetchInto } from '../git/porcelain';
import { type Base, type SessionRef, WORKSPACE } from './api';
import type { Claims } from './claims';
import { ContentWriter } from './contentWriter';
import { deniedFilters } from './filters';
import { bringHead, type HeadSource } from './heads';
import type { Host } from './host';
import type { LockFolder } from './locks';
import { Materialiser } from './materialise';
import { readable, type Records } from './records';
import type { SessionCatalog } from './sessionCatalog';
import type { SnapshotHealth } from './snapshotHealth';
import type { SnapshotStore } from './snapshotStore';
import { SnapshotWriter, type Waiting } from './snapshotWriter';
import { clonePath, statCacheFolder, type Storage } from './storage';
import { resolveRevision, type UserRepository } from './userRepository';
import { workspaceHead } from './workspace';
import { WorkTree } from './workTree';

/** One work tree with the services that look after it. */
export interface Site {
  readonly workTree: WorkTree;
  readonly head: HeadSource;
  readonly writer: SnapshotWriter;
  readonly materialiser: Materialiser;
}

export interface SitesOptions {
  readonly host: Host;
  readonly storage: Storage;
  readonly repository: UserRepository;
  readonly store: SnapshotStore;
  readonly locks: LockFolder;
  readonly claims: Claims;
  readonly records: Records;
  readonly health: SnapshotHealth;
  readonly catalog: SessionCatalog;
  readonly beforeWrite: (session: SessionRef) => Promise<void>;
  readonly onMoved: (session: SessionRef) => void;
  readonly onWaiting: (session: SessionRef, waiting: Waiting | null) => void;
}

/** Who writes in a work tree when nobody says so. */
export function defaultAgent(session: SessionRef): string {
  return session === WORKSPACE ? 'user' : 'unknown';
}

/** The work trees that this process looks after: the user's checkout and the clones, each made ready when it is first asked for. */
export class Sites {
  readonly #options: SitesOptions;
  readonly #sites = new Map<SessionRef, Site>();
  #seeded: Promise<void> | undefined;

  constructor(options: SitesOptions) {
    this.#options = options;
  }

  /** @throws BulkheadError when the session's clone is not there */
  async of(ref: SessionRef): Promise<Site> {
    if (ref === WORKSPACE) {
      const site = this.at(WORKSPACE, this.#options.repository.root);
      this.#seeded ??= this.#seedWorkspace(site);
      await this.#seeded;
      return site;
    }
    const known = this.#sites.get(ref);
    if (known !== undefined && isFolder(known.workTree.root)) {
      // Deleting a session moves its folder away, so one look is enough for each further save.
      return known;
    }
    const { storage, catalog } = this.#options;
    return this.at(ref, clonePath(storage, await catalog.ready(ref)));
  }

  /** The site of a work tree that is known to be there. */
  at(session: SessionRef, root: string): Site {
    const known = this.#sites.get(session);
    if (known?.workTree.root === root) {
      return known;
    }
    const site = this.#make(session, root);
    this.#sites.set(session, site);
    return site;
  }

  /** Fetches a commit of the user's into the store when it is newer than that. */
  async keepUserCommit(commit: Oid): Promise<void> {
    const { host, repository, store } = this.#options;
    if ((await store.reader.info(commit)) !== undefined) {
      return;
    }
    if (!(await bringHead(host, store, workspaceHead(repository), commit))) {
      // Another commit than HEAD's.
      await fetchInto(host.git, { gitDir: store.gitDir, source: repository.commonDir, refspecs: [commit] });
    }
  }

  /** Runs `work` with what writes into a folder that is no session yet. */
  async withMaterialiser<T>(root: string, work: (materialiser: Materialiser) => Promise<T>): Promise<T> {
    const { host, store } = this.#options;
    const workTree = new WorkTree(root);
    const content = new ContentWriter(host.git, store, workTree);
    const materialiser = new Materialiser(host.git, store, workTree, content);
    try {
      return await work(materialiser);
    } finally {
      await Promise.all([content.stop(), materialiser.stop()]);
    }
  }

  #make(session: SessionRef, root: string): Site {
    const { host, storage, repository, store, locks, claims, health, beforeWrite, onMoved, onWaiting } = this.#options;
    const workTree = new WorkTree(root);
    const gitDir = join(root, '.git');
    const head: HeadSource =
      session === WORKSPACE
        ? workspaceHead(repository)
        : { session, gitDir, commonDir: gitDir, location: gitDir, trusted: false };
    const writer = new SnapshotWriter({
      host,
      store,
      locks,
      claims,
      health,
      site: {
        session,
        workTree,
        head,
        readBase: session === WORKSPACE ? null : () => this.#readBase(session),
        statCacheFolder: statCacheFolder(storage, session),
      },
      beforeWrite: () => beforeWrite(session),
      onMoved: () => {
        onMoved(session);
      },
      onWaiting: (waiting) => {
        onWaiting(session, waiting);
      },
    });
    return {
      workTree,
      head,
      writer,
      materialiser: new Materialiser(host.git, store, workTree, writer.pathCapture.content),
    };
  }

  /** The user's own index knows the stat data of her files: the first look at a large checkout need not read them all. */
  async #seedWorkspace(site: Site): Promise<void> {
    const { host, repository } = this.#options;
    const { statCache } = site.writer;
    try {
      const head = (await statCache.isEmpty()) ? await resolveRevision(host, repository, 'HEAD') : null;
      if (head !== null) {
        await this.keepUserCommit(head.commit);
        const unlikeOurs = deniedFilters(repository.config, host.settings.allowedFilters);
        await statCache.seed(join(repository.gitDir, 'index'), head.tree, { unlikeOurs });
      }
    } catch (error) {
      host.log.info(`no stat data taken from the checkout's index: ${messageOf(error)}`);
    }
  }

  /** The same for a clone that was just made; its index stands for the base's commit. */
  async seedClone(session: SessionRef, root: string, base: Base): Promise<void> {
    if (base.commit === null) {
      return;
    }
    // Work that was carried over is in the tree, and not in what was checked out.
    const isFresh = (await this.#options.store.commit(base.commit)).tree === base.tree;
    await this.at(session, root).writer.statCache.seed(join(root, '.git', 'index'), base.tree, { isFresh });
  }

  /** @throws BulkheadError `session-not-found`, `session-not-ready`, `record-damaged`, `record-newer` */
  async #readBase(session: SessionRef): Promise<Oid> {
    const stored = await this.#options.records.existing(session);
    // An unknown base would make files that are tracked and ignored leave the snapshot.
    const { name, state, base } = readable(session, stored);
    if (state === 'trashed') {
      // A save that waited for whoever deleted or reset it, or an editor that made the clone's folder again.
      throw new BulkheadError(
        'notFound',
        'session-not-ready',
        `"${name}" went to the trash before this could be recorded.`,
        { data: { session, state } },
      );
    }
    return base.tree;
  }

  /** Ends the processes of one work tree and forgets it. */
  async drop(ref: SessionRef): Promise<void> {
    const site = this.#sites.get(ref);
    this.#sites.delete(ref);
    if (site !== undefined) {
      await Promise.all([site.writer.stop(), site.materialiser.stop()]);
    }
  }

  get pids(): readonly number[] {
    return [...this.#sites.values()].flatMap(({ writer, materialiser }) => [...writer.pids, ...materialiser.pids]);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#sites.keys()].map((ref) => this.drop(ref)));
  }
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
