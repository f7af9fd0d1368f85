import { Deferred } from '../base/async';
import type { Clock } from '../base/clock';
import type { Disposable } from '../base/disposable';

/** Work per key, soon after the key was touched: once for a burst, never twice at a time, and again when touched meanwhile. */
export class Coalescer<K> implements Disposable {
  readonly #clock: Clock;
  readonly #delayMs: number;
  readonly #work: (key: K) => Promise<void>;
  readonly #onError: (error: unknown) => void;
  readonly #timers = new Map<K, Disposable>();
  readonly #running = new Map<K, Promise<void>>();
  readonly #again = new Set<K>();
  #disposed = false;

  constructor(options: {
    readonly clock: Clock;
    readonly delayMs: number;
    readonly work: (key: K) => Promise<void>;
    readonly onError: (error: unknown) => void;
  }) {
    this.#clock = options.clock;
    this.#delayMs = options.delayMs;
    this.#work = options.work;
    this.#onError = options.onError;
  }

  touch(key: K): void {
    if (this.#disposed || this.#timers.has(key)) {
      return;
    }
    if (this.#running.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#timers.set(
      key,
      this.#clock.schedule(this.#delayMs, () => {
        this.#timers.delete(key);
        this.#start(key);
      }),
    );
  }

  /** Resolves when no work is under way; what only waits for its delay is not waited for. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) {
      await Promise.all(this.#running.values());
    }
  }

  dispose(): void {
    this.#disposed = true;
    for (const timer of this.#timers.values()) {
      timer.dispose();
    }
    this.#timers.clear();
    this.#again.clear();
  }

  #start(key: K): void {
    const run = async (): Promise<void> => {
      try {
        await this.#work(key);
      } catch (error) {
        this.#onError(error);
      } finally {
        this.#running.delete(key);
        if (this.#again.delete(key)) {
          this.touch(key);
        }
      }
    };
    // Entered before the work starts: a synchronous step of `work` may touch the key again.
    const ended = new Deferred<void>();
    this.#running.set(key, ended.promise);
    void run().finally(() => {
      ended.resolve();
    });
  }
}
