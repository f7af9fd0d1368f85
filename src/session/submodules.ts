import { appendFile, mkdir, realpath } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { BulkheadError, messageOf } from '../base/errors';
import { isOid, type Oid } from '../core/objectId';
import { pathProblem, repoPathFromText } from '../core/repoPath';
import { formatConfig } from '../git/configFile';
import { CancelledError } from '../git/gitError';
import { lastValue, parseConfigList, readEffectiveConfig } from '../git/repositoryConfig';
import { type ConfigSource, namesRepository } from './cloneConfig';
import { checkOut, cloneFromDonor } from './cloneMaker';
import { type Donor, donorOfSubmodule, prepareDonor, refreshDonor } from './donor';
import { exists, isRealFolder, makeFolder, writeFileAtomic } from './files';
import type { Host } from './host';
import { openUserRepository, trustingHost } from './userRepository';
import { WorkTree } from './workTree';

/** One repository of the clone with the user's repository that it stands for: the clone itself, or a submodule in it. */
export interface SubmoduleParent {
  readonly source: ConfigSource;
  readonly donor: Donor;
  readonly gitDir: string;
  readonly workTree: string;
  /** A git folder that has `tree`, which names the submodules and their commits. */
  readonly objects: string;
  readonly tree: Oid;
  /** Path from the clone's root, with a slash at its end; for people. */
  readonly prefix: string;
}

interface Submodule {
  readonly name: string;
  readonly path: string;
  readonly commit: Oid;
}

/**
 * Fills the submodules of a fresh clone from those that the user has on her disk, nested ones too: offline, through copies of
 * their own, and with her remotes' addresses. One that she has not checked out stays empty, as in her own checkout.
 * @returns what people are told of each that could not be filled
 */
export async function fillSubmodules(
  host: Host,
  parent: SubmoduleParent,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const notices: string[] = [];
  for (const submodule of await listSubmodules(host, parent)) {
    const shown = parent.prefix + submodule.path;
    try {
      const filled = await fillOne(host, parent, submodule, signal);
      if (filled !== undefined) {
        notices.push(...(await fillSubmodules(filled.host, filled.parent, signal)));
      }
    } catch (error) {
      if (error instanceof CancelledError) {
        throw error;
      }
      host.log.warn(`submodule ${shown}: ${messageOf(error)}`);
      notices.push(
        `The submodule ${shown} is empty in the session: ${messageOf(error).replace(/\.$/, '')}. To fetch it there: git submodule update --init ${shown}`,
      );
    }
  }
  return notices;
}

async function listSubmodules(host: Host, { objects, tree }: SubmoduleParent): Promise<Submodule[]> {
  const blob = `${tree}:.gitmodules`;
  const there = await host.git.run([`--git-dir=${objects}`, 'cat-file', '-e', blob], { expect: [0, 1, 128] });
  if (there.code !== 0) {
    return [];
  }
  const listed = await host.git.run([`--git-dir=${objects}`, 'config', '--list', '-z', `--blob=${blob}`], {
    expect: [0, 1, 128],
  });
  if (listed.code !== 0) {
    throw new BulkheadError('git', 'gitmodules-unreadable', `.gitmodules cannot be read: ${listed.stderr.trim()}.`);
  }
  const found: Submodule[] = [];
  for (const { name, path } of parseSubmodules(listed.stdout)) {
    const entry = await host.git.text([
      `--git-dir=${objects}`,
      '--literal-pathspecs',
      'ls-tree',
      '-z',
      tree,
      '--',
      path,
    ]);
    const commit = parseGitlink(entry);
    if (commit !== undefined) {
      found.push({ name, path, commit });
    }
  }
  return found;
}

/** Parses `.gitmodules` as `config --list -z` prints it. It is a file of the clone: names and paths that lead elsewhere are left out. */
export function parseSubmodules(bytes: Buffer): Omit<Submodule, 'commit'>[] {
  const config = parseConfigList(bytes);
  return [...config.keys()].flatMap((key) => {
    const name = /^submodule\.(.+)\.path$/s.exec(key)?.[1];
    const path = lastValue(config, key);
    return name !== undefined && path !== undefined && isSafeName(name) && repoPathFromText(path) !== undefined
      ? [{ name, path }]
      : [];
  });
}

