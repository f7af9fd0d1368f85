import { BulkheadError } from '../base/errors';
import type { Oid } from '../core/objectId';
import { foldedName, parentPath, pathProblem, type RepoPath, uncheckedRepoPath, visiblePath } from '../core/repoPath';
import { kindOfMode, parseTree } from '../core/treeObject';
import type { TreeChange } from '../core/treeDiff';
import type { SnapshotStore } from './snapshotStore';
import type { WorkTree } from './workTree';

/** Longer names are on none of the file systems that people use: bytes on Linux, UTF-16 units on macOS and Windows. */
const LONGEST_NAME = 255;

/**
 * Refuses trees that a work tree cannot hold as they are: names that lead out of it or into `.git`, names that are too long, a
 * path that is file and folder at once, and, on a disk that does not tell capitals apart, two names that are one file there.
 * Asked before anything is written, so that nothing is left half done.
 * @param tree the whole tree that is wanted; null: only the changes are looked at
 * @throws BulkheadError `name-not-allowed` (kind `damaged`), `names-clash` (kind `refused`)
 */
export async function requireWritable(
  store: SnapshotStore,
  workTree: WorkTree,
  tree: Oid | null,
  changes: readonly TreeChange[],
): Promise<void> {
  const written = changes.filter(({ newMode }) => newMode !== null).map(({ path }) => path);
  for (const { path } of changes) {
    const problem = pathProblem(path);
    if (problem !== undefined) {
      throw notAllowed(path, problem);
    }
  }
  const files = new Set<string>();
  for (const path of written) {
    if (path.split('/').some((name) => lengthOf(name) > LONGEST_NAME)) {
      throw notAllowed(
        path,
        `a part of it is longer than ${String(LONGEST_NAME)} ${isLinux() ? 'bytes' : 'characters'}`,
      );
    }
    if (files.has(path)) {
      throw notAllowed(path, 'it is there twice');
    }
    files.add(path);
  }
  const folders = new Set<string>();
  for (const path of written) {
    for (let folder = parentPath(path); folder !== '' && !folders.has(folder); folder = parentPath(folder)) {
      folders.add(folder);
      if (files.has(folder)) {
        throw notAllowed(path, `${visiblePath(folder)} is a file and a folder at once`);
      }
    }
  }
  if (workTree.ignoresCase() ?? store.rules.ignoreCase) {
    const clash = clashAmong(written) ?? (tree === null ? undefined : await clashInTree(store, tree, written));
    if (clash !== undefined) {
      const [a, b] = clash.map((path) => visiblePath(path));
      throw new BulkheadError(
        'refused',
        'names-clash',
        `${a ?? ''} and ${b ?? ''} are one file here, because this disk does not tell them apart. Nothing was written.`,
        { data: { paths: [a, b] } },
      );
    }
  }
}

function notAllowed(path: RepoPath, problem: string): BulkheadError {
  return new BulkheadError(
    'damaged',
    'name-not-allowed',
    `The snapshot holds the name ${visiblePath(path)}, which is not written into a work tree: ${problem}. Nothing was written.`,
    { data: { path: visiblePath(path) } },
  );
}

function isLinux(): boolean {
  return process.platform === 'linux';
}

function lengthOf(name: string): number {
  return isLinux() ? name.length : Buffer.from(name, 'latin1').toString('utf8').length;
}

function foldersOf(path: RepoPath): RepoPath[] {
  const parts = path.split('/');
  return parts.slice(1).map((_, index) => uncheckedRepoPath(parts.slice(0, index + 1).join('/')));
}

type Clash = readonly [RepoPath, RepoPath];

function clashAmong(paths: readonly RepoPath[]): Clash | undefined {
  const seen = new Map<string, RepoPath>();
  for (const path of paths) {
    for (const part of [...foldersOf(path), path]) {
      const folded = foldedName(part);
      const before = seen.get(folded);
      if (before !== undefined && before !== part) {
        return [before, part];
      }
      seen.set(folded, part);
    }
  }
  return undefined;
}

/** A path that is written may clash with one that is there already. */
async function clashInTree(store: SnapshotStore, tree: Oid, paths: readonly RepoPath[]): Promise<Clash | undefined> {
  const folders = new Map<Oid, { readonly byFold: Map<string, string[]>; readonly below: Map<string, Oid> }>();
  const look = async (
    oid: Oid,
  ): Promise<{ readonly byFold: Map<string, string[]>; readonly below: Map<string, Oid> }> => {
    const known = folders.get(oid);
    if (known !== undefined) {
      return known;
    }
    const byFold = new Map<string, string[]>();
    const below = new Map<string, Oid>();
    for (const entry of parseTree(await store.tree(oid), store.format)) {
      const folded = foldedName(entry.name);
      byFold.set(folded, [...(byFold.get(folded) ?? []), entry.name]);
      if (kindOfMode(entry.mode) === 'folder') {
        below.set(entry.name, entry.oid);
      }
    }
    folders.set(oid, { byFold, below });
    return { byFold, below };
  };
  for (const path of paths) {
    let oid: Oid | undefined = tree;
    let prefix = '';
    for (const name of path.split('/')) {
      if (oid === undefined) {
        break;
      }
      const { byFold, below }: Awaited<ReturnType<typeof look>> = await look(oid);
      const other = byFold.get(foldedName(name))?.find((candidate) => candidate !== name);
      if (other !== undefined) {
        return [uncheckedRepoPath(prefix + other), uncheckedRepoPath(prefix + name)];
      }
      prefix = `${prefix}${name}/`;
      oid = below.get(name);
    }
  }
  return undefined;
}
