import { lstat, realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { BulkheadError, errnoOf, ioError, isAbsent } from '../base/errors';
import type { ObjectFormat, Oid } from '../core/objectId';
import { isOid } from '../core/objectId';
import { GitError } from '../git/gitError';
import type { GitVersion } from '../git/gitVersion';
import { type EffectiveConfig, lastValue, parseBoolean, readEffectiveConfig } from '../git/repositoryConfig';
import type { Host } from './host';

/** The user's own repository: read-only to us, except for an explicit apply. */
export interface UserRepository {
  /** Real path of the work tree's root. */
  readonly root: string;
  readonly gitDir: string;
  /** Differs from `gitDir` in a linked work tree. */
  readonly commonDir: string;
  readonly format: ObjectFormat;
  readonly shallow: boolean;
  /** The configuration as the user's own git sees it, read once when the repository was opened. */
  readonly config: EffectiveConfig;
}

function refusal(code: string, message: string, path: string): BulkheadError {
  return new BulkheadError('user', code, message, { data: { path } });
}

async function realFolder(folder: string): Promise<string> {
  try {
    const real = await realpath(folder);
    if (!(await lstat(real)).isDirectory()) {
      throw refusal('not-a-folder', `${folder} is not a folder.`, folder);
    }
    return real;
  } catch (error) {
    if (isAbsent(error)) {
      throw refusal('not-a-folder', `There is no folder ${folder}.`, folder);
    }
    throw errnoOf(error) === undefined ? error : ioError('open', folder, error);
  }
}

/**
 * Finds the repository around a folder, with the user's own git and rules.
 * @throws BulkheadError `not-a-repository`, `bare-repository`, `home-refused`, `root-refused`, `unsafe-repository`, `not-a-folder`, `partial-clone`,
 * `repository-too-new`, `work-tree-elsewhere`
 */
export async function openUserRepository(host: Host, folder: string): Promise<UserRepository> {
  const start = await realFolder(folder);
  const facts = await describe(host, start);
  const root = await realpath(facts.root);
  if (root === dirname(root)) {
    throw refusal(
      'root-refused',
      'The root of the file system is not taken as a repository: recording it would mean recording the whole machine.',
      root,
    );
  }
  if (root === (await realpath(homedir()).catch(() => homedir()))) {
    throw refusal(
      'home-refused',
      'Your home folder is not taken as a repository: recording it would mean recording everything that you own.',
      root,
    );
  }
  const config = await readEffectiveConfig(host.git, root);
  refusePartialClone(config, root);
  return {
    root,
    gitDir: await realpath(facts.gitDir),
    commonDir: await realpath(facts.commonDir),
    format: facts.format,
    shallow: facts.shallow,
    config,
  };
}

/** Objects that are missing come from a remote when somebody asks for them; we have no network, and our copies could not be whole. */
function refusePartialClone(config: EffectiveConfig, root: string): void {
  const remotes = [...config.keys()].flatMap((key) => {
    const name = /^remote\.(.+)\.promisor$/s.exec(key)?.[1];
    return name !== undefined && parseBoolean(lastValue(config, key)) === true ? [name] : [];
  });
  const named = lastValue(config, 'extensions.partialclone');
  const remote = named ?? remotes[0];
  if (remote === undefined) {
    return;
  }
  const steps = [
    `git fetch --refetch --no-filter ${remote}`,
    `git config --unset remote.${remote}.promisor`,
    `git config --unset remote.${remote}.partialclonefilter`,
    ...(named === undefined ? [] : ['git config --unset extensions.partialclone']),
  ];
  throw refusal(
    'partial-clone',
    `This repository is a partial clone: it fetches file contents from "${remote}" when they are asked for, and a session could be without them. Nothing was made. To make it whole (git 2.36 or newer): ${steps.join(' && ')}`,
    root,
  );
}

interface Facts {
  readonly root: string;
  readonly gitDir: string;
  readonly commonDir: string;
  readonly format: ObjectFormat;
  readonly shallow: boolean;
}

const FLAGS = [
  '--is-bare-repository',
  '--is-inside-work-tree',
  '--show-object-format',
  '--is-shallow-repository',
  '--is-inside-git-dir',
];
const PATHS = ['--show-toplevel', '--absolute-git-dir', '--git-common-dir'];

async function describe(host: Host, folder: string): Promise<Facts> {
  const asked = { cwd: folder, asUser: true };
  // All in one process: this comes before every command. The last ones fail where there is no work tree.
  const result = await host.git.run(['rev-parse', ...FLAGS, ...PATHS], { ...asked, expect: [0, 128] });
  const description = parseDescription(result.stdout.toString('utf8'));
  if (description === undefined) {
    throw unreadable(folder, result.stderr, host.git.version);
  }
  const { bare, insideWorkTree, insideGitDir, format, shallow, paths } = description;
  if (bare) {
    throw refusal(
      'bare-repository',
      `${folder} is a bare repository: it has no work tree to start sessions from. Open a clone of it.`,
      folder,
    );
  }
  if (insideGitDir) {
    throw refusal('not-a-repository', `${folder} lies inside a .git folder. Open the work tree instead.`, folder);
  }
  if (!insideWorkTree) {
    const elsewhere = await host.git.text(['config', '--get', 'core.worktree'], { ...asked, expect: [0, 1] });
    throw refusal(
      'work-tree-elsewhere',
      `The repository at ${folder} has its work tree elsewhere (core.worktree is ${elsewhere}), so the files here are not its own. Open a folder of that work tree, with a .git of its own that leads to the repository, or unset core.worktree.`,
      folder,
    );
  }
  if (result.code !== 0) {
    throw unreadable(folder, result.stderr, host.git.version);
  }
  const [root = '', gitDir = '', commonDir = ''] =
    paths.length === PATHS.length
      ? paths
      : // A path holds a line feed.
        await Promise.all(PATHS.map((question) => host.git.text(['rev-parse', question], asked)));
  return { root, gitDir, commonDir: resolve(folder, commonDir), format, shallow };
}

interface Description {
  readonly bare: boolean;
  readonly insideWorkTree: boolean;
  readonly insideGitDir: boolean;
  readonly format: ObjectFormat;
  readonly shallow: boolean;
  /** Lines: more than there are paths when one of them holds a line feed, fewer when git gave up before. */
  readonly paths: readonly string[];
}

/** Parses what `rev-parse` answers to `FLAGS` and `PATHS`; undefined when it did not get through the flags. */
export function parseDescription(text: string): Description | undefined {
  const lines = text.split('\n').slice(0, -1);
  const [bare, insideWorkTree, format, shallow, insideGitDir] = lines;
  if (format !== 'sha1' && format !== 'sha256') {
    return undefined;
  }
  if (![bare, insideWorkTree, shallow, insideGitDir].every((flag) => flag === 'true' || flag === 'false')) {
    return undefined;
  }
  return {
    bare: bare === 'true',
    insideWorkTree: insideWorkTree === 'true',
    insideGitDir: insideGitDir === 'true',
    format,
    shallow: shallow === 'true',
    paths: lines.slice(FLAGS.length),
  };
}

/** What git says when it does not open a repository, in words that say what to do. */
export function unreadable(folder: string, stderr: string, version: GitVersion): BulkheadError {
  if (/dubious ownership|unsafe repository/.test(stderr)) {
    // Git's own line quotes the path for a shell.
    const remedy =
      /^[ \t]*(git config --global --add safe\.directory .+)$/m.exec(stderr)?.[1] ??
      `git config --global --add safe.directory '${folder}'`;
    return refusal(
      'unsafe-repository',
      `Git refuses ${folder} because it belongs to another user. Nothing was made. If you trust it: ${remedy}`,
      folder,
    );
  }
  if (/unknown repository extension|Expected git repo version/i.test(stderr)) {
    const found = /extensions? found:\s*(.+)/is.exec(stderr)?.[1]?.trim().replace(/\s+/g, ', ');
    return refusal(
      'repository-too-new',
      `${folder} uses ${found === undefined ? 'a format' : `the extension ${found}`} that git ${version.text} does not know. Nothing was made. Update git, or set bulkhead.git.path to a newer one.`,
      folder,
    );
  }
  if (/not a git repository/i.test(stderr)) {
    return refusal(
      'not-a-repository',
      `${folder} is not inside a git repository. Run \`git init\` there, or open another folder.`,
      folder,
    );
  }
  return new GitError('git-exited', `git cannot read the repository at ${folder}: ${stderr.trim()}`, {
    data: { stderr },
  });
}

/** A host whose git works in this repository although somebody else owns it: the user's own git, which knows what she trusts, did so before. */
export async function trustingHost(
  host: Host,
  repository: Pick<UserRepository, 'root' | 'gitDir' | 'commonDir'>,
): Promise<Host> {
  const folders = [...new Set([repository.root, repository.gitDir, repository.commonDir])];
  const own = process.geteuid?.();
  const owners = await Promise.all(folders.map(ownerOf));
  // Where nobody can tell (Windows), git is told all the same.
  return own === undefined || owners.some((owner) => owner !== undefined && owner !== own)
    ? { ...host, git: host.git.trusting(folders) }
    : host;
}

/** Undefined when it is not there: a submodule that is not checked out. */
async function ownerOf(folder: string): Promise<number | undefined> {
  try {
    return (await lstat(folder)).uid;
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw ioError('look at', folder, error);
  }
}

/**
 * Resolves a branch, tag or commit of the user's repository.
 * @returns null for `HEAD` before the first commit
 * @throws BulkheadError `revision-not-found`, `revision-invalid`
 */
export async function resolveRevision(
  host: Host,
  repository: UserRepository,
  revision: string,
): Promise<{ readonly commit: Oid; readonly tree: Oid } | null> {
  if (revision.startsWith('-') || revision === '' || /[\0-\x1f]/.test(revision)) {
    throw new BulkheadError('user', 'revision-invalid', `"${revision}" is not a name of a branch or commit.`, {
      data: { revision },
    });
  }
  // Unlike `rev-parse --verify` it answers two questions, and like it takes no range. What is missing is told in words.
  const answer = await host.git.run([`--git-dir=${repository.gitDir}`, 'cat-file', '--batch-check=%(objectname)'], {
    cwd: repository.root,
    input: `${revision}^{commit}\n${revision}^{tree}\n`,
    expect: [0, 128],
  });
  const [commit = '', tree = ''] = answer.stdout.toString('utf8').split('\n');
  if (isOid(commit, repository.format) && isOid(tree, repository.format)) {
    return { commit, tree };
  }
  if (revision === 'HEAD') {
    return null;
  }
  throw new BulkheadError(
    'notFound',
    'revision-not-found',
    `There is no branch, tag or commit "${revision}" in this repository.`,
    { data: { revision } },
  );
}
