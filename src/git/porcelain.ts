/** Ordinary commands (clone, fetch) through simple-git, with our environment and our errors. */
import { rm } from 'node:fs/promises';
import type { SimpleGit, SimpleGitFactory } from 'simple-git';
import { messageOf } from '../base/errors';
import type { Git } from './git';
import { requireDescriptors } from './descriptors';
import type { Environment } from './gitEnvironment';
import { CancelledError, diskError, endOfStderr, GitError, launchError, tellsOfRepackedSource } from './gitError';

export interface PorcelainOptions {
  readonly cwd: string;
  readonly env?: Environment;
  readonly signal?: AbortSignal | undefined;
  /** Git's own steps ("Receiving objects"), share between 0 and 1. */
  readonly onProgress?: ((step: string, share: number) => void) | undefined;
}

function instance(simpleGit: SimpleGitFactory, git: Git, options: PorcelainOptions): SimpleGit {
  const { onProgress, signal } = options;
  const environment = { ...git.environment, ...options.env };
  return simpleGit({
    baseDir: options.cwd,
    binary: git.path,
    maxConcurrentProcesses: 4,
    ...(signal === undefined ? {} : { abort: signal }),
    ...(onProgress === undefined
      ? {}
      : {
          progress: ({ stage, progress }: { readonly stage: string; readonly progress: number }): void => {
            onProgress(stage, progress / 100);
          },
        }),
    allowEnvironment: Object.keys(environment),
    // simple-git guards against settings that come from users; ours are constants of gitEnvironment.ts.
    unsafe: {
      allowUnsafeHooksPath: true,
      allowUnsafeFsMonitor: true,
      allowUnsafeConfigEnvCount: true,
      allowUnsafeConfigPaths: true,
      allowUnsafeProtocolOverride: true,
      allowUnsafeFilter: true,
      allowUnsafeCustomBinary: true,
      allowUnsafePack: true,
      allowUnsafeTemplateDir: true,
    },
  }).env(environment);
}

/** Asked anew each time: the compiler would take a first answer for the last. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

async function run(git: Git, args: readonly string[], options: PorcelainOptions): Promise<string> {
  if (isAborted(options.signal)) {
    throw new CancelledError();
  }
  const started = git.clock.now();
  try {
    requireDescriptors();
  } catch (error) {
    throw launchError(error, git.path, options.cwd);
  }
  try {
    // Loaded when it is needed: most calls of the command line clone and fetch nothing.
    const { simpleGit } = await import('simple-git');
    return await instance(simpleGit, git, options).raw([...args]);
  } catch (error) {
    if (isAborted(options.signal)) {
      throw new CancelledError();
    }
    const text = messageOf(error);
    const disk = await diskError(endOfStderr(text), options.cwd, error);
    if (disk !== undefined) {
      throw disk;
    }
    throw new GitError('git-exited', `git ${args[0] ?? ''} failed: ${endOfStderr(text)}`, {
      data: { args: [...args], stderr: endOfStderr(text) },
      cause: error,
    });
  } finally {
    git.log.debug(`git ${args.join(' ')} in ${options.cwd}: ${String(git.clock.now() - started)} ms`);
  }
}

export interface CloneRequest {
  readonly source: string;
  readonly target: string;
  readonly bare: boolean;
  /** Copy the objects instead of hard-linking them. */
  readonly copyObjects: boolean;
  /** Name of the remote that the source's branches come under. */
  readonly origin?: string;
  /** Fetched besides the branches; with `origin`. */
  readonly refspecs?: readonly string[];
  readonly extra?: readonly string[];
}

const CLONE_TRIES = 3;

/**
 * Makes a local clone without checking it out. When the source is repacked meanwhile, file by file does not work: it is
 * tried again, and the last time asked for its objects as a remote one would be.
 */
export async function cloneRepository(git: Git, request: CloneRequest, options: PorcelainOptions): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await cloneOnce(git, request, options, attempt === CLONE_TRIES);
      return;
    } catch (error) {
      const isRepacked = error instanceof GitError && tellsOfRepackedSource(String(error.data['stderr']));
      if (!isRepacked || attempt === CLONE_TRIES) {
        throw error;
      }
      git.log.info(`${request.source} is being repacked; cloning it again`);
      await rm(request.target, { recursive: true, force: true });
    }
  }
}

async function cloneOnce(git: Git, request: CloneRequest, options: PorcelainOptions, asRemote: boolean): Promise<void> {
  const args = [
    'clone',
    // A path is cloned locally without being told so; told so, git fails where hard links are not possible instead of copying.
    ...(asRemote ? ['--no-local'] : request.copyObjects ? ['--no-hardlinks'] : []),
    ...(request.bare ? ['--bare'] : ['--no-checkout']),
    ...(request.origin === undefined ? [] : [`--origin=${request.origin}`]),
    ...(request.refspecs ?? []).flatMap((refspec) => ['-c', `remote.${request.origin ?? 'origin'}.fetch=${refspec}`]),
    ...uploadPack(git),
    // No template: it could bring hooks.
    '--template=',
    ...(options.onProgress === undefined ? ['--quiet'] : ['--progress']),
    ...(request.extra ?? []),
    '--',
    request.source,
    request.target,
  ];
  await run(git, args, options);
}

function uploadPack(git: Git): string[] {
  return git.uploadPack === undefined ? [] : [`--upload-pack=${git.uploadPack}`];
}

/** Fetches refs or oids from a local repository into the one at `gitDir`; writes no FETCH_HEAD and takes no tags along. */
export async function fetchInto(
  git: Git,
  request: {
    readonly gitDir: string;
    readonly source: string;
    readonly refspecs: readonly string[];
    readonly check?: boolean;
    readonly prune?: boolean;
  },
  options: Omit<PorcelainOptions, 'cwd'> = {},
): Promise<void> {
  const args = [
    `--git-dir=${request.gitDir}`,
    ...(request.check === true ? ['-c', 'fetch.fsckObjects=true'] : []),
    'fetch',
    '--quiet',
    '--no-tags',
    '--no-write-fetch-head',
    '--no-auto-maintenance',
    '--no-recurse-submodules',
    ...uploadPack(git),
    ...(request.prune === true ? ['--prune'] : []),
    '--',
    request.source,
    ...request.refspecs,
  ];
  await run(git, args, { ...options, cwd: request.gitDir });
}
