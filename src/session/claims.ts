import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Deadline, wait } from '../base/clock';
import type { Disposable } from '../base/disposable';
import { BulkheadError, messageOf } from '../base/errors';
import {
  CLAIM_CAP_MS,
  describeHolder,
  formatHolder,
  HEARTBEAT_MS,
  type Holder,
  type HolderRecord,
  mayBeTaken,
  parseHolder,
} from '../core/holder';
import type { Oid } from '../core/objectId';
import { claimRef } from '../core/refName';
import { listRefs } from '../git/forEachRef';
import type { RefMove, RefUpdateResult } from '../git/updateRef';
import { forgetHeld, livenessOfHolder, newHolder, rememberHeld } from './holders';
import type { Host } from './host';
import type { LockFolder } from './locks';
import { refLocked, type SnapshotStore } from './snapshotStore';
import { removeStaleRefLock } from './staleRefLock';

const POLL_MS = 50;
const TRIES = 16;

/** A claim as it is found, by whomever it is held. */
export interface FoundClaim {
  readonly session: string;
  readonly oid: Oid;
  readonly record: HolderRecord;
  /** The last sign of life, or null when neither the record nor the ref's file tells. */
  readonly renewed: number | null;
}

/** The claim under which some work runs. */
export interface HeldClaim {
  /** Aborted with the error `claim-lost` as soon as it is known that the claim is not ours any more. */
  readonly signal: AbortSignal;
  /**
   * Looks at the claim itself, for the moment before a step that cannot be taken back.
   * @throws BulkheadError `claim-lost` (kind `busy`)
   */
  check(): Promise<void>;
}

interface Own {
  readonly holder: Holder;
  oid: Oid;
  readonly lost: AbortController;
  heartbeat: Disposable | undefined;
  /** A renewal that is under way. */
  renewal: Promise<void>;
}

/**
 * Who restores, applies or deletes a work tree: a holder record under a ref, created only where none is, and taken over by
 * compare-and-swap by the rule of `mayBeTaken`. While it stands, nobody else publishes a snapshot of that work tree: whoever
 * looked for it too early loses the race against the first snapshot that is made under it.
 */
export class Claims {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #locks: LockFolder;
  readonly #own = new Map<string, Own>();
  /** When this process first saw a claim whose age nothing tells. */
  readonly #firstSeen = new Map<Oid, number>();
  readonly #warned = new Set<string>();

  constructor(host: Host, store: SnapshotStore, locks: LockFolder) {
    this.#host = host;
    this.#store = store;
    this.#locks = locks;
  }

  /** The claim that this process holds on a session, to be checked by its own snapshots. */
  ownClaim(session: string): Oid | null {
    return this.#own.get(session)?.oid ?? null;
  }

