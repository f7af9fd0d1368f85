import type { RepoPath } from '../core/repoPath';
import type { TreeEntry } from '../core/treeObject';
import type { SnapshotStore } from './snapshotStore';
import type { TrackedTrees } from './trackedTrees';

/** What is tracked at a path; undefined when nothing is. */
export async function trackedEntry(
  store: SnapshotStore,
  { base, head }: TrackedTrees,
  path: RepoPath,
): Promise<TreeEntry | undefined> {
  // HEAD is laid over the base: where both have a path, HEAD's entry counts.
  const atHead = head === null ? undefined : await store.entry(head, path);
  return atHead ?? (head === base ? undefined : await store.entry(base, path));
}
