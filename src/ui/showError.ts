import * as vscode from 'vscode';
import { BulkheadError, messageOf } from '../base/errors';
import type { LogChannel } from './logChannel';
import { tellFailure, warn } from './messages';

/** The same failure of background work is told once in this time; the log has every one. */
const REPEAT_AFTER_MS = 10 * 60_000;

/** The one place that turns an error into a message for a person. */
export class ErrorDisplay {
  readonly #log: LogChannel;
  readonly #told = new Map<string, number>();

  constructor(log: LogChannel) {
    this.#log = log;
  }

  /** A command failed: `what` says what she tried, in the form "Cannot restore the snapshot." */
  show(what: string, error: unknown): void {
    if (isCancellation(error)) {
      this.#log.info(`${what} Cancelled.`);
      return;
    }
    this.#log.error(`${what} ${describe(error)}`);
    const text = messageText(what, error);
    const showLog = vscode.l10n.t('Show Log');
    const answer = isMistake(error) ? warn(text) : tellFailure(text, showLog);
    void answer.then((choice) => {
      if (choice === showLog) {
        this.#log.show();
      }
    });
  }

  /** Work in the background failed: told once for a while, logged always. */
  showOnce(what: string, error: unknown): void {
    const key = `${what}\0${error instanceof BulkheadError ? error.code : messageOf(error)}`;
    const before = this.#told.get(key);
    if (before !== undefined && Date.now() - before < REPEAT_AFTER_MS) {
      this.#log.warn(`${what} ${describe(error)}`);
      return;
    }
    this.#told.set(key, Date.now());
    this.show(what, error);
  }

  /** For what she need not be told of. */
  log(what: string, error: unknown): void {
    this.#log.warn(`${what} ${describe(error)}`);
  }
}

export function isCancellation(error: unknown): boolean {
  return error instanceof vscode.CancellationError || (error instanceof Error && error.name === 'AbortError');
}

/** A person can correct it herself, or has to wait: no log needed. */
function isMistake(error: unknown): boolean {
  return (
    error instanceof BulkheadError &&
    (error.kind === 'user' || error.kind === 'refused' || error.kind === 'busy' || error.kind === 'notFound')
  );
}

/** Errors of ours say by themselves what happened and what to do next; for any other, what is safe must be said here. */
export function messageText(what: string, error: unknown): string {
  if (error instanceof BulkheadError && error.kind !== 'bug') {
    return `${what} ${error.message}`;
  }
  return `${what} ${vscode.l10n.t('Something unexpected happened: {0}. Snapshots made so far are safe; the log has the details.', messageOf(error))}`;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const code = error instanceof BulkheadError ? ` [${error.kind} ${error.code}]` : '';
  const cause = error.cause === undefined ? '' : `\n  caused by ${describe(error.cause)}`;
  return `${error.stack ?? error.message}${code}${cause}`;
}
