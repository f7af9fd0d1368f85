import { randomBytes } from 'node:crypto';
import { Deferred } from '../base/async';
import { LONGEST_SAVE_MS, type SaveNotice } from '../core/saveNotice';
import type { Host } from './host';
import type { NoticeBoard, OtherNotice } from './noticeBoard';
import { livenessOfOwner } from './ownedNames';

/** A file in which another window has unsaved text was written by that window's save, or by now by somebody else, in milliseconds. */
const UNSAVED_MS = 5000;
/** So long one question waits for answers, in milliseconds: the saves of this window wait behind it. */
const PATIENCE_MS = 1000;
/** Where nobody tells that a notice changed they are read this often, in milliseconds. */
const LOOK_MS = 100;

/** Asks the other windows of a session for saves that we have not heard of. */
export class SaveInquiry {
  readonly #host: Host;
  readonly #board: NoticeBoard;
  #changed: Deferred<null> | undefined;
  /** Windows that were asked in vain: since when, and what they had answered last. */
  readonly #silent = new Map<string, { readonly since: number; readonly answer: string | null }>();
  /** Files that are left alone since then because another window has unsaved text in them. */
  readonly #left = new Map<string, number>();

  constructor(host: Host, board: NoticeBoard) {
    this.#host = host;
    this.#board = board;
  }

  /** A notice changed. */
  touch(): void {
    this.#changed?.resolve(null);
  }

  /**
   * Resolves when each living window has answered what it knows of, but for those that have been silent for longer than a save
   * takes; with `incomplete` when one has not answered in a moment.
   */
  async ask(): Promise<readonly SaveNotice[] | 'incomplete'> {
    if ((await this.#listening()).length === 0) {
      return [];
    }
    const question = randomBytes(8).toString('hex');
    this.#board.ask(question);
    const time = { isOver: false };
    const deadline = this.#host.clock.schedule(PATIENCE_MS, () => {
      time.isOver = true;
      this.touch();
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
        if (time.isOver) {
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

  /** Whether one of the files has unsaved text in a window that has answered so, and was not left alone for long enough. */
  areUnsaved(files: readonly string[], answers: readonly SaveNotice[]): boolean {
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

  #note(silent: readonly OtherNotice[]): void {
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
  async #listening(): Promise<readonly OtherNotice[]> {
    const listening: OtherNotice[] = [];
    for (const other of this.#board.others()) {
      const { name, notice } = other;
      if (notice.owner === null) {
        continue;
      }
      if ((await livenessOfOwner(notice.owner)) === 'dead') {
        this.#board.remove(name);
        continue;
      }
      if (this.#silent.get(name)?.answer !== notice.answer) {
        this.#silent.delete(name);
      }
      listening.push(other);
    }
    return listening;
  }
}
