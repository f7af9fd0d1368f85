import { type Clock, systemClock } from '../../src/base/clock';
import { type Disposable, toDisposable } from '../../src/base/disposable';

/** The time of this machine at the start, moved only by a test. As on a real machine, timers do not go by the time of day. */
export class ShiftedClock implements Clock {
  #now = Date.now();
  #awake = 0;
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>();

  now(): number {
    return this.#now;
  }

  schedule(ms: number, callback: () => void): Disposable {
    const timer = { at: this.#awake + ms, callback };
    this.#timers.add(timer);
    return toDisposable(() => this.#timers.delete(timer));
  }

  /** The machine sleeps: the time of day goes on, and no timer does. Negative: the clock is set back. */
  sleep(ms: number): void {
    this.#now += ms;
  }

  /** Time passes while the machine runs: every timer in its turn. */
  pass(ms: number): void {
    const until = this.#awake + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      this.#advance((next?.at ?? until) - this.#awake);
      if (next === undefined) {
        return;
      }
      this.#timers.delete(next);
      next.callback();
    }
  }

  #advance(ms: number): void {
    this.#awake += ms;
    this.#now += ms;
  }
}

/** This machine's clock, so much later; timers run as ever. */
export function later(ms: number): Clock {
  return { ...systemClock, now: () => systemClock.now() + ms };
}

/** What is waited for before one looks again is shorter, and what has a limit because it really takes its time has a longer one. */
const LONGEST_PAUSE_MS = 100;

/**
 * This machine's clock, but each pause is over at once, and a second later it is then, as where a machine is so busy that
 * pauses last too long: who looks again and again for ten seconds has done so after ten looks. Limits are as ever.
 */
export function withQuickPauses(): Clock {
  let skipped = 0;
  return {
    now: () => systemClock.now() + skipped,
    schedule(ms, callback, options) {
      return ms > LONGEST_PAUSE_MS || options?.background === true
        ? systemClock.schedule(ms, callback, options)
        : systemClock.schedule(0, () => {
            skipped += 1000;
            callback();
          });
    },
  };
}
