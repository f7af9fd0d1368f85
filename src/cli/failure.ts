import { BulkheadError, type ErrorKind, messageOf } from '../base/errors';

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

const EXIT_BY_KIND: Readonly<Record<ErrorKind, number>> = {
  user: EXIT_USAGE,
  refused: 3,
  busy: 4,
  notFound: 5,
  git: EXIT_FAILED,
  io: EXIT_FAILED,
  damaged: EXIT_FAILED,
  bug: EXIT_FAILED,
};

/** A mistake in how the command was called. */
export function usageError(code: string, message: string, data: Readonly<Record<string, unknown>> = {}): BulkheadError {
  return new BulkheadError('user', code, message, { data });
}

/** What a run that did not end well looks like from outside. */
export interface Failure {
  readonly exitCode: number;
  readonly error: BulkheadError;
}

export function failureOf(error: unknown, interrupted: boolean): Failure {
  if (interrupted) {
    return {
      exitCode: EXIT_INTERRUPTED,
      error: new BulkheadError('user', 'interrupted', 'Interrupted.', { cause: error }),
    };
  }
  if (error instanceof BulkheadError) {
    return { exitCode: EXIT_BY_KIND[error.kind], error };
  }
  return {
    exitCode: EXIT_FAILED,
    error: new BulkheadError('bug', 'internal', `Unexpected error: ${messageOf(error)}`, {
      cause: error,
    }),
  };
}
