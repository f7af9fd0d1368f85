import { isOid, type Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { TreeEntry } from '../core/treeObject';
import { readNestedHead } from '../git/headFile';
import type { SnapshotStore } from './snapshotStore';
import { trackedEntry, type TrackedTrees } from './trackedTrees';
import type { WorkTree } from './workTree';

/** The repositories within a work tree: submodules, and folders with a `.git` of their own. Each folder is looked at once. */
export class NestedRepositories {
  readonly #store: SnapshotStore;
  readonly #workTree: WorkTree;
  readonly #tracked: TrackedTrees;
  readonly #gitFolders: readonly string[];
  readonly #known = new Map<RepoPath, boolean>();

  /** @param gitFolders where HEAD of a submodule may lie, beside the work tree */
  constructor(store: SnapshotStore, workTree: WorkTree, tracked: TrackedTrees, gitFolders: readonly string[]) {
    this.#store = store;
    this.#workTree = workTree;
    this.#tracked = tracked;
    this.#gitFolders = gitFolders;
  }

  /** The outermost folder above the path that is a repository of its own. */
  async above(path: RepoPath): Promise<RepoPath | undefined> {
    const parts = path.split('/');
    let folder = '';
    for (const name of parts.slice(0, -1)) {
      folder = folder === '' ? name : `${folder}/${name}`;
      if (await this.has(folder as RepoPath)) {
        return folder as RepoPath;
      }
    }
    return undefined;
  }

  /** A submodule's folder, or one with a `.git` of its own; unless tracked files lie in it: git then goes on to take it as a plain folder. */
  async has(folder: RepoPath): Promise<boolean> {
    const known = this.#known.get(folder);
    if (known !== undefined) {
      return known;
    }
    let result = false;
    if (this.#workTree.look(folder).kind === 'folder') {
      const tracked = await trackedEntry(this.#store, this.#tracked, folder);
      // A submodule that is not checked out hides what lies in its folder as well.
      result = tracked?.mode === '160000' || (tracked?.mode !== '40000' && this.#workTree.isNestedRepository(folder));
    }
    this.#known.set(folder, result);
    return result;
  }

  /** The commit that git records in place of the repository's files; null when it cannot be told. */
  commit(folder: RepoPath, tracked: TreeEntry | undefined): Oid | null {
    const head = readNestedHead(this.#workTree.fsPath(folder), [this.#workTree.root, ...this.#gitFolders]);
    const oid = head.kind === 'unknown' ? null : head.oid;
    if (oid !== null && isOid(oid, this.#store.format)) {
      return oid;
    }
    return tracked?.mode === '160000' ? tracked.oid : null;
  }
}
