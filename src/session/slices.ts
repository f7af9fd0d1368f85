/** After so many milliseconds of work that waits for nothing, others get their turn. */
const SLICE_MS = 12;

/** Lets timers, answers of other processes and cancellations come through. */
export function othersTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** For a long run of steps that wait for nothing: they would keep everything else in this process waiting to their end. */
export class Slices {
  #start = performance.now();

  /** To be awaited between two steps. */
  async next(): Promise<void> {
    if (performance.now() - this.#start > SLICE_MS) {
      await othersTurn();
      this.#start = performance.now();
    }
  }
}
