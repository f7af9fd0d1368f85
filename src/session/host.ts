import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../base/clock';
import type { Log } from '../base/log';
import type { Random } from '../base/random';
import { DEFAULT_EXCLUDED } from '../core/contention';
import { findGit, type Git } from '../git/git';

/** What a person can set, in the units of the engine. */
export interface EngineSettings {
  /** Untracked files above this many bytes are skipped. */
  readonly maxFileSize: number;
  /** Flush every object of a snapshot to the disk before its ref moves. */
  readonly fsync: boolean;
  /** Names of filter drivers that may run; the others' files are recorded as they are. */
  readonly allowedFilters: readonly string[];
  /** Where clones are made; null: under the storage. */
  readonly sessionsRoot: string | null;
  readonly cloneObjects: 'hardlink' | 'copy';
  /** Globs of paths that never count as contention. */
  readonly contentionExclude: readonly string[];
  /** Patterns in gitignore syntax: ignored files that a new session gets a copy of, beside those of `.worktreeinclude`. */
  readonly includeFiles: readonly string[];
  /** Record the user's own checkout too. */
  readonly captureWorkspace: boolean;
  /** Milliseconds without a further write before an outside write is recorded. */
  readonly quietMs: number;
  /** Milliseconds after which an outside write is recorded however busy the folder is. */
  readonly maxWaitMs: number;
}

export const DEFAULT_SETTINGS: EngineSettings = {
  maxFileSize: 10 * 1024 * 1024,
  fsync: false,
  allowedFilters: ['lfs', 'git-crypt'],
  sessionsRoot: null,
  cloneObjects: 'hardlink',
  contentionExclude: DEFAULT_EXCLUDED,
  includeFiles: [],
  captureWorkspace: true,
  quietMs: 200,
  maxWaitMs: 2000,
};

/** What every service of one process shares. */
export interface Host {
  readonly git: Git;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly settings: EngineSettings;
  /** Who asks: `vscode`, `cli`. */
  readonly product: string;
  readonly environment: Readonly<NodeJS.ProcessEnv>;
}

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  fraction: () => randomBytes(4).readUInt32BE() / 0x1_0000_0000,
};

/** @throws GitError `git-not-found`, `git-too-old` */
export async function createHost(options: {
  readonly gitPath?: string | null;
  /** Folders whose programs are never started: the work trees. */
  readonly forbiddenGitRoots?: readonly string[];
  readonly log: Log;
  readonly settings?: Partial<EngineSettings>;
  readonly product: string;
  readonly environment?: Readonly<NodeJS.ProcessEnv>;
  readonly clock?: Clock;
  readonly random?: Random;
}): Promise<Host> {
  const environment = options.environment ?? process.env;
  const clock = options.clock ?? systemClock;
  const settings = { ...DEFAULT_SETTINGS, ...options.settings };
  const git = await findGit({
    path: options.gitPath ?? null,
    forbidden: options.forbiddenGitRoots ?? [],
    environment,
    clock,
    log: options.log,
    fsync: settings.fsync,
  });
  return {
    git,
    clock,
    random: options.random ?? systemRandom,
    log: options.log,
    settings,
    product: options.product,
    environment,
  };
}
