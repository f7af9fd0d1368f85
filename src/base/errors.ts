/**
 * What went wrong, seen from the person who reads it:
 * `user` a mistake that she can correct, `refused` something that needs her consent, `busy` somebody else holds it,
 * `notFound` no such thing, `git` git failed, `io` the file system failed, `damaged` our own data cannot be read,
 * `bug` a state that should not exist.
 */
export type ErrorKind = 'user' | 'refused' | 'busy' | 'notFound' | 'git' | 'io' | 'damaged' | 'bug';

export type ErrorData = Readonly<Record<string, unknown>>;

/** Base of every error that Bulkhead throws. `message` is written for people: what happened, and what to do next. */
export class BulkheadError extends Error {
  readonly kind: ErrorKind;
  /** Stable, lower-case words with dashes; scripts may rely on it. */
  readonly code: string;
  readonly data: ErrorData;

  constructor(
    kind: ErrorKind,
    code: string,
    message: string,
    options: { readonly data?: ErrorData; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'BulkheadError';
    this.kind = kind;
    this.code = code;
    this.data = options.data ?? {};
  }

  toJSON(): { readonly code: string; readonly message: string; readonly data: ErrorData } {
    return { code: this.code, message: this.message, data: this.data };
  }
}

/** The `code` of a Node system error (`ENOENT`, `EACCES`, …), or undefined for any other value. */
export function errnoOf(error: unknown): string | undefined {
  // Our own errors have codes too, in lower case.
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code)) {
    return error.code;
  }
  return undefined;
}

/** True when the file or one of its parents is absent. A parent that is a file (`ENOTDIR`) means absent too. */
export function isAbsent(error: unknown): boolean {
  const code = errnoOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Wraps a file-system fault so that it is never shown as a mistake of the user or of git. */
export function ioError(operation: string, path: string, cause: unknown): BulkheadError {
  const errno = errnoOf(cause);
  const advice =
    errno === 'ENOSPC' || errno === 'EDQUOT'
      ? 'The disk is full. Nothing captured so far is lost; free some space and try again.'
      : errno === 'EACCES' || errno === 'EPERM' || errno === 'EROFS'
        ? 'Bulkhead may not write there. Check the permissions of that folder.'
        : errno === 'EMFILE' || errno === 'ENFILE'
          ? 'Too many files are open. Nothing captured so far is lost; close something and try again.'
          : messageOf(cause);
  return new BulkheadError(
    'io',
    errno === undefined ? 'io' : `io-${errno.toLowerCase()}`,
    `Cannot ${operation} ${path}. ${advice}`,
    {
      data: { operation, path, ...(errno === undefined ? {} : { errno }) },
      cause,
    },
  );
}
