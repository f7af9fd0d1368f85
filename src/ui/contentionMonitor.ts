import type { Clock } from '../base/clock';
import type { Disposable } from '../base/disposable';
import { Emitter, type Event } from '../base/event';
import type { ContendedPath } from '../session/api';

const COALESCE_MS = 120;

/** What the monitor asks of the engine. */
export interface ContentionSource {
  contention(mode: 'newest'): Promise<readonly ContendedPath[]>;
}

/**
 * Keeps the list of contended paths current. Questions are put at most once per burst of snapshots; they may overlap,
 * and an answer is dropped when the answer to a later question has come before it.
 */
export class ContentionMonitor implements Disposable {
  readonly #source: ContentionSource;
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;
  readonly #changed: Emitter<void>;
  #timer: Disposable | undefined;
  #asked = 0;
  #answered = 0;
  #paths: readonly ContendedPath[] = [];
  #disposed = false;

  constructor(options: {
    readonly source: ContentionSource;
    readonly clock: Clock;
    readonly onError: (error: unknown) => void;
  }) {
    this.#source = options.source;
    this.#clock = options.clock;
    this.#onError = options.onError;
    this.#changed = new Emitter(options.onError);
  }

  get onDidChange(): Event<void> {
    return this.#changed.event;
  }

  get paths(): readonly ContendedPath[] {
    return this.#paths;
  }

  /** Something that matters to the answer has changed. */
  touch(): void {
    if (this.#disposed || this.#timer !== undefined) {
      return;
    }
    this.#timer = this.#clock.schedule(COALESCE_MS, () => {
      this.#timer = undefined;
      void this.#ask();
    });
  }

  dispose(): void {
    this.#disposed = true;
    this.#timer?.dispose();
    this.#changed.dispose();
  }

  async #ask(): Promise<void> {
    const question = ++this.#asked;
    try {
      const paths = await this.#source.contention('newest');
      if (this.#disposed || question < this.#answered) {
        return;
      }
      this.#answered = question;
      const before = JSON.stringify(this.#paths);
      this.#paths = paths;
      if (before !== JSON.stringify(paths)) {
        this.#changed.fire();
      }
    } catch (error) {
      // The last known list stays: an error must not look like "all is well".
      if (!this.#disposed) {
        this.#onError(error);
      }
    }
  }
}
