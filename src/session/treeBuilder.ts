import type { Oid } from '../core/objectId';
import { emptyTreeOid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { TreeChange } from '../core/treeDiff';
import { findEntry, spliceTree, type TreeEdit } from '../core/treeObject';
import type { SnapshotStore } from './snapshotStore';

/** What becomes of paths: an entry, or null for "nothing is there, and nothing below it". */
export type PathEdits = ReadonlyMap<RepoPath, TreeEdit>;

/**
 * What the edits changed, told from the edited paths alone; where a whole folder came or went the two trees are compared.
 * In byte order of the paths, like a diff.
 */
export async function changesOf(store: SnapshotStore, from: Oid, to: Oid, edits: PathEdits): Promise<TreeChange[]> {
  const changes: TreeChange[] = [];
  for (const [path, edit] of edits) {
    const before = await store.entry(from, path);
    if (before?.mode === '40000') {
      return store.diff(from, to);
    }
    if (before?.oid === edit?.oid && before?.mode === edit?.mode) {
      continue;
    }
    changes.push({
      path,
      oldMode: before?.mode ?? null,
      oldOid: before?.oid ?? null,
      newMode: edit?.mode ?? null,
      newOid: edit?.oid ?? null,
    });
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

interface Node {
  /** Undefined: this very path is not edited. */
  edit: TreeEdit | undefined;
  readonly children: Map<string, Node>;
}

/**
 * Writes the trees along the edited paths and nothing else: the cost follows the number of edits and the depth, not the
 * size of the tree. Folders that end up empty leave, as they do in git.
 * @returns the oid of the new root tree
 */
export async function editTree(store: SnapshotStore, root: Oid, edits: PathEdits): Promise<Oid> {
  if (edits.size === 0) {
    return root;
  }
  const top: Node = { edit: undefined, children: new Map() };
  for (const [path, edit] of edits) {
    let node = top;
    for (const name of path.split('/')) {
      let child = node.children.get(name);
      if (child === undefined) {
        child = { edit: undefined, children: new Map() };
        node.children.set(name, child);
      }
      node = child;
    }
    node.edit = edit;
  }
  return (await editFolder(store, root, top)) ?? emptyTree(store);
}

function emptyTree(store: SnapshotStore): Oid {
  const oid = emptyTreeOid(store.format);
  // Known to git without being stored, but other readers of a commit expect its tree to exist.
  store.objects.write('tree', Buffer.alloc(0));
  return oid;
}

/** @returns null when the folder has no entry left */
async function editFolder(store: SnapshotStore, tree: Oid | null, node: Node): Promise<Oid | null> {
  const raw = tree === null ? Buffer.alloc(0) : await store.tree(tree);
  const changes = new Map<string, TreeEdit>();
  for (const [name, child] of node.children) {
    changes.set(name, await editEntry(store, raw, name, child));
  }
  const edited = spliceTree(raw, changes, store.format);
  if (edited.length === 0) {
    return null;
  }
  if (tree !== null && edited.equals(raw)) {
    return tree;
  }
  const oid = store.objects.write('tree', edited);
  store.remember(oid, edited);
  return oid;
}

async function editEntry(store: SnapshotStore, raw: Buffer, name: string, node: Node): Promise<TreeEdit> {
  if (node.edit !== undefined && node.edit !== null) {
    // A file stands there: whatever is said of paths below it is out of date.
    return node.edit;
  }
  if (node.edit === null && node.children.size === 0) {
    return null;
  }
  const existing = findEntry(raw, name, store.format);
  const below = node.edit === undefined && existing?.mode === '40000' ? existing.oid : null;
  const oid = await editFolder(store, below, node);
  if (oid !== null) {
    return { mode: '40000', oid };
  }
  // Only removals below a path that is not a folder in the tree: it stays what it is.
  return node.edit === undefined && existing !== undefined && existing.mode !== '40000'
    ? { mode: existing.mode, oid: existing.oid }
    : null;
}
