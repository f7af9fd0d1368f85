import type { Clock } from '../../../src/base/clock';
import { type Disposable, toDisposable } from '../../../src/base/disposable';

/** Time that moves only when a test says so. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>();

  now(): number {
    return this.#now;
  }

  schedule(ms: number, callback: () => void): Disposable {
    const timer = { at: this.#now + ms, callback };
    this.#timers.add(timer);
    return toDisposable(() => this.#timers.delete(timer));
  }

  advance(ms: number): void {
    const until = this.#now + ms;
    while (true) {
      const next = [...this.#timers].filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = next.at;
      next.callback();
    }
    this.#now = until;
  }
}
