import { copyFile, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAbsent, ioError } from '../base/errors';
import type { Oid } from '../core/objectId';
import { hasReftable, readBranches } from '../git/headFile';
import { cloneRepository, fetchInto } from '../git/porcelain';
import {
  defaultConfigFile,
  type EffectiveConfig,
  expandPath,
  lastValue,
  parseBoolean,
  scopeOf,
} from '../git/repositoryConfig';
import { cloneConfig, type ConfigSource, LOCAL_REMOTE } from './cloneConfig';
import { donorOf, prepareDonor } from './donor';
import { makeFolder, readTextIfThere, writeFileAtomic } from './files';
import { allowedFilters, deniedFilters } from './filters';
import type { Host } from './host';
import type { Storage } from './storage';
import type { UserRepository } from './userRepository';

const REMOTE_BRANCHES = '+refs/remotes/*:refs/remotes/*';

export interface CloneRequest {
  /** Where the clone is made; its parent exists. */
  readonly target: string;
  /** Null before the first commit. */
  readonly commit: Oid | null;
  readonly branch: string;
  readonly onProgress?: ((step: string, share: number | null) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Makes a clone and checks the commit out on a new branch. Runs before an agent had the folder, so git may use the clone's own git directory. */
export async function makeClone(
  host: Host,
  storage: Storage,
  repository: UserRepository,
  request: CloneRequest,
): Promise<void> {
  const { target, commit, signal } = request;
  const gitDir = join(target, '.git');
  const donor = donorOf(storage, repository);
  await prepareDonor(host, donor, { commit, sources: [repository.commonDir, storage.store] }, signal);
  await cloneFromDonor(host, repository, { donor: donor.gitDir, target, signal });
  if (commit === null) {
    await host.git.run([`--git-dir=${gitDir}`, 'symbolic-ref', 'HEAD', `refs/heads/${request.branch}`]);
  } else {
    request.onProgress?.('Checking out files', null);
    await checkOut(host, repository.config, {
      gitDir,
      workTree: target,
      args: ['--no-track', '-B', request.branch, commit],
      signal,
    });
  }
}

/**
 * Clones from a donor without a checkout, with a configuration of our own. HEAD names no commit yet.
 * @param place.gitDir where the git folder goes instead of `.git` in `target`: a submodule's
 */
export async function cloneFromDonor(
  host: Host,
  source: ConfigSource,
  place: {
    readonly donor: string;
    readonly target: string;
    readonly separate?: { readonly gitDir: string; readonly workTree: string };
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { donor, target, separate, signal } = place;
  // A remote of hers that is called like ours has its branches where hers go: then they come later, and count.
  const isClash = [...source.config.keys()].some((key) => key.startsWith(`remote.${LOCAL_REMOTE}.`));
  await cloneRepository(
    host.git,
    {
      source: donor,
      target,
      bare: false,
      copyObjects: host.settings.cloneObjects === 'copy',
      origin: LOCAL_REMOTE,
      refspecs: isClash ? [] : [REMOTE_BRANCHES],
    },
    { cwd: donor, signal },
  );
  const gitDir = separate?.gitDir ?? join(target, '.git');
  if (separate !== undefined) {
    await rename(join(target, '.git'), gitDir);
    await rm(target, { recursive: true });
  }
  if (isClash) {
    await fetchInto(host.git, { gitDir, source: donor, refspecs: [REMOTE_BRANCHES] }, { signal });
  }
  const fresh = await readFile(join(gitDir, 'config'), 'utf8');
  await makeFolder(join(gitDir, 'info'));
  const config = cloneConfig(source, {
    fresh,
    isSparse: await carrySparsePatterns(source, gitDir),
    ...(separate === undefined ? {} : { workTree: separate.workTree }),
  });
  await writeFileAtomic(join(gitDir, 'config'), config, 0o644);
  await carryInfo(host, source, gitDir);
  // The branch that a plain clone starts on is the user's; hers stand under refs/remotes/local.
  await dropLocalBranches(host, gitDir);
  // They say where the clone came from, which is nobody's business inside it.
  await rm(join(gitDir, 'logs'), { recursive: true, force: true });
}

/** Fills a fresh work tree as the user's own git would, sparse patterns and allowed filters included. */
export async function checkOut(
  host: Host,
  config: EffectiveConfig,
  place: {
    readonly gitDir: string;
    readonly workTree: string;
    readonly args: readonly string[];
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  await host.git.run(
    [
      ...filterArguments(config, host.settings.allowedFilters),
      '-c',
      'checkout.workers=0',
      'checkout',
      '--quiet',
      '--force',
      ...place.args,
    ],
    {
      cwd: place.workTree,
      env: { GIT_DIR: place.gitDir, GIT_WORK_TREE: place.workTree },
      signal: place.signal,
    },
  );
}

async function dropLocalBranches(host: Host, gitDir: string): Promise<void> {
  if (!hasReftable(gitDir) && readBranches(gitDir).size === 0) {
    return;
  }
  const branches = await host.git.text([
    `--git-dir=${gitDir}`,
    'for-each-ref',
    '--format=delete %(refname)',
    'refs/heads',
  ]);
  if (branches !== '') {
    await host.git.run([`--git-dir=${gitDir}`, 'update-ref', '--no-deref', '--stdin'], { input: `${branches}\n` });
  }
}

/** Checked-out content passes through the filters that the user allowed, as in her own checkout. */
function filterArguments(config: EffectiveConfig, allowed: readonly string[]): string[] {
  return allowedFilters(config, allowed).flatMap(({ name, entries }) =>
    entries.flatMap(([key, value]) => ['-c', `filter.${name}.${key}=${value}`]),
  );
}

/** Says which filters the user's own git runs here and we do not, and which files that concerns. */
export async function filterNotices(host: Host, repository: UserRepository, clone: string): Promise<string[]> {
  const { config } = repository;
  const attributesFile = expandPath(
    lastValue(config, 'core.attributesfile') ?? defaultConfigFile(host.environment, 'attributes'),
  );
  const notices: string[] = [];
  for (const name of deniedFilters(config, host.settings.allowedFilters)) {
    const listed = await host.git.run(
      ['-c', `core.attributesFile=${attributesFile}`, 'ls-files', '-z', '--', `:(attr:filter=${name})`],
      { cwd: clone, env: { GIT_DIR: join(clone, '.git'), GIT_WORK_TREE: clone } },
    );
    const paths = listed.stdout
      .toString('utf8')
      .split('\0')
      .filter((path) => path !== '');
    if (paths.length > 0) {
      const advice = host.settings.allowedFilters.includes(name)
        ? `"${name}" is in bulkhead.filters.allowed, but it starts a file of the work tree, which an agent can change: give the full path of one outside of it, and start a new session.`
        : `To have the filter run, add "${name}" to bulkhead.filters.allowed and start a new session.`;
      notices.push(
        `The filter "${name}" of your configuration is not allowed to run, so ${namedFiles(paths)} ${paths.length === 1 ? 'is' : 'are'} in the session as the repository stores ${paths.length === 1 ? 'it' : 'them'}, and will be recorded byte for byte. ${advice}`,
      );
    }
  }
  return notices;
}

/** "3 files (a, b, …)" */
export function namedFiles(paths: readonly string[]): string {
  const named = paths.slice(0, 5).join(', ');
  return `${paths.length === 1 ? '1 file' : `${String(paths.length)} files`} (${named}${paths.length > 5 ? ', …' : ''})`;
}

/** Excludes and attributes of the user's repository are no part of its commits and would be missing. */
async function carryInfo(host: Host, source: ConfigSource, gitDir: string): Promise<void> {
  const exclude = [
    await ownExcludes(host, source),
    await readTextIfThere(join(source.commonDir, 'info', 'exclude')),
  ].filter((text) => text !== undefined);
  if (exclude.length > 0) {
    await writeFileAtomic(join(gitDir, 'info', 'exclude'), exclude.join('\n'), 0o644);
  }
  const attributes = await readTextIfThere(join(source.commonDir, 'info', 'attributes'));
  if (attributes !== undefined) {
    await writeFileAtomic(join(gitDir, 'info', 'attributes'), attributes, 0o644);
  }
}

/** An excludes file that only this repository names is not found by an agent's git; its text is, and the path stays at home. */
async function ownExcludes(host: Host, source: ConfigSource): Promise<string | undefined> {
  const file = lastValue(source.config, 'core.excludesfile');
  if (file === undefined || !(await scopeOf(host.git, source.gitDir, 'core.excludesFile')).isOwn) {
    return undefined;
  }
  return readTextIfThere(expandPath(file));
}

/** @returns whether the user's checkout is a sparse one */
async function carrySparsePatterns(source: ConfigSource, gitDir: string): Promise<boolean> {
  if (parseBoolean(lastValue(source.config, 'core.sparsecheckout')) !== true) {
    return false;
  }
  const patterns = join(source.gitDir, 'info', 'sparse-checkout');
  try {
    // Bytes: a pattern need not be UTF-8.
    await copyFile(patterns, join(gitDir, 'info', 'sparse-checkout'));
    return true;
  } catch (error) {
    if (isAbsent(error)) {
      // Git then takes the checkout for a full one.
      return false;
    }
    throw ioError('copy', patterns, error);
  }
}
