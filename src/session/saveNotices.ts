import { randomBytes } from 'node:crypto';
import { readdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Disposable } from '../base/disposable';
import { isAbsent, messageOf } from '../base/errors';
import type { Host } from './host';

/**
 * A save that has not ended by then was cancelled, or failed, or its window is gone; what formatters and fixes do on save takes
 * seconds. In milliseconds.
 */
export const LONGEST_SAVE_MS = 15_000;

/**
 * What windows tell each other of saves that are under way in one session. The window that records writes from outside
 * sees the file of another window's save before that window has recorded it, and would book it as somebody else's.
 */
export class SaveNotices {
  readonly #host: Host;
  readonly #folder: string;
  readonly #prefix: string;
  readonly #own: string;
  readonly #saving = new Map<string, Disposable>();

  constructor(host: Host, locks: string, session: string) {
    this.#host = host;
    this.#folder = locks;
    this.#prefix = `${session}.saving.`;
    this.#own = `${this.#prefix}${String(process.pid)}-${randomBytes(4).toString('hex')}`;
  }

  /** Tells the others that a file is about to be written here. */
  begin(path: string): void {
    this.#saving.get(path)?.dispose();
    this.#saving.set(
      path,
      this.#host.clock.schedule(LONGEST_SAVE_MS, () => {
        this.end(path);
      }),
    );
    try {
      // Written again for a further file: its time says how fresh the notice is.
      writeFileSync(join(this.#folder, this.#own), '', { mode: 0o600 });
    } catch (error) {
      // The save itself is recorded all the same; only who is named for it may be wrong.
      this.#host.log.debug(`a save is not announced: ${messageOf(error)}`);
    }
  }

  /** The save is recorded, or did not come. */
  end(path: string): void {
    this.#saving.get(path)?.dispose();
    if (this.#saving.delete(path) && this.#saving.size === 0) {
      this.#remove(this.#own);
    }
  }

  /** Whether another window is saving a file at this moment. */
  othersAreSaving(): boolean {
    const now = this.#host.clock.now();
    return this.#names().some((name) => {
      if (name === this.#own || !name.startsWith(this.#prefix)) {
        return false;
      }
      const time = this.#timeOf(name);
      if (time === undefined) {
        return false;
      }
      const isFresh = Math.abs(now - time) < LONGEST_SAVE_MS;
      if (!isFresh) {
        this.#remove(name);
      }
      return isFresh;
    });
  }

  dispose(): void {
    for (const path of [...this.#saving.keys()]) {
      this.end(path);
    }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder);
    } catch (error) {
      this.#host.log.debug(`the saves of other windows are not known: ${messageOf(error)}`);
      return [];
    }
  }

  #timeOf(name: string): number | undefined {
    try {
      return statSync(join(this.#folder, name)).mtimeMs;
    } catch (error) {
      if (!isAbsent(error)) {
        this.#host.log.debug(`${name} cannot be looked at: ${messageOf(error)}`);
      }
      return undefined;
    }
  }

  #remove(name: string): void {
    try {
      unlinkSync(join(this.#folder, name));
    } catch (error) {
      if (!isAbsent(error)) {
        this.#host.log.debug(`${name} stays: ${messageOf(error)}`);
      }
    }
  }
}
