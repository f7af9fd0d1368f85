import { lstat, realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { BulkheadError, errnoOf, ioError, isAbsent } from '../base/errors';
import type { ObjectFormat, Oid } from '../core/objectId';
import { isOid } from '../core/objectId';
import { GitError } from '../git/gitError';
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
 * @throws BulkheadError `not-a-repository`, `bare-repository`, `home-refused`, `root-refused`, `unsafe-repository`, `not-a-folder`, `partial-clone`
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
  if (
    lastValue(config, 'extensions.partialclone') !== undefined ||
    [...config.keys()].some(
      (key) => /^remote\..*\.promisor$/.test(key) && parseBoolean(lastValue(config, key)) === true,
    )
  ) {
    throw refusal(
      'partial-clone',
      'This repository is a partial clone: objects are missing that its copies could not fetch. Run `git fetch --unshallow --refetch` without a filter, or use a full clone.',
      root,
    );
  }
  return {
    root,
    gitDir: await realpath(facts.gitDir),
    commonDir: await realpath(facts.commonDir),
    format: facts.format,
    shallow: facts.shallow,
    config,
  };
}

interface Facts {
  readonly root: string;
  readonly gitDir: string;
  readonly commonDir: string;
  readonly format: ObjectFormat;
  readonly shallow: boolean;
}

async function describe(host: Host, folder: string): Promise<Facts> {
  const options = { cwd: folder, asUser: true, expect: [0, 128] };
  const questions = [
    '--is-bare-repository',
    '--is-inside-work-tree',
    '--absolute-git-dir',
    '--git-common-dir',
    '--show-object-format',
    '--is-shallow-repository',
  ];
  const result = await host.git.run(['rev-parse', ...questions], options);
  const lines = result.stdout.toString('utf8').split('\n');
  if (result.code !== 0) {
    if (/dubious ownership|unsafe repository/.test(result.stderr)) {
      throw refusal(
        'unsafe-repository',
        `Git refuses ${folder} because it belongs to another user. If you trust it: git config --global --add safe.directory ${folder}`,
        folder,
      );
    }
    if (/not a git repository/i.test(result.stderr)) {
      throw refusal(
        'not-a-repository',
        `${folder} is not inside a git repository. Run \`git init\` there, or open another folder.`,
        folder,
      );
    }
    throw new GitError('git-exited', `git cannot read the repository at ${folder}: ${result.stderr.trim()}`, {
      data: { stderr: result.stderr },
    });
  }
  const [bare, inside, gitDir = '', commonDir = '', format, shallow] = lines;
  if (bare === 'true') {
    throw refusal(
      'bare-repository',
      `${folder} is a bare repository: it has no work tree to start sessions from. Open a clone of it.`,
      folder,
    );
  }
  if (inside !== 'true') {
    throw refusal('not-a-repository', `${folder} lies inside a .git folder. Open the work tree instead.`, folder);
  }
  const root = await host.git.text(['rev-parse', '--show-toplevel'], { cwd: folder, asUser: true });
  return {
    root,
    gitDir,
    commonDir: resolve(folder, commonDir),
    format: format === 'sha256' ? 'sha256' : 'sha1',
    shallow: shallow === 'true',
  };
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
  const single = async (suffix: string): Promise<string> => {
    const answer = await host.git.run(
      [`--git-dir=${repository.gitDir}`, 'rev-parse', '--verify', '--quiet', `${revision}${suffix}`],
      {
        cwd: repository.root,
        expect: [0, 1, 128],
      },
    );
    return answer.code === 0 ? answer.stdout.toString('utf8').trim() : '';
  };
  const commitOid = await single('^{commit}');
  const treeOid = await single('^{tree}');
  if (isOid(commitOid, repository.format) && isOid(treeOid, repository.format)) {
    return { commit: commitOid, tree: treeOid };
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
