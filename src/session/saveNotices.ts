import { randomBytes } from 'node:crypto';
import { type FSWatcher, readdirSync, readFileSync, renameSync, unlinkSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Deferred } from '../base/async';
import type { Disposable } from '../base/disposable';
import { isAbsent, messageOf } from '../base/errors';
import { formatNotice, parseNotice, type SaveNotice } from '../core/saveNotice';
import type { Host } from './host';
import { livenessOfOwner, ownedName } from './ownedNames';

/**
 * A save that has not ended by then was cancelled, or failed, or its window is gone; what formatters and fixes do on save takes
 * seconds. In milliseconds.
 */
export const LONGEST_SAVE_MS = 15_000;

/** A file in which another window has unsaved text was written by that window's save, or by now by somebody else, in milliseconds. */
const UNSAVED_MS = 5000;
/** So long one question waits for answers, in milliseconds: the saves of this window wait behind it. */
const PATIENCE_MS = 1000;
/** Where nobody tells that a file changed it is looked at this often, in milliseconds. */
const LOOK_MS = 100;

/** Ends the names of notices that are being written. */
const TEMPORARY = '.tmp';

/** Resolves when the editor of this window has told everything that it did before, with the files in which it has unsaved text. */
export type Hearing = () => Promise<readonly string[]>;

/**
 * What windows tell each other of saves in one session. The window that records writes from outside sees the file of another
 * window's save, perhaps before that window has recorded it, and must not book it as somebody else's.
 *
 * A window announces a save before its file is written. Where its extension host is behind, that is not enough: the editor waits
 * for it less than two seconds, and writes. So who is about to book something asks first, and each other window answers once its
 * host has heard of everything that its editor had done when it was asked.
 */
export class SaveNotices implements Disposable {
  readonly #host: Host;
  readonly #folder: string;
  readonly #prefix: string;
  readonly #question: string;
  readonly #own: string;
  readonly #saving = new Map<string, Disposable>();
  /** When the last save began. */
  #since: number | null = null;
  #hear: Hearing | undefined;
  #owner: string | null = null;
  #answer: string | null = null;
  #unsaved: readonly string[] = [];
  /** The question that is being answered. */
  #hearing: string | undefined;
  /** Our own question. */
  #asked: string | undefined;
  #changed: Deferred<null> | undefined;
  /** Windows that were asked in vain: since when, and what they had answered last. */
  readonly #silent = new Map<string, { readonly since: number; readonly answer: string | null }>();
  /** Files that are left alone since then because another window has unsaved text in them. */
  readonly #left = new Map<string, number>();
  #watcher: FSWatcher | undefined;
  #closed = false;

  constructor(host: Host, locks: string, session: string) {
    this.#host = host;
    this.#folder = locks;
    this.#prefix = `${session}.saving.`;
    this.#question = `${session}.question`;
    this.#own = `${this.#prefix}${String(process.pid)}-${randomBytes(4).toString('hex')}`;
  }

