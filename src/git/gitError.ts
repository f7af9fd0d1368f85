import { BulkheadError, type ErrorData } from '../base/errors';

export type GitErrorCode =
  | 'git-not-found'
  | 'git-too-old'
  | 'git-launch-failed'
  | 'git-exited'
  | 'git-process-lost'
  | 'git-output-invalid'
  | 'git-timed-out'
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

/** The last lines of what git wrote to stderr, without the progress lines that end with a carriage return. */
export function endOfStderr(stderr: string): string {
  return stderr
    .split('\n')
    .map((line) => line.slice(line.lastIndexOf('\r') + 1).trimEnd())
    .filter((line) => line !== '')
    .slice(-6)
    .join('\n');
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
