import type { Oid } from '../core/objectId';
import { isWithin, type RepoPath } from '../core/repoPath';
import type { SkippedPath } from './api';
import type { PathCapture } from './pathCapture';
import type { SnapshotStore } from './snapshotStore';
import { withoutLeftOut } from './sparsePaths';
import type { StatCache } from './statCache';
import type { TrackedTrees, TrackedTreesReader } from './trackedTrees';
import { editTree, type PathEdits } from './treeBuilder';
import type { WorkTree } from './workTree';

/** What a work tree looks like now, told as edits of a tree that was recorded before. */
export interface Recorded {
  readonly tree: Oid;
  readonly edits: PathEdits;
  readonly skipped: readonly SkippedPath[];
  /** Something was found that only a look at everything settles. */
  readonly rulesChanged: boolean;
}

/** Writes the tree of a work tree as it is now: from the paths that somebody names, or, by git's word on what may differ, from all. */
export class TreeRecorder {
  readonly #store: SnapshotStore;
  readonly #workTree: WorkTree;
  readonly #capture: PathCapture;
  readonly #statCache: StatCache;
  readonly #tracked: TrackedTreesReader;
  readonly #maxFileSize: number;

  /** @param options.maxFileSize in bytes; untracked files above it are skipped */
  constructor(options: {
    readonly store: SnapshotStore;
    readonly workTree: WorkTree;
    readonly capture: PathCapture;
    readonly statCache: StatCache;
    readonly tracked: TrackedTreesReader;
    readonly maxFileSize: number;
  }) {
    this.#store = options.store;
    this.#workTree = options.workTree;
    this.#capture = options.capture;
    this.#statCache = options.statCache;
    this.#tracked = options.tracked;
    this.#maxFileSize = options.maxFileSize;
  }

  /** Looks at these paths only. */
  async paths(paths: readonly RepoPath[], parent: Oid, forced?: ReadonlySet<RepoPath>): Promise<Recorded> {
    const before = this.#tracked.last;
    const tracked = await this.#tracked.current();
    const captured = await this.#capture.capture(withoutCovered(paths), {
      parent,
      tracked,
      maxFileSize: this.#maxFileSize,
      ...(forced === undefined ? {} : { forced }),
    });
    // A commit or another branch changes which ignored files are tracked, also beyond these paths.
    const headMoved = before !== undefined && before.head !== tracked.head;
    const { edits, skipped } = captured;
    const tree = await editTree(this.#store, parent, edits);
    return { tree, edits, skipped, rulesChanged: captured.rulesChanged || headMoved };
  }

  /** Reconcile, the slow and certain way: git says which files may differ, and those are captured like any others. */
  async everything(
    parent: Oid,
    options: { readonly forced?: ReadonlySet<RepoPath> | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Recorded> {
    const { forced, signal } = options;
    const tracked = await this.#tracked.refresh();
    const cache = await this.#statCache.open(parent);
    try {
      const candidates = await cache.candidates(signal);
      const { ignored, refused } = candidates;
      const paths = withoutLeftOut(
        candidates.paths,
        await this.#capture.leftOut(),
        (path) => this.#workTree.kind(path) === 'absent',
      );
      // Paths that are tracked and ignored but not captured yet show up nowhere else: compare the tracked trees themselves.
      const committed = await this.#committedMeanwhile(parent, tracked);
      const moved = await this.#movedWithHead(await cache.lastHead(), tracked.head);
      const captured = await this.#capture.capture(
        withoutCovered([...paths, ...ignored, ...committed, ...moved, ...(forced ?? [])]),
        {
          parent,
          tracked,
          maxFileSize: this.#maxFileSize,
          ...(forced === undefined ? {} : { forced }),
        },
      );
      const { edits } = captured;
      const skipped = [...captured.skipped, ...refused.map((path) => ({ path, reason: 'name-not-allowed' as const }))];
      const tree = await editTree(this.#store, parent, edits);
      await cache.keep(tree, edits, tracked.head);
      // A look at everything is what changed rules ask for.
      return { tree, edits, skipped, rulesChanged: false };
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
}

/** Leaves out paths that lie below another one of the list. */
function withoutCovered(paths: Iterable<RepoPath>): RepoPath[] {
  const sorted = [...new Set(paths)].sort();
  const result: RepoPath[] = [];
  for (const path of sorted) {
    const last = result.at(-1);
    if (last === undefined || !isWithin(path, last) || path === last) {
      result.push(path);
    }
  }
  return result;
}
