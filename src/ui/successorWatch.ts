import type { Clock } from '../base/clock';
import { DisposableStore, type Disposable } from '../base/disposable';
import type { Event } from '../base/event';
import { WORKSPACE, type Session, type SessionRef } from '../session/api';
import { Coalescer } from './coalescer';

const DELAY_MS = 60;

/** What the watch asks of the engine. */
export interface SuccessorSource {
  readonly onDidChangeSessions: Event<void>;
  successorOf(ref: SessionRef): Promise<Session | null>;
}

/** Tells when one of the sessions that a window shows was reset, by whomever: once for each successor. */
export class SuccessorWatch implements Disposable {
  readonly #owned = new DisposableStore();

  constructor(options: {
    readonly source: SuccessorSource;
    readonly own: ReadonlySet<SessionRef>;
    readonly clock: Clock;
    readonly onReset: (old: SessionRef, successor: Session) => void;
    readonly onError: (error: unknown) => void;
  }) {
    const { source, clock, onReset, onError } = options;
    const own = [...options.own].filter((ref) => ref !== WORKSPACE);
    if (own.length === 0) {
      return;
    }
    const told = new Map<SessionRef, SessionRef>();
    const looks = this.#owned.add(
      new Coalescer<SessionRef>({
        clock,
        delayMs: DELAY_MS,
        work: async (ref) => {
          const successor = await source.successorOf(ref);
          if (successor !== null && told.get(ref) !== successor.id) {
            told.set(ref, successor.id);
            onReset(ref, successor);
          }
        },
        onError,
      }),
    );
    const look = (): void => {
      for (const ref of own) {
        looks.touch(ref);
      }
    };
    this.#owned.add(source.onDidChangeSessions(look));
    look();
  }

  dispose(): void {
    this.#owned.dispose();
  }
}
