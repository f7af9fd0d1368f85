import { type Disposable, DisposableStore } from '../base/disposable';
import { messageOf } from '../base/errors';
import { Emitter } from '../base/event';
import type { Recovered, SessionRef } from './api';
import type { Host } from './host';

/** What the engine tells those who watch it. A listener that fails is named in the log. */
export class EngineEvents implements Disposable {
  readonly sessionsChanged: Emitter<void>;
  readonly snapshotsChanged: Emitter<SessionRef>;
  readonly waitingChanged: Emitter<void>;
  readonly recovered: Emitter<Recovered>;
  readonly #owned = new DisposableStore();

  constructor(host: Host) {
    const onError = (error: unknown): void => {
      host.log.error(`a listener failed: ${messageOf(error)}`);
    };
    this.sessionsChanged = this.#owned.add(new Emitter<void>(onError));
    this.snapshotsChanged = this.#owned.add(new Emitter<SessionRef>(onError));
    this.waitingChanged = this.#owned.add(new Emitter<void>(onError));
    this.recovered = this.#owned.add(new Emitter<Recovered>(onError));
  }

  dispose(): void {
    this.#owned.dispose();
  }
}
