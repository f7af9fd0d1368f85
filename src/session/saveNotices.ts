import type { Disposable } from '../base/disposable';
import { messageOf } from '../base/errors';
import { LONGEST_SAVE_MS } from '../core/saveNotice';
import type { Host } from './host';
import { NoticeBoard } from './noticeBoard';
import { ownedName } from './ownedNames';
import { SaveInquiry } from './saveInquiry';

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
  readonly #board: NoticeBoard;
  readonly #inquiry: SaveInquiry;
  readonly #saving = new Map<string, Disposable>();
  /** When the last save began. */
  #since: number | null = null;
  #hear: Hearing | undefined;
  #owner: string | null = null;
  #answer: string | null = null;
  #unsaved: readonly string[] = [];
  /** The question that is being answered. */
  #hearing: string | undefined;
  #closed = false;

  constructor(host: Host, locks: string, session: string) {
    this.#host = host;
    this.#board = new NoticeBoard(host, locks, session);
    this.#inquiry = new SaveInquiry(host, this.#board);
  }

  /** From now on this window answers when it is asked. */
  async listen(hear: Hearing): Promise<void> {
    const isFirst = this.#hear === undefined;
    this.#hear = hear;
    const owner = await ownedName('window');
    if (this.#closed || !isFirst) {
      return;
    }
    const isHeard = this.#board.listen({
      question: () => {
        void this.#answerQuestion();
      },
      notice: () => {
        this.#inquiry.touch();
      },
      lost: () => {
        this.#becomeOwner(null);
      },
    });
    // Nobody is to wait for answers that cannot come.
    this.#becomeOwner(isHeard ? owner : null);
  }

  #becomeOwner(owner: string | null): void {
    this.#owner = owner;
    this.#tell();
  }

  async #answerQuestion(): Promise<void> {
    const question = this.#board.question();
    if (question === undefined || question === this.#hearing || this.#closed) {
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

  #tell(): void {
    const isSilent = this.#closed || (this.#since === null && this.#owner === null);
    this.#board.tell(
      isSilent ? null : { saving: this.#since, owner: this.#owner, answer: this.#answer, unsaved: this.#unsaved },
    );
  }

  /** Whether another window has announced a save that has not ended. */
  othersAreSaving(): boolean {
    const now = this.#host.clock.now();
    return this.#board.others().some(({ name, notice: { saving, owner } }) => {
      const isFresh = saving !== null && Math.abs(now - saving) < LONGEST_SAVE_MS;
      if (!isFresh && owner === null) {
        this.#board.remove(name);
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
    const answers = await this.#inquiry.ask();
    return answers === 'incomplete' || this.othersAreSaving() || this.#inquiry.areUnsaved(files, answers);
  }

  dispose(): void {
    this.#closed = true;
    for (const timer of this.#saving.values()) {
      timer.dispose();
    }
    this.#saving.clear();
    this.#board.dispose();
  }
}
