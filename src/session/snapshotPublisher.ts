import { rm } from 'node:fs/promises';
import type { BulkheadError } from '../base/errors';
import { type ChainPosition, firstInChain, nextInChain } from '../core/chain';
import { writeCommit } from '../core/commitObject';
import type { Oid } from '../core/objectId';
import { claimRef, closedRef, shadowRef } from '../core/refName';
import { formatMessage } from '../core/snapshotMessage';
import { subjectFor } from '../core/subject';
import type { TreeChange } from '../core/treeDiff';
import type { RefMove } from '../git/updateRef';
import type { SkippedPath } from './api';
import type { Claims } from './claims';
import type { Host } from './host';
import type { Newest } from './newestSnapshot';
import { pathChange } from './pathChanges';
import { refLocked, type SnapshotStore } from './snapshotStore';
import type { SnapshotRequest } from './snapshotRequest';

/** A lock file of git's that is older than this belongs to no living transaction of ours, in milliseconds. */
const STALE_REF_LOCK_MS = 60_000;

/** What a snapshot holds and tells. */
export interface Content {
  readonly tree: Oid;
  /** Against the tree of the newest snapshot. */
  readonly changes: readonly TreeChange[];
  readonly skipped: readonly SkippedPath[];
  /** Where HEAD of the work tree stands. */
  readonly head: Oid | null;
}

export type Published =
  | { readonly kind: 'made'; readonly newest: Newest & { readonly oid: Oid } }
  /** Another writer moved the ref first. */
  | { readonly kind: 'lost-race' }
  /** Git's own lock file of the ref is in the way. */
  | { readonly kind: 'ref-locked'; readonly error: BulkheadError };

/** Makes the commits of one session's chain, and moves its shadow ref to each by compare-and-swap. */
export class SnapshotPublisher {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #claims: Claims;
  readonly #session: string;

  constructor(host: Host, store: SnapshotStore, claims: Claims, session: string) {
    this.#host = host;
    this.#store = store;
    this.#claims = claims;
    this.#session = session;
  }

  /**
   * Writes the commit and moves the shadow ref.
   * @param options.holdsLock whether nobody else of us writes this ref now
   */
  async publish(
    newest: Newest,
    { tree, changes, skipped, head }: Content,
    request: SnapshotRequest,
    options: { readonly holdsLock: boolean },
  ): Promise<Published> {
    const session = this.#session;
    const now = Math.floor(this.#host.clock.now());
    const time = Math.floor(now / 1000);
    const { chain, closes } = nextPosition(newest, now);
    const { parent } = newest;
    const startsChain = closes !== null;
    const person = { name: request.agent, email: `${request.agent}@bulkhead.invalid`, time, offset: '+0000' };
    // The first look at the checkout is where its timeline starts.
    const trigger = newest.oid === null && request.trigger === 'reconcile' ? 'start' : request.trigger;
    const subject = trigger === 'start' ? 'Start of this workspace' : subjectFor(trigger, changes.map(pathChange));
    const message = formatMessage(request.subject ?? subject, {
      session,
      trigger,
      agent: request.agent,
      turn: request.turn ?? null,
      head,
      skipped: { count: skipped.length, named: skipped.map(({ path }) => path) },
      chain,
      previous: startsChain ? parent : null,
      reverses: request.reverses ?? null,
    });
    const parents = parent === null || startsChain ? [] : [parent];
    const oid = this.#store.objects.write(
      'commit',
      writeCommit({ tree, parents, author: person, committer: person, message }),
    );
    const moves: RefMove[] = [{ ref: shadowRef(session), from: newest.oid, to: oid }];
    if (request.underClaim === true) {
      // Whoever lost its claim must not go on.
      const claim = this.#claims.ownClaim(session);
      moves.push({ ref: claimRef(session), from: claim, to: claim });
    }
    if (closes !== null) {
      moves.push(await this.#closing(newest, closes, time));
    }
    const result = await this.#store.move(session, moves);
    switch (result.kind) {
      case 'done':
        return { kind: 'made', newest: { oid, parent: oid, damaged: false, own: oid, tree, covered: false, chain } };
      case 'moved':
        return { kind: 'lost-race' };
      case 'locked':
        if (options.holdsLock && result.ref === shadowRef(session) && result.ageMs > STALE_REF_LOCK_MS) {
          // A transaction of ours takes milliseconds, and nobody else of us writes this ref now: a killed git left it.
          this.#host.log.warn(`removing ${result.lockFile}, left ${String(Math.round(result.ageMs / 1000))} s ago`);
          await rm(result.lockFile, { force: true });
        }
        return { kind: 'ref-locked', error: refLocked(result) };
    }
  }

  async #closing({ parent, damaged }: Newest, number: number, time: number): Promise<RefMove> {
    // The snapshot that is left behind may have closed this very chain already.
    const standing = damaged ? await this.#store.ref(closedRef(this.#session, number)) : null;
    return standing === parent
      ? { ref: closedRef(this.#session, number), from: parent, to: parent }
      : { ref: closedRef(this.#session, standing === null ? number : time), from: null, to: parent };
  }
}

/** Where the next snapshot stands, and the number of the chain that it closes, if any. */
function nextPosition(newest: Newest, now: number): { readonly chain: ChainPosition; readonly closes: number | null } {
  const time = Math.floor(now / 1000);
  if (newest.oid === null) {
    return { chain: firstInChain(time), closes: null };
  }
  if (newest.chain === null) {
    // A foreign hand moved the ref to something that we did not write: close it under a number that no chain of ours gets.
    // Milliseconds, because that can happen again in the same second.
    return { chain: { number: now + 1, ordinal: 1, started: time }, closes: now };
  }
  const next = nextInChain(newest.chain, time);
  return { chain: next.chain, closes: next.kind === 'new' ? next.closedNumber : null };
}
