import { type Holder, SAVE_LOCK_CAP_MS } from '../core/holder';
import type { Locked, LockFolder } from './locks';

const WAIT_MS = 5000;

/**
 * One writer's place among those who write the same ref. Alone, a writer takes no lock: the ref's old oid judges, and
 * making and removing two files for each save costs more than what they would spare. Whoever finds the lock held, or lost
 * a race, queues up.
 */
export class WriterTurn {
  readonly #locks: LockFolder;
  readonly #name: string;
  readonly #holder: () => Promise<Holder>;
  #locked: Locked | undefined;

  constructor(locks: LockFolder, name: string, holder: () => Promise<Holder>) {
    this.#locks = locks;
    this.#name = name;
    this.#holder = holder;
  }

  get isHeld(): boolean {
    return this.#locked?.kind === 'held';
  }

  /** Whether others queue up at this moment. */
  isTaken(): boolean {
    return this.#locks.isHeld(this.#name);
  }

  /**
   * Waits for the lock, once: a holder that hangs does not cost us the save.
   * @param onWait told as soon as somebody else is found to hold it
   * @throws BulkheadError of kind `io`
   */
  async take(onWait: (holder: Holder | undefined) => void): Promise<void> {
    this.#locked ??= await this.#locks.acquire(this.#name, {
      holder: await this.#holder(),
      waitMs: WAIT_MS,
      capMs: SAVE_LOCK_CAP_MS,
      onWait,
    });
  }

  release(): void {
    if (this.#locked?.kind === 'held') {
      this.#locked.lock.release();
    }
    this.#locked = undefined;
  }
}
