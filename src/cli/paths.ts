import { lstat, realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { BulkheadError, errnoOf, isAbsent } from '../base/errors';
import type { Oid } from '../core/objectId';
import { displayPath, pathBytes, type RepoPath, repoPathFromText, visiblePath } from '../core/repoPath';
import { showUnseen } from '../core/visibleText';
import type { Session } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import { usageError } from './failure';

/**
 * Paths of the command line as paths of a work tree: literal, relative to the current folder when that is inside the work
 * tree, else to its root. The root itself stands for everything and gives undefined, as does an empty list.
 */
export async function pathsOf(options: {
  readonly given: readonly string[];
  readonly workTree: string | null;
  readonly cwd: string;
}): Promise<readonly RepoPath[] | undefined> {
  const { given, workTree, cwd } = options;
  if (given.length === 0) {
    return undefined;
  }
  const root = workTree === null ? undefined : await realpathOrSelf(workTree);
  const paths = given.map((text) => {
    const path = pathIn(root, cwd, text);
    return path === '' ? '' : checked(path, text);
  });
  return paths.includes('') ? undefined : (paths as RepoPath[]);
}

function pathIn(root: string | undefined, cwd: string, text: string): string {
  if (text === '') {
    throw usageError('path-invalid', 'An empty path names no file.', { path: text });
  }
  // Without a work tree on disk only its paths can be named; any absolute folder will do as the root.
  const top = root ?? sep;
  const from = root !== undefined && isInside(cwd, root) ? cwd : top;
  const path = resolve(from, text);
  const escapes = root === undefined && (isAbsolute(text) || relative('x', join('x', text)).startsWith('..'));
  if (escapes || !isInside(path, top)) {
    throw usageError(
      'path-outside',
      `${showUnseen(text)} is outside of the work tree${root === undefined ? '' : ` ${root}`}.`,
      {
        path: text,
      },
    );
  }
  return relative(top, path).split(sep).join('/');
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function checked(path: string, text: string): RepoPath {
  const checkedPath = repoPathFromText(path);
  if (checkedPath === undefined) {
    throw usageError('path-invalid', `${showUnseen(text)} cannot be a path of a work tree.`, { path: text });
  }
  return checkedPath;
}

/** Throws `path-not-found` for the first path that neither the disk nor one of the trees knows. */
export async function checkKnown(
  bulkhead: Bulkhead,
  options: {
    readonly session: Session | undefined;
    readonly trees: readonly Oid[];
    readonly paths: readonly RepoPath[] | undefined;
  },
): Promise<void> {
  for (const path of options.paths ?? []) {
    if (!(await isKnown(bulkhead, path, options))) {
      throw pathNotFound(path);
    }
  }
}

export async function isKnown(
  bulkhead: Bulkhead,
  path: RepoPath,
  options: { readonly session: Session | undefined; readonly trees: readonly Oid[] },
): Promise<boolean> {
  const workTree = options.session?.path ?? null;
  if (workTree !== null && (await isOnDisk(workTree, path))) {
    return true;
  }
  const newest = options.session?.newestTree ?? null;
  for (const tree of newest === null ? options.trees : [newest, ...options.trees]) {
    if ((await bulkhead.entry(tree, path)) !== undefined) {
      return true;
    }
  }
  return false;
}

export function pathNotFound(path: RepoPath): BulkheadError {
  return new BulkheadError('notFound', 'path-not-found', `${visiblePath(path)} is neither on disk nor in a snapshot.`, {
    data: { path: displayPath(path) },
  });
}

async function isOnDisk(workTree: string, path: RepoPath): Promise<boolean> {
  try {
    await lstat(Buffer.concat([Buffer.from(workTree + sep), pathBytes(path)]));
    return true;
  } catch (error) {
    // A circle of links above it (ELOOP) leads to no file either.
    if (isAbsent(error) || errnoOf(error) === 'ELOOP') {
      return false;
    }
    throw error;
  }
}

async function realpathOrSelf(folder: string): Promise<string> {
  try {
    return await realpath(folder);
  } catch {
    // The folder of a session may be gone; its snapshots still have paths.
    return folder;
  }
}
