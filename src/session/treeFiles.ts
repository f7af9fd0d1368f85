import { emptyTreeOid, type Oid } from '../core/objectId';
import { joinPath, type RepoPath } from '../core/repoPath';
import { parseTree } from '../core/treeObject';
import type { SnapshotStore } from './snapshotStore';

/** A file of a tree, or all files below a folder of it. */
export async function filesIn(store: SnapshotStore, tree: Oid, path: RepoPath): Promise<RepoPath[]> {
  const entry = await store.entry(tree, path);
  return entry === undefined ? [] : entry.mode === '40000' ? filesBelow(store, tree, path) : [path];
}

/** All files below a folder of a tree, without submodules. */
export async function filesBelow(store: SnapshotStore, tree: Oid, folder: RepoPath | ''): Promise<RepoPath[]> {
  const entry = folder === '' ? { mode: '40000', oid: tree } : await store.entry(tree, folder);
  if (entry?.mode !== '40000' || entry.oid === emptyTreeOid(store.format)) {
    return [];
  }
  const found: RepoPath[] = [];
  for (const child of parseTree(await store.tree(entry.oid), store.format)) {
    const path = joinPath(folder, child.name);
    if (child.mode === '40000') {
      found.push(...(await filesBelow(store, tree, path)));
    } else if (child.mode !== '160000') {
      found.push(path);
    }
  }
  return found;
}
