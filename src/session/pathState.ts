import type { Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { TreeChange } from '../core/treeDiff';
import { MAX_IN_PROCESS } from './contentWriter';
import type { SnapshotStore } from './snapshotStore';
import type { WorkTree } from './workTree';

/** Whether a path is as a restore wants it, as its safety snapshot holds it, or as somebody made it since. */
export type PathState = 'done' | 'open' | 'touched';

/**
 * How a path on disk stands to the change that a restore makes of it.
 * @param trees.live what is on disk now
 * @param trees.to what the restore wants
 */
export async function pathState(
  store: SnapshotStore,
  workTree: WorkTree,
  { path, oldMode, oldOid, newMode, newOid }: TreeChange,
  trees: { readonly live: Oid; readonly to: Oid },
): Promise<PathState> {
  const entry = await store.entry(trees.live, path);
  const isFolder = entry?.mode === '40000';
  const mode = isFolder ? null : (entry?.mode ?? null);
  const oid = isFolder ? null : (entry?.oid ?? null);
  if (mode === newMode && oid === newOid) {
    // A folder is wanted there only when the files in it are.
    return isFolder && (await store.entry(trees.to, path)) === undefined ? 'touched' : 'done';
  }
  if (mode === oldMode && (oid === oldOid || (await isSameText(store, workTree, path, oldOid)))) {
    return 'open';
  }
  return 'touched';
}

/** Attributes that are restored already may convert line endings of files that are not: their content is the old one all the same. */
async function isSameText(store: SnapshotStore, workTree: WorkTree, path: RepoPath, old: Oid | null): Promise<boolean> {
  const content = workTree.read(path, MAX_IN_PROCESS);
  if (old === null || content.kind !== 'file') {
    return false;
  }
  return withLineFeeds(content.bytes).equals(withLineFeeds(await store.blob(old)));
}

function withLineFeeds(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
}
