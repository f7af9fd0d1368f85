import { type ObjectFormat, type Oid, emptyTreeOid } from './objectId';
import { type RepoPath, isWithin, joinPath } from './repoPath';
import { type TreeEntry, compareEntries, isTreeMode, parseTree } from './treeObject';

/** One file, link or gitlink that differs; null where the side does not have it. Modes as in raw trees (`100644`). */
export interface TreeChange {
  readonly path: RepoPath;
  readonly oldMode: string | null;
  readonly oldOid: Oid | null;
  readonly newMode: string | null;
  readonly newOid: Oid | null;
}

export interface TreeDiffOptions {
  /** Only these files and folders; an empty list means nothing, an absent one everything. */
  readonly paths?: readonly RepoPath[];
}

/** Gives the raw bytes of a tree. */
export type ReadTree = (oid: Oid) => Promise<Buffer>;

/**
 * What differs between two trees, in byte order of the paths; null is a tree without entries. Equal folders are never read. Where a
 * file gave way to a folder, the file is deleted and the folder's files are added. Names are as the trees have them: not checked.
 */
export async function diffTrees(
  read: ReadTree,
  format: ObjectFormat,
  from: Oid | null,
  to: Oid | null,
  options: TreeDiffOptions = {},
): Promise<TreeChange[]> {
  const changes: TreeChange[] = [];
  const empty = emptyTreeOid(format);
  const { paths } = options;

  const entriesOf = async (oid: Oid | null): Promise<TreeEntry[]> => {
    // The empty tree is known to git without being stored anywhere.
    if (oid === null || oid === empty) {
      return [];
    }
    const entries = parseTree(await read(oid), format);
    // In order already, unless an importer wrote the tree; then sorting is what makes the merge find the pairs.
    return entries.sort(compareEntries);
  };

  const walk = async (folder: RepoPath | '', oldTree: Oid | null, newTree: Oid | null): Promise<void> => {
    if (oldTree === newTree) {
      return;
    }
    const [oldEntries, newEntries] = await Promise.all([entriesOf(oldTree), entriesOf(newTree)]);
    for (const [before, after] of pairEntries(oldEntries, newEntries)) {
      const entry = before ?? after;
      if (entry === undefined || (before?.oid === after?.oid && before?.mode === after?.mode)) {
        continue;
      }
      const path = joinPath(folder, entry.name);
      if (isTreeMode(entry.mode)) {
        if (paths === undefined || paths.some((wanted) => isWithin(path, wanted) || isWithin(wanted, path))) {
          await walk(path, before?.oid ?? null, after?.oid ?? null);
        }
      } else if (paths === undefined || paths.some((wanted) => isWithin(path, wanted))) {
        changes.push({
          path,
          oldMode: before?.mode ?? null,
          oldOid: before?.oid ?? null,
          newMode: after?.mode ?? null,
          newOid: after?.oid ?? null,
        });
      }
    }
  };

  await walk('', from, to);
  return changes;
}

type Pair = readonly [TreeEntry | undefined, TreeEntry | undefined];

/** Merges two sorted lists. A file and a folder of one name have different places in git's order, so they never pair. */
function* pairEntries(oldEntries: readonly TreeEntry[], newEntries: readonly TreeEntry[]): Generator<Pair> {
  let i = 0;
  let j = 0;
  for (;;) {
    const before = oldEntries[i];
    const after = newEntries[j];
    if (before === undefined && after === undefined) {
      return;
    }
    const order = before === undefined ? 1 : after === undefined ? -1 : compareEntries(before, after);
    if (order <= 0) {
      i++;
    }
    if (order >= 0) {
      j++;
    }
    yield [order <= 0 ? before : undefined, order >= 0 ? after : undefined];
  }
}