  /** From now on this window answers when it is asked. */
  async listen(hear: Hearing): Promise<void> {
    const owner = await ownedName('window');
    if (this.#closed) {
      return;
    }
    this.#hear = hear;
    if (this.#watcher !== undefined) {
      return;
    }
    try {
      this.#watcher = watch(this.#folder, (_event, file) => {
        if (file === this.#question) {
          void this.#answerQuestion();
        } else if (file?.startsWith(this.#prefix) === true) {
          this.#changed?.resolve(null);
        }
      });
      this.#watcher.on('error', (error) => {
        this.#host.log.debug(`questions of other windows are not heard: ${error.message}`);
      });
    } catch (error) {
      // Then nobody waits for an answer of ours.
      this.#host.log.debug(`questions of other windows are not heard: ${messageOf(error)}`);
      return;
    }
    this.#owner = owner;
    this.#tell();
  }

  async #answerQuestion(): Promise<void> {
    const question = this.#read(this.#question);
    if (question === undefined || question === this.#asked || question === this.#hearing || this.#closed) {
      return;
    }
    this.#hearing = question;
    try {
      const unsaved = (await this.#hear?.()) ?? [];
      // Another one may have come meanwhile, and be answered by itself.
      if (this.#hearing === question) {
        this.#unsaved = unsaved;
        this.#answer = question;
        this.#tell();
      }
    } catch (error) {
      // Whoever asked waits a moment longer, and then goes by what was announced.
      this.#host.log.debug(`a question of another window was not answered: ${messageOf(error)}`);
    }
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
    this.#since = this.#host.clock.now();
    this.#tell();
  }

  /** The save is recorded, or did not come. */
  end(path: string): void {
    this.#saving.get(path)?.dispose();
    if (this.#saving.delete(path) && this.#saving.size === 0) {
      this.#since = null;
      this.#tell();
    }
  }

  /** Whether another window has announced a save that has not ended. */
  othersAreSaving(): boolean {
    const now = this.#host.clock.now();
    return this.#others().some(({ name, notice: { saving, owner } }) => {
      const isFresh = saving !== null && Math.abs(now - saving) < LONGEST_SAVE_MS;
      if (!isFresh && owner === null) {
        this.#remove(name);
      }
      return isFresh;
    });
  }

  /**
   * Whether another window may have written one of these files, by a save that it has not recorded yet. Asks them; to be called
   * after the files were read.
   * @param files absolute paths
   */
  async mayBeTheirs(files: readonly string[]): Promise<boolean> {
    if (this.othersAreSaving()) {
      return true;
    }
    const answers = await this.#ask();
    return answers === 'incomplete' || this.othersAreSaving() || this.#areLeft(files, answers);
  }

  #areLeft(files: readonly string[], answers: readonly SaveNotice[]): boolean {
    const now = this.#host.clock.now();
    const unsaved = new Set(answers.flatMap((answer) => answer.unsaved));
    for (const file of this.#left.keys()) {
      if (!unsaved.has(file)) {
        this.#left.delete(file);
      }
    }
    let areLeft = false;
    for (const file of files.filter((each) => unsaved.has(each))) {
      const since = this.#left.get(file) ?? now;
      this.#left.set(file, since);
      areLeft ||= Math.abs(now - since) < UNSAVED_MS;
    }
    return areLeft;
  }

  async #ask(): Promise<readonly SaveNotice[] | 'incomplete'> {
    if ((await this.#listening()).length === 0) {
      return [];
    }
    const question = randomBytes(8).toString('hex');
    this.#asked = question;
    this.#write(this.#question, question);
    let isOver = false;
    const deadline = this.#host.clock.schedule(PATIENCE_MS, () => {
      isOver = true;
      this.#changed?.resolve(null);
    });
    try {
      for (;;) {
        const changed = new Deferred<null>();
        this.#changed = changed;
        const asked = await this.#listening();
        const missing = asked.filter(({ notice }) => notice.answer !== question);
        if (missing.every(({ name }) => this.#isGivenUp(name))) {
          return asked.filter((other) => !missing.includes(other)).map(({ notice }) => notice);
        }
        // The timer may have ended meanwhile.
        if (isOver as boolean) {
          this.#note(missing);
          return 'incomplete';
        }
        const look = this.#host.clock.schedule(LOOK_MS, () => {
          changed.resolve(null);
        });
        await changed.promise;
        look.dispose();
      }
    } finally {
      deadline.dispose();
      this.#changed = undefined;
    }
  }

  #note(silent: readonly Other[]): void {
    for (const { name, notice } of silent) {
      if (!this.#silent.has(name)) {
        this.#silent.set(name, { since: this.#host.clock.now(), answer: notice.answer });
      }
    }
  }

  /** Asked in vain for longer than a save takes: it is asked further on, and waited for again when it has answered anything. */
  #isGivenUp(name: string): boolean {
    const silent = this.#silent.get(name);
    return silent !== undefined && Math.abs(this.#host.clock.now() - silent.since) >= LONGEST_SAVE_MS;
  }

  /** Those of living windows that answer. */
  async #listening(): Promise<readonly Other[]> {
    const listening: Other[] = [];
    for (const other of this.#others()) {
      const { name, notice } = other;
      if (notice.owner === null) {
        continue;
      }
      if ((await livenessOfOwner(notice.owner)) === 'dead') {
        this.#remove(name);
        continue;
      }
      if (this.#silent.get(name)?.answer !== notice.answer) {
        this.#silent.delete(name);
      }
      listening.push(other);
    }
    return listening;
  }

  dispose(): void {
    this.#closed = true;
    this.#watcher?.close();
    for (const timer of this.#saving.values()) {
      timer.dispose();
    }
    this.#saving.clear();
    this.#remove(this.#own);
    if (this.#asked !== undefined && this.#read(this.#question) === this.#asked) {
      this.#remove(this.#question);
    }
  }

  #others(): Other[] {
    return this.#names().flatMap((name) => {
      if (name === this.#own || !name.startsWith(this.#prefix) || name.endsWith(TEMPORARY)) {
        return [];
      }
      const text = this.#read(name);
      const notice = text === undefined ? undefined : parseNotice(text);
      return notice === undefined ? [] : [{ name, notice }];
    });
  }

  /** Writes what this window has to say, or nothing when that is nothing. */
  #tell(): void {
    if (this.#closed) {
      return;
    }
    if (this.#since === null && this.#owner === null) {
      this.#remove(this.#own);
    } else {
      const notice = { saving: this.#since, owner: this.#owner, answer: this.#answer, unsaved: this.#unsaved };
      this.#write(this.#own, formatNotice(notice));
    }
  }

  #write(name: string, text: string): void {
    const temporary = join(this.#folder, `${this.#own}${TEMPORARY}`);
    try {
      writeFileSync(temporary, text, { mode: 0o600 });
      renameSync(temporary, join(this.#folder, name));
    } catch (error) {
      // Saves are recorded all the same; only who is named for one may be wrong.
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
      this.#host.log.debug(`the saves of other windows are not known: ${messageOf(error)}`);
      return [];
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

/** What another window has to say. */
interface Other {
  readonly name: string;
  readonly notice: SaveNotice;
}
