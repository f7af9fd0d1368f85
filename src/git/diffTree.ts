import { splitNul } from '../base/bytes';
import type { Oid } from '../core/objectId';
import { type RepoPath, pathBytes, repoPathFromBytes } from '../core/repoPath';
import type { Git } from './git';
import { GitError } from './gitError';

export interface DiffRecord {
  readonly path: RepoPath;
  readonly oldPath: RepoPath | null;
  /** Git's letter: A, D, M, T, R. */
  readonly letter: string;
  readonly oldMode: string;
  readonly newMode: string;
  readonly oldOid: Oid;
  readonly newOid: Oid;
  /** Lines; null for binary files. */
  readonly added: number | null;
  readonly deleted: number | null;
}

function malformed(what: string): GitError {
  return new GitError('git-output-invalid', `git diff-tree gave an unexpected answer: ${what}`);
}

/** Parses `diff-tree -r -z --raw --numstat`: all raw records first, then the counts of the same files in the same order. */
export function parseDiffTree(bytes: Buffer): DiffRecord[] {
  const fields = splitNul(bytes);
  const raw: Omit<DiffRecord, 'added' | 'deleted'>[] = [];
  let at = 0;
  const take = (): Buffer => {
    const field = fields[at++];
    if (field === undefined) {
      throw malformed('it ends early');
    }
    return field;
  };
  const takePath = (): RepoPath => {
    const field = take();
    const path = repoPathFromBytes(field);
    if (path === undefined) {
      throw malformed(`a name that is not allowed: ${field.toString('utf8').slice(0, 200)}`);
    }
    return path;
  };
  while (fields[at]?.[0] === 0x3a) {
    const header = take().toString('latin1');
    const [, oldMode, newMode, oldOid, newOid, letter] =
      /^:(\d{6}) (\d{6}) ([0-9a-f]+) ([0-9a-f]+) ([A-Z])\d*$/.exec(header) ?? [];
    if (
      oldMode === undefined ||
      newMode === undefined ||
      oldOid === undefined ||
      newOid === undefined ||
      letter === undefined
    ) {
      throw malformed(header.slice(0, 200));
    }
    const first = takePath();
    const second = letter === 'R' || letter === 'C' ? takePath() : undefined;
    raw.push({
      letter,
      oldMode,
      newMode,
      oldOid,
      newOid,
      path: second ?? first,
      oldPath: second === undefined ? null : first,
    });
  }
  return raw.map((record) => {
    const count = take().toString('latin1');
    const [, added, deleted] = /^(\d+|-)\t(\d+|-)\t/.exec(count) ?? [];
    if (added === undefined || deleted === undefined) {
      throw malformed(count.slice(0, 200));
    }
    if (record.oldPath !== null) {
      // With a rename the two names follow as fields of their own.
      at += 2;
    }
    return {
      ...record,
      added: added === '-' ? null : Number(added),
      deleted: deleted === '-' ? null : Number(deleted),
    };
  });
}

/** Compares two trees of the repository at `gitDir`, with renames and line counts. Paths are literal; a folder means all below. */
export async function diffTrees(
  git: Git,
  gitDir: string,
  from: Oid,
  to: Oid,
  options: { readonly paths?: readonly RepoPath[]; readonly signal?: AbortSignal | undefined } = {},
): Promise<DiffRecord[]> {
  if (from === to) {
    return [];
  }
  // Names that are not UTF-8 cannot be arguments of a process in Node, and many paths would not fit: filter here then.
  const asArguments =
    options.paths !== undefined && options.paths.length <= 100 && options.paths.every((path) => isPlain(path));
  const args = [
    `--git-dir=${gitDir}`,
    '--literal-pathspecs',
    'diff-tree',
    '-r',
    '-z',
    '--raw',
    '--numstat',
    '--no-abbrev',
    '--find-renames',
    '-l1000',
    '--no-ext-diff',
    '--no-textconv',
    from,
    to,
    ...(asArguments ? ['--', ...(options.paths ?? []).map((path) => pathBytes(path).toString('utf8'))] : []),
  ];
  const records = parseDiffTree((await git.run(args, { signal: options.signal })).stdout);
  const { paths } = options;
  if (asArguments || paths === undefined) {
    return records;
  }
  return records.filter((record) => paths.some((path) => record.path === path || record.path.startsWith(`${path}/`)));
}

function isPlain(path: RepoPath): boolean {
  return Buffer.from(pathBytes(path).toString('utf8'), 'utf8').equals(pathBytes(path));
}
