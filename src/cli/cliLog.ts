import { appendFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../base/log';

const MAX_BYTES = 1024 * 1024;

/**
 * Warnings and errors of the engine go to `cli.log` in the storage, never into a work tree and never to stdout.
 * Lines written before the storage is known wait for it. With `BULKHEAD_LOG=debug` every line goes to stderr as well.
 */
export class CliLog implements Log {
  readonly #toStderr: ((line: string) => void) | undefined;
  readonly #now: () => number;
  #waiting: string[] = [];
  #file: string | undefined;

  constructor(options: { readonly now: () => number; readonly toStderr?: (line: string) => void }) {
    this.#now = options.now;
    this.#toStderr = options.toStderr;
  }

  attach(storage: string): void {
    this.#file = join(storage, 'cli.log');
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length > 0) {
      this.#append(waiting.join(''));
    }
  }

  debug(message: string): void {
    this.#toStderr?.(`debug ${message}`);
  }

  info(message: string): void {
    this.#toStderr?.(`info ${message}`);
  }

  warn(message: string): void {
    this.#keep('warn', message);
  }

  error(message: string): void {
    this.#keep('error', message);
  }

  #keep(level: string, message: string): void {
    this.#toStderr?.(`${level} ${message}`);
    const line = `${new Date(this.#now()).toISOString()} ${level} ${String(process.pid)} ${message.replaceAll('\n', '\\n')}\n`;
    if (this.#file === undefined) {
      this.#waiting.push(line);
    } else {
      this.#append(line);
    }
  }

  #append(text: string): void {
    const file = this.#file;
    if (file === undefined) {
      return;
    }
    try {
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > MAX_BYTES) {
        renameSync(file, `${file}.1`);
      }
      appendFileSync(file, text, { mode: 0o600 });
    } catch {
      // A storage that cannot be written, or is gone: the command itself says so; its log has nowhere else to go.
    }
  }
}
