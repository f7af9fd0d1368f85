import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { BulkheadError, errnoOf, type ErrorData, messageOf } from '../base/errors';

export type GitErrorCode =
  | 'git-not-found'
  | 'git-too-old'
  | 'git-launch-failed'
  | 'git-exited'
  | 'git-process-lost'
  | 'git-output-invalid'
  | 'git-timed-out'
  | 'not-converted'
  | 'ref-locked'
  | 'ref-name-clash'
  | 'object-missing';

/** A fault of git or of starting it. What the user did wrong, and a full disk, are other kinds. */
export class GitError extends BulkheadError {
  constructor(
    code: GitErrorCode,
    message: string,
    options: { readonly data?: ErrorData; readonly cause?: unknown } = {},
  ) {
    super('git', code, message, options);
    this.name = 'GitError';
  }
}

/** Thrown when the caller's signal was aborted. */
export class CancelledError extends BulkheadError {
  constructor() {
    super('user', 'cancelled', 'Cancelled. Nothing was changed.');
    this.name = 'CancelledError';
  }
}

/** When a process has no descriptor left, Node gives a child without pipes, and it never emits `close`. */
export function hasPipes(child: ChildProcess): boolean {
  return (child.stdin as ChildProcess['stdin'] | undefined) !== undefined;
}

/** Why git could not be started: its folder is gone, this machine has nothing left to give, or there is no such program. */
export function launchError(cause: unknown, path: string, cwd: string | undefined): BulkheadError {
  const errno = errnoOf(cause);
  if (cwd !== undefined && errno === 'ENOENT' && !existsSync(cwd)) {
    // Node blames the program.
    return new BulkheadError('io', 'folder-gone', `The folder ${cwd} is not there any more. Nothing was changed.`, {
      data: { path: cwd },
      cause,
    });
  }
  const scarce = errno === undefined ? undefined : SCARCE[errno];
  if (errno !== undefined && scarce !== undefined) {
    return new BulkheadError(
      'io',
      `io-${errno.toLowerCase()}`,
      `git could not be started: ${scarce}. Nothing was changed; close something and try again.`,
      { data: { path, errno }, cause },
    );
  }
  return new GitError('git-launch-failed', `git could not be started: ${messageOf(cause)}`, { data: { path }, cause });
}

const SCARCE: Readonly<Record<string, string>> = {
  EMFILE: 'too many files are open in this process',
  ENFILE: 'too many files are open on this machine',
  EAGAIN: 'too many processes are running',
  ENOMEM: 'there is no memory left',
};

/** The last lines of what git wrote to stderr, without the progress lines that end with a carriage return. */
export function endOfStderr(stderr: string): string {
  return stderr
    .split('\n')
    .map((line) => line.slice(line.lastIndexOf('\r') + 1).trimEnd())
    .filter((line) => line !== '')
    .slice(-6)
    .join('\n');
}

/**
 * A fault of the disk behind a git that failed; undefined when it was something else.
 * @param folder where git wrote: some of its messages say only that it could not, and then the free space is looked at
 */
export async function diskError(
  stderr: string,
  folder: string | undefined,
  cause?: unknown,
): Promise<BulkheadError | undefined> {
  if (faultInStderr(stderr) === 'no-space' || (COULD_NOT_WRITE.test(stderr) && (await isNearlyFull(folder)))) {
    return new BulkheadError(
      'io',
      'io-enospc',
      'The disk is full. Nothing captured so far is lost; free some space and try again.',
      { data: { stderr }, cause },
    );
  }
  if (stderr.includes('Read-only file system')) {
    return new BulkheadError('io', 'io-erofs', `Nothing can be written there: ${endOfStderr(stderr)}`, {
      data: { stderr },
      cause,
    });
  }
  return undefined;
}

const COULD_NOT_WRITE =
  /(?:could not|couldn't|unable to|failed to|cannot|can't) (?:write|set|create|lock)|write error|failed to write/i;
/** Git tidies up before it ends, so there may be a little again by the time that we look. */
const NEARLY_FULL_BYTES = 4 * 1024 * 1024;

async function isNearlyFull(folder: string | undefined): Promise<boolean> {
  try {
    const { bavail, bsize } = await statfs(folder ?? '.');
    return bavail * bsize < NEARLY_FULL_BYTES;
  } catch {
    // The folder is gone or cannot be asked: nothing is known then.
    return false;
  }
}

/** What git's words in the C locale tell about a failure that the facts alone do not. Each pattern has a test with a real git. */
export function faultInStderr(
  stderr: string,
): 'no-space' | 'no-permission' | 'locked' | 'name-clash' | 'missing-object' | undefined {
  if (/No space left on device|Disk quota exceeded/.test(stderr)) {
    return 'no-space';
  }
  if (/Permission denied|Read-only file system|Operation not permitted/.test(stderr)) {
    return 'no-permission';
  }
  if (/Unable to create '.*\.lock': File exists/.test(stderr)) {
    return 'locked';
  }
  if (/exists; cannot create|there is a non-empty directory .* blocking reference/.test(stderr)) {
    return 'name-clash';
  }
  if (/nonexistent object/.test(stderr)) {
    return 'missing-object';
  }
  return undefined;
}

/** A local clone met files that went away while it copied them: somebody (git's own `gc --auto`, too) repacks the source. */
export function tellsOfRepackedSource(stderr: string): boolean {
  return /failed to (?:copy file to|create link|stat|open) .*: No such file or directory/.test(stderr);
}
