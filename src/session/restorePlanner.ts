import type { Oid } from '../core/objectId';
import { foldedName, isWithin, parentPath, type RepoPath } from '../core/repoPath';
import { riskOf } from '../core/riskCategory';
import type { TreeChange } from '../core/treeDiff';
import type { KeepReason, RestorePlan, SkippedPath, SkipReason } from './api';
import { MAX_IN_PROCESS } from './contentWriter';
import type { Materialiser } from './materialise';
import { Slices } from './slices';
import type { SnapshotStore } from './snapshotStore';
import type { SnapshotWriter } from './snapshotWriter';
import type { WorkTree } from './workTree';
import { requireWritable } from './writable';

export type Consent = 'ask' | 'safe' | 'all';

/** One work tree with all that a restore of it needs. */
export interface RestoreSite {
  readonly session: string;
  readonly workTree: WorkTree;
  readonly writer: SnapshotWriter;
  readonly materialiser: Materialiser;
  /** Who made what is on disk and in no snapshot yet. */
  readonly defaultAgent: string;
}

/** What a work tree shall become, and whose changes that would take away. */
export interface Wanted {
  /** The tree that the paths are taken from. */
  readonly tree: Oid;
  readonly paths: readonly RepoPath[] | undefined;
  /** Only the very `paths`, and nothing below them. */
  readonly exactly?: boolean;
  readonly contested: (changes: readonly TreeChange[], live: Oid) => Promise<RestorePlan['contested']>;
  /** Nothing is asked when the work tree is as a restore left it. */
  readonly askAboutRisk: boolean;
}

/** What is on disk now, as a tree, and what that tree does not hold of it. */
export interface Live {
  readonly tree: Oid;
  readonly skipped: readonly SkippedPath[];
  /** Files that only the safety snapshot holds: nobody can be said to have changed them since. */
  readonly forced?: ReadonlySet<RepoPath>;
}

export interface Prepared {
  readonly plan: RestorePlan;
  readonly changes: readonly TreeChange[];
  /** Files that no snapshot holds and that would be overwritten: the safety snapshot takes them. */
  readonly forced: ReadonlySet<RepoPath>;
}

/** Says what a restore would write, delete and keep, and what of it somebody has to agree to; changes nothing. */
export class RestorePlanner {
  readonly #store: SnapshotStore;

  constructor(store: SnapshotStore) {
    this.#store = store;
  }

