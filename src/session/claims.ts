import { wait } from '../base/clock';
import type { Disposable } from '../base/disposable';
import { BulkheadError, messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import { claimRef } from '../core/refName';
import type { Host } from './host';
import { LOCK_TTL_MS, newHolder } from './locks';
import { describeHolder, type Holder, isProvenDead, parseHolder } from './processIdentity';
import { refLocked, type SnapshotStore } from './snapshotStore';

const HEARTBEAT_MS = 60_000;
const POLL_MS = 50;
const TRIES = 16;

interface Standing {
  readonly oid: Oid;
  /** Undefined: written by a newer version, or damaged. */
  readonly holder: Holder | undefined;
}

/**
 * Who restores, applies or deletes a work tree: a holder record under a ref, created only where none is, taken over by
 * compare-and-swap and on proof of death only. While it stands, a snapshot by anybody else is refused by the very
 * transaction that would publish it.
 */
export class Claims {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #own = new Map<string, Oid>();
  readonly #renewals = new Map<string, Promise<void>>();

  constructor(host: Host, store: SnapshotStore) {
    this.#host = host;
    this.#store = store;
  }

  /** The claim that this process holds on a session, to be checked by its own snapshots. */
  ownClaim(session: string): Oid | null {
    return this.#own.get(session) ?? null;
  }

  /**
   * Runs `work` under the claim of a session.
   * @throws BulkheadError `claimed` (kind `busy`) with the holder when somebody else has it
   */
  async hold<T>(session: string, purpose: string, agent: string, work: () => Promise<T>): Promise<T> {
    await this.#take(session, await newHolder(this.#host, purpose, agent));
    let heartbeat: Disposable | undefined;
    const beat = (): void => {
      heartbeat = this.#host.clock.schedule(
        HEARTBEAT_MS,
        () => {
          const renewal = this.#renew(session, purpose, agent).then(beat, (error: unknown) => {
            this.#host.log.warn(`the claim on ${session} was not renewed: ${messageOf(error)}`);
          });
          this.#renewals.set(session, renewal);
        },
        { background: true },
      );
    };
    beat();
    try {
      return await work();
    } finally {
      // A renewal under way would put the claim back after its release.
      await this.#renewals.get(session);
      this.#renewals.delete(session);
      heartbeat?.dispose();
      await this.#release(session).catch((error: unknown) => {
        this.#host.log.warn(`the claim on ${session} was not released: ${messageOf(error)}`);
      });
    }
  }

  /** Who holds a claim now; undefined when nobody does. */
  async holder(session: string): Promise<Standing | undefined> {
    const object = await this.#store.reader.read(claimRef(session));
    return object === undefined ? undefined : { oid: object.oid, holder: parseHolder(object.body.toString('utf8')) };
  }

  /**
   * Waits until a claim of somebody else is gone; one of a proven dead holder is taken away.
   * @throws BulkheadError `claimed` when it stands for longer than `waitMs`
   */
  async waitUntilFree(session: string, waitMs: number, onWait: (holder: string) => void): Promise<void> {
    const deadline = this.#host.clock.now() + waitMs;
    for (let told = false; ; told = true) {
      const standing = await this.holder(session);
      if (standing === undefined) {
        return;
      }
      if (await this.#isOver(standing)) {
        const taken = await this.#store.move(`claim ${session}`, [
          { ref: claimRef(session), from: standing.oid, to: null },
        ]);
        if (taken.kind !== 'locked') {
          continue;
        }
      }
      if (!told) {
        onWait(this.#describe(standing));
      }
      if (this.#host.clock.now() >= deadline) {
        throw this.#claimed(session, standing);
      }
      await wait(this.#host.clock, POLL_MS);
    }
  }

  async #take(session: string, holder: Holder): Promise<void> {
    if (this.#own.has(session)) {
      throw new BulkheadError(
        'busy',
        'claimed',
        `Another operation on ${session} is under way in this window. Wait for it, then try again.`,
        {
          data: { session },
        },
      );
    }
    const oid = this.#store.objects.write('blob', Buffer.from(JSON.stringify(holder)));
    for (let attempt = 1; ; attempt++) {
      const standing = await this.holder(session);
      if (standing !== undefined && !(await this.#isOver(standing))) {
        throw this.#claimed(session, standing);
      }
      const result = await this.#store.move(`claim ${session}`, [
        { ref: claimRef(session), from: standing?.oid ?? null, to: oid },
      ]);
      if (result.kind === 'done') {
        this.#own.set(session, oid);
        return;
      }
      if (attempt >= TRIES) {
        throw result.kind === 'locked'
          ? refLocked(result)
          : this.#claimed(session, standing ?? { oid, holder: undefined });
      }
      await wait(this.#host.clock, this.#host.random.fraction() * 10);
    }
  }

  /** Proven dead, or on another host and silent for longer than the time to live. A record of a newer version is respected. */
  async #isOver({ holder }: Standing): Promise<boolean> {
    if (holder === undefined) {
      return false;
    }
    return (await isProvenDead(holder)) || this.#host.clock.now() - holder.time > LOCK_TTL_MS;
  }

  async #renew(session: string, purpose: string, agent: string): Promise<void> {
    const before = this.#own.get(session);
    if (before === undefined) {
      return;
    }
    const oid = this.#store.objects.write(
      'blob',
      Buffer.from(JSON.stringify(await newHolder(this.#host, purpose, agent))),
    );
    const result = await this.#store.move(`claim ${session}`, [{ ref: claimRef(session), from: before, to: oid }]);
    if (result.kind === 'done') {
      this.#own.set(session, oid);
    }
  }

  async #release(session: string): Promise<void> {
    const oid = this.#own.get(session);
    this.#own.delete(session);
    if (oid === undefined) {
      return;
    }
    const result = await this.#store.move(`claim ${session}`, [{ ref: claimRef(session), from: oid, to: null }]);
    if (result.kind !== 'done') {
      this.#host.log.warn(`the claim on ${session} was not ours any more`);
    }
  }

  #describe({ holder }: Standing): string {
    return holder === undefined ? 'a newer version of Bulkhead' : describeHolder(holder, this.#host.clock.now());
  }

  #claimed(session: string, standing: Standing): BulkheadError {
    return new BulkheadError(
      'busy',
      'claimed',
      `Held by ${this.#describe(standing)}. Nothing was changed; try again when it is done.`,
      {
        data: { session, holder: standing.holder ?? null },
      },
    );
  }
}
