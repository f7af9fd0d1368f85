import type { SessionRef } from './api';
import type { Waiting } from './snapshotWriter';

/** Who waits for a lock or lost a race at this moment, in this process. */
export class WaitingList {
  readonly #waiting = new Map<SessionRef, Waiting>();
  readonly #onDidChange: () => void;

  constructor(onDidChange: () => void) {
    this.#onDidChange = onDidChange;
  }

  /** @param waiting null: it waits no more */
  set(session: SessionRef, waiting: Waiting | null): void {
    if (waiting === null) {
      if (this.#waiting.delete(session)) {
        this.#onDidChange();
      }
    } else {
      this.#waiting.set(session, waiting);
      this.#onDidChange();
    }
  }

  all(): readonly { readonly session: SessionRef; readonly holder: string; readonly what: Waiting['what'] }[] {
    return [...this.#waiting].map(([session, { what, holder }]) => ({ session, what, holder }));
  }
}
