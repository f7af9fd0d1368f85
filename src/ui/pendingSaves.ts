import type { Clock } from '../base/clock';
import type { Disposable } from '../base/disposable';
import { LONGEST_SAVE_MS } from '../core/saveNotice';

interface PendingSave {
  readonly timer: Disposable;
  /** What a watcher told of the file meanwhile. */
  held: (() => void) | undefined;
}

/**
 * The editor writes a file before it tells that it has saved it, and a watcher may be faster. What it tells of a file that
 * is being saved is held back, so that a person's save is not booked as a write from outside.
 */
export class PendingSaves implements Disposable {
  readonly #clock: Clock;
  readonly #pending = new Map<string, PendingSave>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isSaving(): boolean {
    return this.#pending.size > 0;
  }

  begin(path: string): void {
    const before = this.#pending.get(path);
    before?.timer.dispose();
    this.#pending.set(path, {
      held: before?.held,
      timer: this.#clock.schedule(LONGEST_SAVE_MS, () => {
        const held = this.#pending.get(path)?.held;
        this.#pending.delete(path);
        held?.();
      }),
    });
  }

  /** The save has ended and is recorded as one: what was held back has nothing to add. */
  end(path: string): void {
    this.#pending.get(path)?.timer.dispose();
    this.#pending.delete(path);
  }

  /** True when `tell` was held back: it is called later, unless the save comes. */
  hold(path: string, tell: () => void): boolean {
    const pending = this.#pending.get(path);
    if (pending === undefined) {
      return false;
    }
    pending.held = tell;
    return true;
  }

  dispose(): void {
    for (const { timer } of this.#pending.values()) {
      timer.dispose();
    }
    this.#pending.clear();
  }
}
