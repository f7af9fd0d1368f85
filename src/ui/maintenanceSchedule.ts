import type { Clock } from '../base/clock';
import { DisposableStore, type Disposable } from '../base/disposable';
import { BulkheadError, messageOf } from '../base/errors';
import type { Event } from '../base/event';
import type { Log } from '../base/log';
import type { MaintenanceResult } from '../session/api';

/** Looking whether something is due costs a few folder listings. */
const LOOK_EVERY_MS = 10 * 60_000;
/** Without a snapshot for so long nobody is at work here. */
const QUIET_MS = 5 * 60_000;

/** A store as far as maintenance is concerned. */
export interface TidiedStore {
  readonly onDidChangeSnapshots: Event<unknown>;
  maintenanceIsDue(): Promise<boolean>;
  maintain(): Promise<MaintenanceResult>;
}

/** Has the stores of this window tidied up while nobody works in it. */
export class MaintenanceSchedule implements Disposable {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #mayWrite: () => boolean;
  #stores: readonly TidiedStore[] = [];
  #listening = new DisposableStore();
  #timer: Disposable | undefined;
  #lastSnapshot: number;
  #looking: Promise<void> = Promise.resolve();
  #disposed = false;

  constructor(options: { readonly clock: Clock; readonly log: Log; readonly mayWrite: () => boolean }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#mayWrite = options.mayWrite;
    this.#lastSnapshot = options.clock.now();
    this.#next();
  }

  /** The stores of the window are these from now on. A run that is under way in another one ends with that store. */
  follow(stores: readonly TidiedStore[]): void {
    this.#listening.dispose();
    this.#listening = new DisposableStore();
    this.#stores = this.#disposed ? [] : stores;
    for (const store of this.#stores) {
      this.#listening.add(
        store.onDidChangeSnapshots(() => {
          this.#lastSnapshot = this.#clock.now();
        }),
      );
    }
  }

  /** Resolves when nothing that was begun is under way. */
  settled(): Promise<void> {
    return this.#looking;
  }

  #next(): void {
    if (!this.#disposed) {
      this.#timer = this.#clock.schedule(
        LOOK_EVERY_MS,
        () => {
          this.#looking = this.#look();
          void this.#looking.then(() => {
            this.#next();
          });
        },
        { background: true },
      );
    }
  }

  async #look(): Promise<void> {
    for (const store of this.#stores) {
      if (!this.#mayWrite() || this.#clock.now() - this.#lastSnapshot < QUIET_MS) {
        return;
      }
      try {
        if (await store.maintenanceIsDue()) {
          const { skipped } = await store.maintain();
          for (const { step, reason } of skipped) {
            this.#log.warn(`Maintenance left out: ${step}. ${reason}`);
          }
        }
      } catch (error) {
        const isOrdinary = error instanceof BulkheadError && (error.kind === 'busy' || error.code === 'cancelled');
        // Another window does it, or this one is being closed; anything else is tried again in a while.
        this.#log[isOrdinary ? 'debug' : 'warn'](`The snapshot store was not tidied up: ${messageOf(error)}`);
      }
    }
  }

  dispose(): void {
    this.#disposed = true;
    this.#timer?.dispose();
    this.#listening.dispose();
    this.#stores = [];
  }
}