  /**
   * @param known what is on disk; absent: it is looked at now
   * @throws BulkheadError `name-not-allowed`, `names-clash` for a snapshot with a name that must not be written
   */
  async prepare(
    site: RestoreSite,
    wanted: Wanted,
    consent: Consent,
    signal: AbortSignal | undefined,
    known?: Live,
  ): Promise<Prepared> {
    const { tree: live, skipped, forced: taken }: Live = known ?? (await site.writer.live(signal, wanted.paths));
    const notHeld = new Map(skipped.map(({ path, reason }) => [path, reason]));
    const asked = new Set(wanted.paths);
    const all = (await this.#store.diff(live, wanted.tree, wanted.paths)).filter(
      ({ path }) =>
        wanted.paths === undefined ||
        asked.has(path) ||
        (wanted.exactly !== true && wanted.paths.some((above) => isWithin(path, above))),
    );
    await requireWritable(this.#store, site.workTree, wanted.tree, all);
    const contested = await wanted.contested(
      taken === undefined ? all : all.filter(({ path }) => !taken.has(path)),
      live,
    );
    const contestedPaths = new Set(contested.map(({ path }) => path));
    const leftOut = await site.writer.pathCapture.leftOut();
    const keep: { path: RepoPath; reason: KeepReason }[] = [];
    const changes: TreeChange[] = [];
    const forced = new Set<RepoPath>();
    const deleted = new Set(all.filter(({ newMode }) => newMode === null).map(({ path }) => path));
    // The very file that is deleted under its other name.
    const renamed = new Set(site.workTree.ignoresCase() === true ? [...deleted].map(foldedName) : []);
    const slices = new Slices();
    for (const change of all) {
      await slices.next();
      const { path } = change;
      const isRisky = wanted.askAboutRisk && isSensitive(path);
      const reason =
        consent === 'safe' && (contestedPaths.has(path) || isRisky)
          ? 'left-out'
          : leftOut?.has(path) === true && site.workTree.kind(path) === 'absent'
            ? 'outside-sparse-checkout'
            : this.#obstacle(site, change, { deleted, renamed }, notHeld.get(path), forced);
      if (reason === undefined) {
        changes.push(change);
      } else {
        keep.push({ path, reason });
      }
    }
    const paths = new Set(changes.map(({ path }) => path));
    const plan: RestorePlan = {
      write: changes.filter(({ newMode }) => newMode !== null).map(({ path }) => path),
      delete: changes.filter(({ newMode }) => newMode === null).map(({ path }) => path),
      keep,
      contested: contested.filter(({ path }) => paths.has(path)),
      risky: wanted.askAboutRisk
        ? changes.filter(({ path }) => isSensitive(path)).map(({ path }) => ({ path, category: riskOf(path) }))
        : [],
    };
    return { plan, changes, forced };
  }

  /** What keeps a path from being written or deleted; notes what the safety snapshot has to take along. */
  #obstacle(
    site: RestoreSite,
    change: TreeChange,
    { deleted, renamed }: { readonly deleted: ReadonlySet<RepoPath>; readonly renamed: ReadonlySet<string> },
    notHeld: SkipReason | undefined,
    forced: Set<RepoPath>,
  ): KeepReason | undefined {
    const { path, oldMode, newMode } = change;
    const { workTree } = site;
    if (oldMode === '160000' || newMode === '160000') {
      return 'nested-repository';
    }
    if (notHeld === 'too-large') {
      // The live tree has an earlier content of it.
      if (workTree.kind(path) === 'file') {
        forced.add(path);
      }
    } else if (notHeld !== undefined && notHeld !== 'vanished') {
      return 'not-captured';
    }
    if (newMode === null) {
      return undefined;
    }
    for (let folder = parentPath(path); folder !== ''; folder = parentPath(folder)) {
      const kind = workTree.kind(folder);
      if ((kind === 'link' || kind === 'file' || kind === 'special') && !deleted.has(folder)) {
        return 'beyond-link';
      }
      if (kind === 'folder' && workTree.isNestedRepository(folder)) {
        return 'nested-repository';
      }
    }
    const kind = workTree.kind(path);
    if (kind === 'folder') {
      return this.#holdsOnly(workTree, path, deleted) ? undefined : 'folder-in-the-way';
    }
    if (kind === 'special') {
      return 'not-captured';
    }
    if (oldMode === null && (kind === 'file' || kind === 'link') && !renamed.has(foldedName(path))) {
      // Ignored or too large: in no snapshot yet.
      const content = workTree.read(path, MAX_IN_PROCESS);
      if (content.kind === 'unreadable') {
        return 'not-captured';
      }
      forced.add(path);
    }
    return undefined;
  }

  /** Whether a folder holds nothing but files that the restore deletes. */
  #holdsOnly(workTree: WorkTree, folder: RepoPath, deleted: ReadonlySet<RepoPath>): boolean {
    if (workTree.isNestedRepository(folder)) {
      return false;
    }
    return workTree
      .list(folder)
      .every(
        ({ path, kind, isAllowed }) =>
          isAllowed && (kind === 'folder' ? this.#holdsOnly(workTree, path, deleted) : deleted.has(path)),
      );
  }
}

/** Leaves out what no snapshot holds. */
export function withoutUnsaved({ plan, changes, forced }: Prepared): Prepared {
  return {
    plan: keeping(plan, forced, 'not-captured'),
    changes: changes.filter(({ path }) => !forced.has(path)),
    forced: new Set(),
  };
}

/** The plan when some of its paths are left as they are after all. */
export function keeping(plan: RestorePlan, kept: ReadonlySet<RepoPath>, reason: KeepReason): RestorePlan {
  const isLeft = (path: RepoPath): boolean => !kept.has(path);
  return {
    write: plan.write.filter(isLeft),
    delete: plan.delete.filter(isLeft),
    keep: [...plan.keep, ...[...kept].map((path) => ({ path, reason }))],
    contested: plan.contested.filter(({ path }) => isLeft(path)),
    risky: plan.risky.filter(({ path }) => isLeft(path)),
  };
}

function isSensitive(path: RepoPath): boolean {
  const category = riskOf(path);
  return category === 'system' || category === 'platform';
}
