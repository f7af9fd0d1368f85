import { type Disposable, toDisposable } from './disposable';

/** Time as a parameter, so that tests can move it. */
export interface Clock {
  /** Milliseconds since 1970-01-01 UTC. */
  now(): number;
  /** Runs `callback` once after `ms` milliseconds unless disposed before. A background timer does not keep the process alive. */
  schedule(ms: number, callback: () => void, options?: { readonly background?: boolean }): Disposable;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  schedule(ms, callback, options) {
    const timer = setTimeout(callback, ms);
    if (options?.background === true) {
      timer.unref();
    }
    return toDisposable(() => {
      clearTimeout(timer);
    });
  },
};

/** The end of a wait that a clock which is set back cannot put off: it is never further away than it was at the start. */
export class Deadline {
  readonly #clock: Clock;
  readonly #ms: number;
  #end: number;

  /** @param ms from now */
  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
    this.#end = clock.now() + ms;
  }

  get isOver(): boolean {
    const now = this.#clock.now();
    this.#end = Math.min(this.#end, now + this.#ms);
    return now >= this.#end;
  }
}

export function wait(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.schedule(ms, resolve);
  });
}
