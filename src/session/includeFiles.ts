import { constants } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { chmod, copyFile, lstat, mkdir, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { mapLimited } from '../base/async';
import { messageOf } from '../base/errors';
import { displayPath, isUtf8Path, pathBytes, type RepoPath } from '../core/repoPath';
import { parsePathList } from '../git/workTreeQueries';
import { exists, readTextIfThere } from './files';
import type { Host } from './host';
import type { UserRepository } from './userRepository';

/** How many files are copied at once (VS Code's number for its own work trees). */
const AT_ONCE = 15;

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
  const copied = await mapLimited(paths, AT_ONCE, async (path) => {
    try {
      await copyOne(repository.root, target, path);
      return 1;
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

async function copyOne(from: string, to: string, path: RepoPath): Promise<void> {
  const name = displayPath(path);
  const source = join(from, name);
  const target = join(to, name);
  const stats = await lstat(source);
  await mkdir(dirname(target), { recursive: true });
  if (await exists(target)) {
    return;
  }
  if (stats.isSymbolicLink()) {
    await symlink(await readlink(source), target);
  } else if (stats.isFile()) {
    // A copy that shares its blocks until one side writes, where the file system can; never a hard link, which carries writes.
    await copyFile(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    await chmod(target, stats.mode & 0o777);
  }
}
