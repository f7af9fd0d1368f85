import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { access, constants, realpath, stat } from 'node:fs/promises';
import { constants as osConstants, setPriority } from 'node:os';
import { delimiter, isAbsolute, join, sep } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { Clock } from '../base/clock';
import type { Log } from '../base/log';
import { requireDescriptors } from './descriptors';
import { type Environment, ownEnvironment, userEnvironment } from './gitEnvironment';
import { CancelledError, diskError, endOfStderr, GitError, hasPipes, launchError } from './gitError';
import { type Feature, FEATURES, type GitVersion, isAtLeast, OLDEST_GIT, parseGitVersion } from './gitVersion';
import { ignoreClosedInput } from './ignoreClosedInput';

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment of our own git, or in place of it. */
  readonly env?: Environment;
  /** Run in the user's environment: her configuration counts, and nothing that we write may depend on it. */
  readonly asUser?: boolean;
  readonly input?: Buffer | string;
  /** An open file that git reads instead of `input`; the caller closes it. */
  readonly stdin?: number;
  readonly signal?: AbortSignal | undefined;
  /** Exit codes that are answers; default only 0. */
  readonly expect?: readonly number[];
  /** Work that nobody waits for: it gives way to everything else, and being cancelled ends its children too. */
  readonly background?: boolean;
  /** Bytes of stdout above which the run is ended and fails; default 256 MiB. */
  readonly maxOutput?: number;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const MAX_OUTPUT = 256 * 1024 * 1024;
const SLOW_MS = 2000;

interface GitOptions {
  readonly path: string;
  readonly version: GitVersion;
  readonly clock: Clock;
  readonly log: Log;
  readonly environment: Readonly<NodeJS.ProcessEnv>;
  readonly safeDirectories?: readonly string[];
  readonly fsync?: boolean;
}

/** One git program, found once and checked; the only place that starts it for a single answer. */
export class Git {
  /** Absolute path of the program. */
  readonly path: string;
  readonly version: GitVersion;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * What a clone or fetch has to start at the other side; undefined: what git starts by itself. Git hands no configuration of
   * ours on to it, so the folders that may belong to somebody else are named here again.
   */
  readonly uploadPack: string | undefined;
  readonly #options: GitOptions;
  readonly #environment: Environment;
  readonly #userEnvironment: Environment;

  constructor(options: GitOptions) {
    this.path = options.path;
    this.version = options.version;
    this.clock = options.clock;
    this.log = options.log;
    this.#options = options;
    const trusted = (options.safeDirectories ?? []).map((folder) => `-c safe.directory=${shellQuoted(folder)} `);
    this.uploadPack = trusted.length === 0 ? undefined : `${shellQuoted(this.path)} ${trusted.join('')}upload-pack`;
    this.#environment = ownEnvironment(options.environment, options);
    this.#userEnvironment = userEnvironment(options.environment);
  }

  get environment(): Environment {
    return this.#environment;
  }

  can(feature: Feature): boolean {
    return isAtLeast(this.version, FEATURES[feature]);
  }

  /** The same program, which works in these folders whoever owns them: the user's own git has accepted them. */
  trusting(folders: readonly string[]): Git {
    return new Git({ ...this.#options, safeDirectories: folders });
  }

  /**
   * Runs git once.
   * @throws BulkheadError of kind `io` when the disk is full or read-only, or git cannot be started for want of descriptors
   * @throws GitError `git-exited` with arguments, code and the end of stderr for an exit code that was not expected
   * @throws CancelledError when the signal was aborted
   */
  async run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    if (options.signal?.aborted === true) {
      throw new CancelledError();
    }
    const started = this.clock.now();
    const base = options.asUser === true ? this.#userEnvironment : this.#environment;
    const environment = options.env === undefined ? base : { ...base, ...options.env };
    const result = await this.#spawn(args, environment, options);
    const elapsed = this.clock.now() - started;
    const line = `git ${args.join(' ')} in ${options.cwd ?? '.'}: exit ${String(result.code)} after ${String(elapsed)} ms`;
    if (elapsed > SLOW_MS) {
      this.log.warn(`slow: ${line}`);
    } else {
      this.log.debug(line);
    }
    if (!(options.expect ?? [0]).includes(result.code)) {
      const disk = await diskError(endOfStderr(result.stderr), options.cwd);
      if (disk !== undefined) {
        throw disk;
      }
      throw new GitError(
        'git-exited',
        `git ${subcommand(args)} failed: ${endOfStderr(result.stderr) || `exit code ${String(result.code)}`}`,
        {
          data: { args: [...args], exit: result.code, stderr: endOfStderr(result.stderr) },
        },
      );
    }
    return result;
  }

  /** Runs git once and gives its stdout as text without the last line end. */
  async text(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return (await this.run(args, options)).stdout.toString('utf8').replace(/\r?\n$/, '');
  }

  #spawn(args: readonly string[], env: Environment, options: RunOptions): Promise<RunResult> {
    return new Promise((resolve, reject) => {
      const failed = (cause: unknown): void => {
        reject(launchError(cause, this.path, options.cwd));
      };
      let child: ChildProcessByStdio<Writable | null, Readable, Readable>;
      try {
        requireDescriptors();
        child = spawn(this.path, [...args], {
          cwd: options.cwd,
          env,
          windowsHide: true,
          stdio: [options.stdin ?? 'pipe', 'pipe', 'pipe'],
          // A group of its own, so that the whole group can be ended.
          detached: options.background === true && process.platform !== 'win32',
        }) as typeof child;
      } catch (error) {
        failed(error);
        return;
      }
      if (!hasPipes(child)) {
        child.on('error', failed);
        return;
      }
      if (options.background === true) {
        giveWay(child.pid);
      }
      const stdout: Buffer[] = [];
      let size = 0;
      let stderr = '';
      let ended: 'cancelled' | 'too-much' | undefined;
      const limit = options.maxOutput ?? MAX_OUTPUT;
      const abort = (): void => {
        ended = 'cancelled';
        endRun(child, options);
      };
      options.signal?.addEventListener('abort', abort, { once: true });
      child.stdout.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > limit) {
          ended = 'too-much';
          child.kill();
        } else {
          stdout.push(chunk);
        }
      });
      child.stderr.on('data', (chunk: Buffer) => {
        stderr = (stderr + chunk.toString('utf8')).slice(-65536);
      });
      child.on('error', (cause) => {
        options.signal?.removeEventListener('abort', abort);
        failed(cause);
      });
      child.on('close', (code, killedBy) => {
        options.signal?.removeEventListener('abort', abort);
        if (ended === 'cancelled') {
          reject(new CancelledError());
        } else if (ended === 'too-much') {
          reject(
            new GitError('git-output-invalid', `git ${subcommand(args)} answered more than ${String(limit)} bytes`),
          );
        } else if (code === null) {
          reject(
            new GitError('git-process-lost', `git ${subcommand(args)} was ended by ${killedBy ?? 'a signal'}`, {
              data: { args: [...args] },
            }),
          );
        } else {
          resolve({ code, stdout: Buffer.concat(stdout), stderr });
        }
      });
      if (child.stdin !== null) {
        ignoreClosedInput(child.stdin);
        child.stdin.end(options.input ?? '');
      }
    });
  }
}

