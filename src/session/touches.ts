import type { Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { TreeChange } from '../core/treeDiff';
import type { RestorePlan } from './api';
import type { RestoreSite } from './restorePlanner';
import type { SnapshotCommit, SnapshotReader } from './snapshotReader';
import type { SnapshotStore } from './snapshotStore';

/** Tells from the history whose changes a restore would take away. */
export class Touches {
  readonly #store: SnapshotStore;
  readonly #reader: SnapshotReader;

  constructor(store: SnapshotStore, reader: SnapshotReader) {
    this.#store = store;
    this.#reader = reader;
  }

  /**
   * Paths that somebody else touched since the target. "Else" means: not the agent whose work is taken back, which is the
   * target's own, or for the start of a session the first that wrote after it.
   */
  async byOthersSince(
    site: RestoreSite,
    target: SnapshotCommit,
    changes: readonly TreeChange[],
    live: Oid,
  ): Promise<RestorePlan['contested']> {
    let owner: string | undefined = target.meta.trigger === 'start' ? undefined : target.meta.agent;
    if (owner === undefined) {
      const later = await this.#reader.history(site.session, { until: target.oid });
      owner = later.at(-1)?.meta.agent;
    }
    if (owner === undefined) {
      return [];
    }
    return this.lastSince(site, target.oid, new Set(changes.map(({ path }) => path)), live, (agent) => agent !== owner);
  }

  /** For each path the newest change since a snapshot by an agent that counts. */
  async lastSince(
    site: RestoreSite,
    since: Oid,
    paths: ReadonlySet<RepoPath>,
    live: Oid,
    counts: (agent: string) => boolean,
  ): Promise<RestorePlan['contested']> {
    const touched = new Map<RepoPath, { agent: string; snapshot: Oid | null }>();
    const history = await this.#reader.history(site.session, { until: since });
    const [newest] = history;
    const note = async (from: Oid, to: Oid, agent: string, snapshot: Oid | null): Promise<void> => {
      for (const { path } of await this.#store.diff(from, to)) {
        if (paths.has(path) && !touched.has(path)) {
          touched.set(path, { agent, snapshot });
        }
      }
    };
    const newestTree = newest?.tree ?? (await this.#store.commit(since)).tree;
    if (counts(site.defaultAgent)) {
      await note(newestTree, live, site.defaultAgent, null);
    }
    for (const commit of history) {
      const isOwnStep = ['restore', 'undo', 'redo'].includes(commit.meta.trigger);
      if (!isOwnStep && counts(commit.meta.agent)) {
        await note(await this.#reader.treeBefore(commit), commit.tree, commit.meta.agent, commit.oid);
      }
    }
    return [...touched]
      .map(([path, { agent, snapshot }]) => ({ path, agent, snapshot }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }
}