  /**
   * Runs `work` under the claim of a session. It is told when the claim is lost: taken over by others, or held for so long
   * that others may take it.
   * @throws BulkheadError `claimed` (kind `busy`) with the holder when somebody else has it, `ref-locked`
   */
  async hold<T>(session: string, purpose: string, agent: string, work: (claim: HeldClaim) => Promise<T>): Promise<T> {
    const own = await this.#take(session, await newHolder(this.#host, purpose, agent));
    this.#arm(session, own);
    try {
      return await work({ signal: own.lost.signal, check: () => this.#check(session, own) });
    } finally {
      own.heartbeat?.dispose();
      // A renewal under way would put the claim back after its release.
      await own.renewal;
      own.heartbeat?.dispose();
      await this.#release(session, own);
    }
  }

  /** The claim that stands on a session now; undefined when there is none. */
  async find(session: string): Promise<FoundClaim | undefined> {
    const object = await this.#store.tip(claimRef(session));
    if (object === undefined) {
      return undefined;
    }
    const record = parseHolder(object.body.toString('utf8'));
    const renewed = record.kind === 'ok' ? record.holder.time : await this.#refTime(session);
    return { session, oid: object.oid, record, renewed };
  }

  /** Every claim of the store. */
  async list(): Promise<readonly FoundClaim[]> {
    const folder = claimRef('workspace').slice(0, -'/workspace'.length);
    const refs = await listRefs(this.#host.git, this.#store.gitDir, [folder]);
    const found = await Promise.all(
      [...refs.keys()]
        .map((ref) => ref.slice(folder.length + 1))
        .filter((session) => !session.includes('/'))
        .map((session) => this.find(session)),
    );
    return found.filter((claim) => claim !== undefined);
  }

  /**
   * Waits until a claim of somebody else is gone; one that may be taken over is taken away.
   * @param options.leavesOver a claim that may be taken over is left where it stands: it keeps others out until what was begun
   * under it is finished
   * @throws BulkheadError `claimed` when it stands for longer than `waitMs`
   */
  async waitUntilFree(
    session: string,
    options: {
      readonly waitMs: number;
      readonly leavesOver: boolean;
      readonly onWait: (holder: string) => void;
    },
  ): Promise<void> {
    const { waitMs, leavesOver, onWait } = options;
    const deadline = new Deadline(this.#host.clock, waitMs);
    for (let told = false; ; told = true) {
      const standing = await this.find(session);
      if (standing === undefined) {
        return;
      }
      if (await this.#isOver(standing)) {
        if (leavesOver) {
          return;
        }
        const taken = await this.#move(session, { ref: claimRef(session), from: standing.oid, to: null });
        if (taken.kind !== 'locked') {
          continue;
        }
      }
      if (!told) {
        onWait(this.#describe(standing));
      }
      if (deadline.isOver) {
        throw this.#claimed(session, standing);
      }
      await wait(this.#host.clock, POLL_MS);
    }
  }

  async #take(session: string, holder: Holder): Promise<Own> {
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
    const oid = this.#write(holder);
    // Before the ref moves: whoever sees the claim must find it held.
    rememberHeld(holder);
    try {
      for (let attempt = 1; ; attempt++) {
        const standing = await this.find(session);
        if (standing !== undefined && !(await this.#isOver(standing))) {
          throw this.#claimed(session, standing);
        }
        const result = await this.#move(session, { ref: claimRef(session), from: standing?.oid ?? null, to: oid });
        if (result.kind === 'done') {
          if (standing !== undefined) {
            this.#host.log.info(`the claim on ${session} is taken over from ${this.#describe(standing)}`);
          }
          const own: Own = {
            holder,
            oid,
            lost: new AbortController(),
            heartbeat: undefined,
            renewal: Promise.resolve(),
          };
          this.#own.set(session, own);
          return own;
        }
        if (attempt >= TRIES) {
          throw result.kind === 'locked' ? refLocked(result) : this.#claimed(session, standing);
        }
        await wait(this.#host.clock, this.#host.random.fraction() * 10);
      }
    } catch (error) {
      forgetHeld(holder);
      throw error;
    }
  }

  async #isOver({ oid, record, renewed }: FoundClaim): Promise<boolean> {
    const now = this.#host.clock.now();
    let seen = renewed;
    if (seen === null) {
      seen = this.#firstSeen.get(oid) ?? now;
      this.#firstSeen.set(oid, seen);
    }
    return mayBeTaken({
      liveness: await livenessOfHolder(record),
      since: record.kind === 'ok' ? record.holder.since : null,
      renewed: seen,
      now,
      capMs: CLAIM_CAP_MS,
    });
  }

  #arm(session: string, own: Own): void {
    const left = own.holder.since + CLAIM_CAP_MS - this.#host.clock.now();
    own.heartbeat = this.#host.clock.schedule(
      Math.max(0, Math.min(HEARTBEAT_MS, left)),
      () => {
        own.renewal = this.#beat(session, own);
      },
      { background: true },
    );
  }

  async #beat(session: string, own: Own): Promise<void> {
    const now = this.#host.clock.now();
    if (now - own.holder.since >= CLAIM_CAP_MS) {
      this.#lose(session, own, 'it has been held for longer than is allowed');
      return;
    }
    try {
      // By compare-and-swap: however long this process slept, it succeeds only while nobody has taken the claim over.
      const oid = this.#write({ ...own.holder, time: now });
      const result = await this.#move(session, { ref: claimRef(session), from: own.oid, to: oid });
      if (result.kind === 'moved') {
        this.#lose(session, own, 'somebody else took it over');
        return;
      }
      if (result.kind === 'done') {
        own.oid = oid;
      }
    } catch (error) {
      // One sign of life less; the next one is tried in its time.
      this.#host.log.warn(`the claim on ${session} was not renewed: ${messageOf(error)}`);
    }
    this.#arm(session, own);
  }

  async #check(session: string, own: Own): Promise<void> {
    await own.renewal;
    if (!own.lost.signal.aborted && (await this.#store.ref(claimRef(session))) !== own.oid) {
      this.#lose(session, own, 'somebody else took it over');
    }
    own.lost.signal.throwIfAborted();
  }

  #lose(session: string, own: Own, reason: string): void {
    if (own.lost.signal.aborted) {
      return;
    }
    this.#host.log.warn(`the claim on ${session} is lost: ${reason}`);
    own.lost.abort(
      new BulkheadError(
        'busy',
        'claim-lost',
        `The ${own.holder.purpose} of ${session} lost its claim: ${reason}. What was done until then is kept; look at the session, then try again.`,
        { data: { session, purpose: own.holder.purpose } },
      ),
    );
  }

  /** Removes the claim if it is ours; what others took over stays theirs. */
  async #release(session: string, own: Own): Promise<void> {
    try {
      for (let attempt = 1; ; attempt++) {
        const result = await this.#move(session, { ref: claimRef(session), from: own.oid, to: null });
        if (result.kind === 'done') {
          return;
        }
        if (result.kind === 'moved' || attempt >= TRIES) {
          const why = result.kind === 'moved' ? 'it was not ours any more' : `${result.lockFile} is in the way`;
          this.#host.log.warn(`the claim on ${session} was not released: ${why}`);
          return;
        }
        // A lock file in the way (a `git pack-refs` of somebody's) goes away; a claim that stays would stop every save.
        await wait(this.#host.clock, POLL_MS);
      }
    } catch (error) {
      // The work is done; what is left behind is proven to be held by nobody, and taken over by the next one.
      this.#host.log.warn(`the claim on ${session} was not released: ${messageOf(error)}`);
    } finally {
      this.#own.delete(session);
      forgetHeld(own.holder);
    }
  }

  #write(holder: Holder): Oid {
    return this.#store.objects.write('blob', Buffer.from(formatHolder(holder)));
  }

  /** Moves the ref of a claim; a lock file that a killed git left on it is removed. */
  async #move(session: string, move: RefMove): Promise<RefUpdateResult> {
    const result = await this.#store.move(session, [move]);
    return result.kind === 'locked' && (await removeStaleRefLock(this.#host, this.#locks, `${session}.claim`, result))
      ? this.#store.move(session, [move])
      : result;
  }

  /** When the ref was last written; null when git keeps it elsewhere than in a file of its own. */
  async #refTime(session: string): Promise<number | null> {
    try {
      return (await stat(join(this.#store.gitDir, claimRef(session)))).mtimeMs;
    } catch {
      // Packed, or another kind of ref store: then we count from when we saw it first.
      return null;
    }
  }

  #describe({ session, record }: FoundClaim): string {
    switch (record.kind) {
      case 'ok':
        return describeHolder(record.holder, this.#host.clock.now());
      case 'newer':
        if (!this.#warned.has(session)) {
          this.#warned.add(session);
          this.#host.log.warn(
            `the claim on ${session} was made by a newer version of Bulkhead and is respected. Update Bulkhead in this window, too`,
          );
        }
        return 'a newer version of Bulkhead';
      case 'unreadable':
        return 'somebody whose record cannot be read';
    }
  }

  /** @param standing undefined when it was gone again each time that it was looked at */
  #claimed(session: string, standing: FoundClaim | undefined): BulkheadError {
    const advice =
      standing?.record.kind === 'newer' ? 'Update Bulkhead here, then try again.' : 'Try again when it is done.';
    return new BulkheadError(
      'busy',
      'claimed',
      `Held by ${standing === undefined ? 'others in turn' : this.#describe(standing)}. Nothing was changed. ${advice}`,
      {
        data: { session, holder: standing?.record.kind === 'ok' ? standing.record.holder : null },
      },
    );
  }
}
