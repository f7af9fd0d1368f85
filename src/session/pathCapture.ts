import { join } from 'node:path';
import { BulkheadError } from '../base/errors';
import type { RepoPath } from '../core/repoPath';
import type { TreeEdit } from '../core/treeObject';
import type { Git } from '../git/git';
import { CheckIgnore } from '../git/workTreeQueries';
import type { SkippedPath } from './api';
import { type CaptureOptions, CaptureRun } from './captureRun';
import { ContentWriter } from './contentWriter';
import { RuleFiles } from './ruleFiles';
import { Slices } from './slices';
import type { SnapshotStore } from './snapshotStore';
import type { LeftOut, SparsePaths } from './sparsePaths';
import { Spelling } from './spelling';
import type { WorkTree } from './workTree';

export interface Captured {
  readonly edits: Map<RepoPath, TreeEdit>;
  readonly skipped: SkippedPath[];
  /** Something was found that only a look at everything settles: an ignore file changed. */
  readonly rulesChanged: boolean;
}

/**
 * Reads paths of a work tree and says what a tree has to hold for them, as a fresh `git add -A` over the tracked trees
 * would: a function of the disk, the tracked trees and the rules, not of what was captured before (except for files
 * that grew too large, which keep their last content).
 */
export class PathCapture {
  readonly #store: SnapshotStore;
  readonly #workTree: WorkTree;
  readonly #content: ContentWriter;
  readonly #checkIgnore: CheckIgnore;
  readonly #ignoreFiles: RuleFiles;
  readonly #sparse: SparsePaths;
  readonly #gitFolders: readonly string[];

  /** @param repository what is read of the work tree's own repository: sparse marks, and where HEAD of a submodule may lie */
  constructor(
    git: Git,
    store: SnapshotStore,
    workTree: WorkTree,
    repository: { readonly sparse: SparsePaths; readonly gitFolders: readonly string[] },
  ) {
    this.#sparse = repository.sparse;
    this.#gitFolders = repository.gitFolders;
    this.#store = store;
    this.#workTree = workTree;
    this.#content = new ContentWriter(git, store, workTree);
    this.#checkIgnore = new CheckIgnore(git, { gitDir: store.gitDir, workTree: workTree.root });
    const { excludesFile } = store.rules;
    this.#ignoreFiles = new RuleFiles(workTree, '.gitignore', [
      join(store.gitDir, 'info', 'exclude'),
      join(store.gitDir, 'config'),
      ...(excludesFile === null ? [] : [excludesFile]),
    ]);
  }

  get content(): ContentWriter {
    return this.#content;
  }

  get pids(): readonly number[] {
    return [...this.#content.pids, ...this.#checkIgnore.pids];
  }

  async capture(paths: readonly RepoPath[], options: CaptureOptions): Promise<Captured> {
    const looked = new Set<string>();
    const run = new CaptureRun({
      store: this.#store,
      workTree: this.#workTree,
      content: this.#content,
      capture: options,
      isIgnored: (path) => this.#isIgnored(path, looked),
      leftOut: await this.#sparse.leftOut(),
      spelling:
        this.#workTree.ignoresCase() === true
          ? new Spelling(this.#store, [options.tracked.head, options.tracked.base, options.parent])
          : undefined,
      gitFolders: this.#gitFolders,
    });
    const slices = new Slices();
    const queue = [...paths];
    for (let at = 0; at < queue.length; at++) {
      const path = queue[at];
      if (path !== undefined) {
        await run.path(path);
      }
      if (at === queue.length - 1) {
        queue.push(...(await run.convertedOtherwise()));
      }
      await slices.next();
    }
    if (!this.#workTree.isThere()) {
      // Moved, unmounted or deleted as a whole: that nothing was found says nothing about the files.
      throw new BulkheadError(
        'io',
        'work-tree-gone',
        `The folder ${this.#workTree.root} is not there any more. Nothing was recorded.`,
        {
          data: { path: this.#workTree.root },
        },
      );
    }
    const rulesChanged = await run.rulesChanged();
    return { edits: run.edits, skipped: run.skipped, rulesChanged };
  }

  /** What a sparse checkout leaves out; undefined when it is a full one. */
  leftOut(): Promise<LeftOut | undefined> {
    return this.#sparse.leftOut();
  }

  /** Only for untracked paths that no link stands above. */
  async #isIgnored(path: RepoPath, looked: Set<string>): Promise<boolean> {
    if (this.#ignoreFiles.look(path, looked).changed) {
      await this.#checkIgnore.stop();
    }
    return this.#checkIgnore.isIgnored(path);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#content.stop(), this.#checkIgnore.stop()]);
  }
}
