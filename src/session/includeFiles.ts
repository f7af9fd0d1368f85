import { lstatSync, readlinkSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BulkheadError, messageOf } from '../base/errors';
import { displayPath, isUtf8Path, pathBytes, type RepoPath } from '../core/repoPath';
import { parsePathList } from '../git/workTreeQueries';
import { readTextIfThere } from './files';
import type { Host } from './host';
import type { UserRepository } from './userRepository';
import { WorkTree } from './workTree';

/**
 * Copies ignored files that the user listed (`.worktreeinclude` in gitignore syntax, or the setting) into a new clone:
 * `.env` and its like. Only files that are ignored: tracked ones come with the commit.
 * @returns how many were copied
 */
export async function copyIncludedFiles(host: Host, repository: UserRepository, target: string): Promise<number> {
  const listed = (await readTextIfThere(join(repository.root, '.worktreeinclude'))) ?? '';
  const patterns = [listed, ...host.settings.includeFiles].join('\n');
  if (patterns.trim() === '') {
    return 0;
  }
  const paths = await ignoredPathsThatMatch(host, repository, patterns);
  const workTree = new WorkTree(target);
  const copied = paths.map((path) => {
    try {
      return copyOne(repository.root, workTree, path) ? 1 : 0;
    } catch (error) {
      host.log.warn(`${displayPath(path)} was not copied into the new session: ${messageOf(error)}`);
      return 0;
    }
  });
  return copied.reduce<number>((sum, count) => sum + count, 0);
}

async function ignoredPathsThatMatch(host: Host, repository: UserRepository, patterns: string): Promise<RepoPath[]> {
  const site = [`--git-dir=${repository.gitDir}`, `--work-tree=${repository.root}`];
  // Patterns reach git through a file only; it lies outside the repository.
  const patternFile = join(tmpdir(), `bulkhead-include-${randomBytes(8).toString('hex')}`);
  await writeFile(patternFile, patterns, { flag: 'wx', mode: 0o600 });
  try {
    const matching = await host.git.run(
      [...site, 'ls-files', '-z', '--others', '--ignored', `--exclude-from=${patternFile}`],
      { cwd: repository.root, asUser: true },
    );
    const candidates = parsePathList(matching.stdout).filter((path) => isUtf8Path(path));
    if (candidates.length === 0) {
      return [];
    }
    const input = Buffer.concat(candidates.flatMap((path) => [pathBytes(path), Buffer.of(0)]));
    const ignored = await host.git.run([...site, 'check-ignore', '-z', '--stdin'], {
      cwd: repository.root,
      asUser: true,
      input,
      expect: [0, 1],
    });
    return parsePathList(ignored.stdout);
  } finally {
    await rm(patternFile, { force: true });
  }
}

/** A start that an agent made may hold a link where the user's folder is: nothing is written behind it. */
function copyOne(from: string, to: WorkTree, path: RepoPath): boolean {
  const source = join(from, displayPath(path));
  const stats = lstatSync(source);
  const { kind } = to.look(path);
  if (kind === 'beyond-link') {
    throw new BulkheadError('user', 'beyond-link', 'a link or a file stands where one of its folders should be');
  }
  if (kind !== 'absent') {
    return false;
  }
  if (stats.isSymbolicLink()) {
    to.writeLink(path, readlinkSync(source, 'buffer'));
  } else if (stats.isFile()) {
    to.copyFile(path, source, stats.mode & 0o777);
  }
  return true;
}