/** Children inherit it. */
function giveWay(pid: number | undefined): void {
  try {
    if (pid !== undefined) {
      setPriority(pid, osConstants.priority.PRIORITY_LOW);
    }
  } catch {
    // It has ended already, or the platform does not allow it: then it runs like any other.
  }
}

function endRun(child: ChildProcess, options: RunOptions): void {
  try {
    if (options.background === true && process.platform !== 'win32' && child.pid !== undefined) {
      process.kill(-child.pid);
      return;
    }
  } catch {
    // The group is gone already.
  }
  child.kill();
}

/** Git starts the other side by a shell, on Windows too. */
function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function subcommand(args: readonly string[]): string {
  return args.find((arg) => !arg.startsWith('-') && !arg.includes('=') && !arg.includes('/')) ?? args[0] ?? '';
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    // Any failure means that it cannot be started from there.
    return false;
  }
}

/**
 * Finds git: the given absolute path, else the first one on the PATH. Relative entries of the PATH, and programs below
 * one of `forbidden` (work trees, where an agent could have put one), are passed over.
 * @throws GitError `git-not-found`, `git-too-old`
 */
export async function findGit(options: {
  readonly path: string | null;
  readonly forbidden: readonly string[];
  readonly environment: Readonly<NodeJS.ProcessEnv>;
  readonly clock: Clock;
  readonly log: Log;
  /** See `ownEnvironment`. */
  readonly fsync?: boolean;
}): Promise<Git> {
  const names = process.platform === 'win32' ? ['git.exe'] : ['git'];
  const candidates =
    options.path === null
      ? (options.environment['PATH'] ?? options.environment['Path'] ?? '')
          .split(delimiter)
          .filter((folder) => isAbsolute(folder))
          .flatMap((folder) => names.map((name) => join(folder, name)))
      : [options.path];
  for (const candidate of candidates) {
    if (!isAbsolute(candidate) || !(await isProgram(candidate))) {
      continue;
    }
    const real = await realpath(candidate);
    if (options.forbidden.some((root) => real === root || real.startsWith(root + sep))) {
      options.log.warn(`git at ${candidate} lies inside a work tree and is not used`);
      continue;
    }
    const git = new Git({
      path: candidate,
      version: OLDEST_GIT,
      clock: options.clock,
      log: options.log,
      environment: options.environment,
    });
    const text = await git.text(['--version']);
    const version = parseGitVersion(text);
    if (version === undefined) {
      throw new GitError(
        'git-not-found',
        `${candidate} does not answer as git does. Set bulkhead.git.path to a git program.`,
        { data: { path: candidate } },
      );
    }
    if (!isAtLeast(version, OLDEST_GIT)) {
      throw new GitError(
        'git-too-old',
        `Git ${version.text} is too old: Bulkhead needs ${OLDEST_GIT.text} or newer. Update git, then try again.`,
        {
          data: { path: candidate, version: version.text, needed: OLDEST_GIT.text },
        },
      );
    }
    return new Git({ ...options, path: candidate, version });
  }
  throw new GitError(
    'git-not-found',
    options.path === null
      ? 'Git was not found. Install git 2.34 or newer, or set bulkhead.git.path.'
      : `There is no git program at ${options.path}. Correct bulkhead.git.path.`,
    { data: { path: options.path } },
  );
}