/** The commit that `ls-tree -z` names for one path; undefined when there is none, or something else. */
export function parseGitlink(text: string): Oid | undefined {
  const commit = /^160000 commit ([0-9a-f]+)\t/.exec(text)?.[1];
  return commit !== undefined && isOid(commit) ? commit : undefined;
}

/** The name becomes a path below `.git/modules`. */
function isSafeName(name: string): boolean {
  return pathProblem(Buffer.from(name)) === undefined && !name.startsWith('-') && !name.includes('\\');
}

/** @returns undefined when there is nothing to fill: she does not have it, or its folder is left out by a sparse pattern */
async function fillOne(
  host: Host,
  parent: SubmoduleParent,
  { name, path, commit }: Submodule,
  signal: AbortSignal | undefined,
): Promise<{ readonly host: Host; readonly parent: SubmoduleParent } | undefined> {
  const repoPath = repoPathFromText(path);
  const kind = repoPath === undefined ? 'special' : new WorkTree(parent.workTree).kind(repoPath);
  const isSparse = await exists(join(parent.gitDir, 'info', 'sparse-checkout'));
  if (kind === 'absent' && isSparse) {
    return undefined;
  }
  const source = await findSource(host, parent.source, { name, path });
  if (source === undefined) {
    return undefined;
  }
  if (kind !== 'folder' && kind !== 'absent') {
    throw new BulkheadError('refused', 'submodule-in-the-way', 'something else stands in its place.');
  }
  const trusted = await trustingHost(host, source);
  const donor = donorOfSubmodule(parent.donor, name, source.commonDir, source.format);
  await refreshDonor(trusted, donor, { signal });
  await prepareDonor(trusted, donor, { commit, sources: [source.commonDir, source.gitDir] }, signal);
  const gitDir = join(parent.gitDir, 'modules', name);
  const workTree = join(parent.workTree, path);
  if (await exists(gitDir)) {
    throw new BulkheadError('refused', 'submodule-in-the-way', 'another submodule has a name like its own.');
  }
  await makeFolder(dirname(gitDir));
  await cloneFromDonor(trusted, source, {
    donor: donor.gitDir,
    target: `${gitDir}.new`,
    separate: { gitDir, workTree: relative(gitDir, workTree) },
    signal,
  });
  await mkdir(workTree, { recursive: true });
  await checkOut(host, source.config, { gitDir, workTree, args: ['--detach', commit], signal });
  // Last: a folder with a half-made repository would be taken for a whole one.
  await writeFileAtomic(join(workTree, '.git'), `gitdir: ${relative(workTree, gitDir)}\n`, 0o644);
  await appendFile(join(parent.gitDir, 'config'), activation(parent.source, name));
  return {
    host: trusted,
    parent: {
      source,
      donor,
      gitDir,
      workTree,
      objects: donor.gitDir,
      tree: commit,
      prefix: `${parent.prefix}${path}/`,
    },
  };
}

/** What `git submodule init` writes: the address that the user's own git fetches it from. */
function activation(source: ConfigSource, name: string): string {
  const url = lastValue(source.config, `submodule.${name}.url`);
  return formatConfig([
    {
      section: 'submodule',
      subsection: name,
      entries: [
        ['active', 'true'],
        ...(url === undefined || namesRepository(source, url) ? [] : [['url', url] as const]),
      ],
    },
  ]);
}

/** The submodule as she has it: its checkout, else the git folder that is kept for it. */
async function findSource(
  host: Host,
  parent: ConfigSource,
  { name, path }: { readonly name: string; readonly path: string },
): Promise<ConfigSource | undefined> {
  const folder = join(parent.root, path);
  if (await exists(join(folder, '.git'))) {
    const found = await openUserRepository(host, folder);
    if (found.root === (await realpath(folder))) {
      return found;
    }
  }
  for (const gitDir of new Set([join(parent.gitDir, 'modules', name), join(parent.commonDir, 'modules', name)])) {
    if ((await isRealFolder(gitDir)) && (await exists(join(gitDir, 'HEAD')))) {
      const format = await host.git.text([`--git-dir=${gitDir}`, 'rev-parse', '--show-object-format'], {
        asUser: true,
      });
      return {
        root: folder,
        gitDir,
        commonDir: gitDir,
        format: format === 'sha256' ? 'sha256' : 'sha1',
        config: await readEffectiveConfig(host.git, gitDir),
      };
    }
  }
  return undefined;
}
