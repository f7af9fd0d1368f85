import { randomBytes } from 'node:crypto';
import { type FSWatcher, readdirSync, readFileSync, renameSync, unlinkSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Disposable } from '../base/disposable';
import { isAbsent, messageOf } from '../base/errors';
import { formatNotice, parseNotice, type SaveNotice } from '../core/saveNotice';
import type { Host } from './host';

/** Ends the names of files that are being written. */
const TEMPORARY = '.tmp';

/** What another window has to say. */
export interface OtherNotice {
  /** Tells this window from all others. */
  readonly name: string;
  readonly notice: SaveNotice;
}

/**
 * The files by which the windows of one session talk: a notice of each, and the question that was asked last. They lie among the
 * locks. A fault of the disk is no fault of a save: all that can come of it is that the wrong writer is named.
 */
export class NoticeBoard implements Disposable {
  readonly #host: Host;
  readonly #folder: string;
  readonly #prefix: string;
  readonly #own: string;
  readonly #questionName: string;
  #asked: string | undefined;
  #watcher: FSWatcher | undefined;
  #closed = false;

  constructor(host: Host, locks: string, session: string) {
    this.#host = host;
    this.#folder = locks;
    this.#prefix = `${session}.saving.`;
    this.#questionName = `${session}.question`;
    this.#own = `${this.#prefix}${String(process.pid)}-${randomBytes(4).toString('hex')}`;
  }

  /**
   * Calls back when another window has asked, or said, something.
   * @returns false when nothing can be heard, now or, by `onLost`, from some time on
   */
  listen(on: { readonly question: () => void; readonly notice: () => void; readonly lost: () => void }): boolean {
    try {
      this.#watcher = watch(this.#folder, (_event, file) => {
        if (file === this.#questionName) {
          on.question();
        } else if (file?.startsWith(this.#prefix) === true) {
          on.notice();
        }
      });
    } catch (error) {
      this.#host.log.debug(`other windows are not heard: ${messageOf(error)}`);
      return false;
    }
    this.#watcher.on('error', (error) => {
      this.#host.log.debug(`other windows are not heard any more: ${error.message}`);
      on.lost();
    });
    return true;
  }

  /** Puts up the notice of this window, or takes it away. */
  tell(notice: SaveNotice | null): void {
    if (notice === null || this.#closed) {
      this.remove(this.#own);
    } else {
      this.#write(this.#own, formatNotice(notice));
    }
  }

  others(): readonly OtherNotice[] {
    return this.#names().flatMap((name) => {
      if (name === this.#own || !name.startsWith(this.#prefix) || name.endsWith(TEMPORARY)) {
        return [];
      }
      const text = this.#read(name);
      const notice = text === undefined ? undefined : parseNotice(text);
      return notice === undefined ? [] : [{ name, notice }];
    });
  }

  /** Puts a question to all other windows. */
  ask(question: string): void {
    this.#asked = question;
    this.#write(this.#questionName, question);
  }

  /** What was asked last, by another window. */
  question(): string | undefined {
    const question = this.#read(this.#questionName);
    return question === this.#asked ? undefined : question;
  }

  /** Takes away the notice of a window that is gone. */
  remove(name: string): void {
    try {
      unlinkSync(join(this.#folder, name));
    } catch (error) {
      if (!isAbsent(error)) {
        this.#host.log.debug(`${name} stays: ${messageOf(error)}`);
      }
    }
  }

  dispose(): void {
    this.#closed = true;
    this.#watcher?.close();
    this.remove(this.#own);
    if (this.#asked !== undefined && this.#read(this.#questionName) === this.#asked) {
      this.remove(this.#questionName);
    }
  }

  /** Whole or not at all: others read it at any moment. */
  #write(name: string, text: string): void {
    const temporary = join(this.#folder, `${this.#own}${TEMPORARY}`);
    try {
      writeFileSync(temporary, text, { mode: 0o600 });
      renameSync(temporary, join(this.#folder, name));
    } catch (error) {
      this.#host.log.debug(`other windows are not told: ${messageOf(error)}`);
    }
  }

  #read(name: string): string | undefined {
    try {
      return readFileSync(join(this.#folder, name), 'utf8');
    } catch (error) {
      if (!isAbsent(error)) {
        this.#host.log.debug(`${name} cannot be read: ${messageOf(error)}`);
      }
      return undefined;
    }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder);
    } catch (error) {
      this.#host.log.debug(`other windows are not known: ${messageOf(error)}`);
      return [];
    }
  }
}
