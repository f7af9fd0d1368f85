import { BulkheadError, messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import { claimRef } from '../core/refName';
import type { SessionRecord } from '../core/sessionRecord';
import { CancelledError } from '../git/gitError';
import type { ResetOptions, Session, SessionRef } from './api';
import type { Claims } from './claims';
import type { Host } from './host';
import { readable, type Records } from './records';
import { describeLoss, type RemovalService } from './removalService';
import type { SessionCatalog } from './sessionCatalog';
import type { Publication, SessionMaker } from './sessionMaker';
import type { SessionTrash } from './sessionTrash';
import type { Sites } from './sites';
import type { SnapshotSummaries } from './snapshotSummaries';
import type { Waiting } from './snapshotWriter';
import type { StartPoints } from './startPoints';

const PURPOSE = 'reset';
/** Making a clone of a large repository takes its time; whoever waits for somebody else's may leave at any moment. */
const RIVAL_WAIT_MS = 300_000;
/** How often a waiting one looks whether it was told to leave, or whether the successor is there already. */
const LOOK_MS = 250;
const SUPERSEDED = 'session-superseded';

export interface Successor {
  readonly id: string;
  /** False: somebody else had made it. */
  readonly made: boolean;
  /** The newest snapshot of the session that was replaced. */
  readonly snapshot: Oid | null;
}

/**
 * Replaces a session by a fresh one at the same base. Exactly one successor is made, however many ask and whenever: the
 * field `successor` of the old record is set by compare-and-swap in the transaction that makes the new session known, and
 * whoever finds it set adopts that one.
 */
export class ResetService {
  readonly #host: Host;
  readonly #records: Records;
  readonly #claims: Claims;
  readonly #catalog: SessionCatalog;
  readonly #summaries: SnapshotSummaries;
  readonly #maker: SessionMaker;
  readonly #trash: SessionTrash;
  readonly #sites: Sites;
  readonly #starts: StartPoints;
  readonly #removals: RemovalService;
  readonly #onWaiting: (session: SessionRef, waiting: Waiting | null) => void;

  constructor(options: {
    readonly host: Host;
    readonly records: Records;
    readonly claims: Claims;
    readonly catalog: SessionCatalog;
    readonly summaries: SnapshotSummaries;
    readonly maker: SessionMaker;
    readonly trash: SessionTrash;
    readonly sites: Sites;
    readonly starts: StartPoints;
    readonly removals: RemovalService;
    readonly onWaiting: (session: SessionRef, waiting: Waiting | null) => void;
  }) {
    this.#host = options.host;
    this.#records = options.records;
    this.#claims = options.claims;
    this.#catalog = options.catalog;
    this.#summaries = options.summaries;
    this.#maker = options.maker;
    this.#trash = options.trash;
    this.#sites = options.sites;
    this.#starts = options.starts;
    this.#removals = options.removals;
    this.#onWaiting = options.onWaiting;
  }

  /**
   * @throws BulkheadError `would-lose` (kind `refused`) with the preflight, unless forced; `claimed` when somebody restores,
   * applies or deletes, or another reset takes too long; `session-trashed`, `session-not-found`, and what following the
   * successors can throw: `successor-deleted`, `successor-damaged`, `record-damaged`, `record-newer`
   */
  async reset(ref: SessionRef, options: ResetOptions): Promise<Successor> {
    const deadline = this.#host.clock.now() + RIVAL_WAIT_MS;
    for (;;) {
      abortIfAsked(options.signal);
      const { record } = await this.#read(ref);
      if (record.successor !== null) {
        return this.#adopt(record);
      }
      if (record.state === 'trashed') {
        throw new BulkheadError(
          'notFound',
          'session-trashed',
          `"${record.name}" was deleted, so there is nothing to reset. Start a new session instead.`,
          { data: { session: ref } },
        );
      }
      const made = await this.#tryToReplace(ref, options);
      if (made !== undefined) {
        return made;
      }
      await this.#waitForRival(ref, deadline, options.signal);
    }
  }

  /** @returns the session that stands in the place of a replaced one now; null when it was not replaced, or the successor is gone */
  async successorOf(ref: SessionRef): Promise<string | null> {
    const stored = await this.#records.read(ref);
    if (stored?.parsed.kind !== 'ok' || stored.parsed.record.successor === null) {
      return null;
    }
    const end = await this.#endOfChain(stored.parsed.record);
    return end.state === 'trashed' ? null : end.id;
  }

  async #read(ref: SessionRef): Promise<{ readonly oid: Oid; readonly record: SessionRecord }> {
    const stored = await this.#records.existing(ref);
    return { oid: stored.oid, record: readable(ref, stored) };
  }

  async #adopt(old: SessionRecord): Promise<Successor> {
    const end = await this.#endOfChain(old);
    if (end.state === 'trashed') {
      throw new BulkheadError(
        'notFound',
        'successor-deleted',
        `"${old.name}" was reset before, and the session that took its place was deleted. Nothing was made; start a new session instead.`,
        { data: { session: old.id, successor: end.id } },
      );
    }
    await this.#finishTrash(old);
    await this.#sites.drop(old.id);
    const { newest } = await this.#summaries.of(old.id);
    return { id: end.id, made: false, snapshot: newest };
  }

  /** @throws BulkheadError `successor-damaged`, `record-damaged`, `record-newer` */
  async #endOfChain(from: SessionRecord): Promise<SessionRecord> {
    const seen = new Set<string>();
    let record = from;
    while (record.successor !== null) {
      seen.add(record.id);
      const stored = seen.has(record.successor) ? undefined : await this.#records.read(record.successor);
      if (stored === undefined) {
        throw new BulkheadError(
          'damaged',
          'successor-damaged',
          `The records say that session ${record.id} was replaced by ${record.successor}, ${seen.has(record.successor) ? 'and that one by the first again' : 'and that one is not there'}. Nothing was made or changed; the snapshots of all of them are safe.`,
          { data: { session: record.id, successor: record.successor } },
        );
      }
      record = readable(record.successor, stored);
    }
    return record;
  }

  /** @returns undefined when somebody else resets it, or has done so */
  async #tryToReplace(ref: SessionRef, options: ResetOptions): Promise<Successor | undefined> {
    try {
      return await this.#claims.hold(ref, PURPOSE, options.agent ?? 'user', () => this.#replace(ref, options));
    } catch (error) {
      if (isCode(error, SUPERSEDED)) {
        return undefined;
      }
      if (!isCode(error, 'claimed')) {
        throw error;
      }
      const standing = await this.#claims.find(ref);
      if (standing !== undefined && !(standing.record.kind === 'ok' && standing.record.holder.purpose === PURPOSE)) {
        throw error;
      }
      return undefined;
    }
  }

  /** Waits until the reset of somebody else has ended, one way or the other. */
  async #waitForRival(ref: SessionRef, deadline: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      for (;;) {
        abortIfAsked(signal);
        if ((await this.#read(ref)).record.successor !== null) {
          return;
        }
        try {
          await this.#claims.waitUntilFree(ref, {
            waitMs: LOOK_MS,
            leavesOver: true,
            onWait: (holder) => {
              this.#onWaiting(ref, { what: 'claim', holder });
            },
          });
          return;
        } catch (error) {
          if (!isCode(error, 'claimed') || this.#host.clock.now() >= deadline) {
            throw error;
          }
        }
      }
    } finally {
      this.#onWaiting(ref, null);
    }
  }

  /** Under the claim: the new clone aside, then the last look at the old one, then one transaction, and the old folder last. */
  async #replace(
    ref: SessionRef,
    { force, agent = 'user', onProgress, signal }: ResetOptions,
  ): Promise<Successor | undefined> {
    const { record: old } = await this.#read(ref);
    const session = await this.#catalog.get(ref);
    if (old.successor !== null || old.state === 'trashed' || session === undefined) {
      return undefined;
    }
    if (!force) {
      await this.#requireConsent(session);
    }
    const start = { ...old.base, label: old.from };
    let final: Oid | null | undefined;
    let retired = old;
    const complete = async (made: SessionRecord): Promise<Publication> => {
      abortIfAsked(signal);
      if (final === undefined) {
        onProgress?.('Making the final snapshot', null);
        final = session.state === 'ready' ? await this.#removals.finalSnapshot(old) : session.newest;
      }
      const { oid, record } = await this.#read(ref);
      if (record.successor !== null || record.state === 'trashed') {
        throw new BulkheadError('busy', SUPERSEDED, `"${record.name}" was replaced or deleted meanwhile.`);
      }
      retired = { ...record, state: 'trashed', trashed: this.#trash.nameFor(ref), successor: made.id };
      const claim = this.#claims.ownClaim(ref);
      return {
        // She may have renamed it since.
        record: { ...made, name: record.name },
        also: [this.#records.prepare(retired, oid), { ref: claimRef(ref), from: claim, to: claim }],
      };
    };
    const made = await this.#maker.create({
      name: old.name,
      start,
      agent,
      fill: (clone) => this.#starts.fill(start, clone, { onProgress, signal }),
      complete,
      onProgress,
      signal,
    });
    await this.#finishTrash(retired);
    await this.#sites.drop(ref);
    return { id: made.id, made: true, snapshot: final ?? null };
  }

  /** Uncheckpointed work is no reason to ask: the final snapshot holds it. Nor is the last session: another one takes its place. */
  async #requireConsent(session: Session): Promise<void> {
    const found = await this.#removals.preflight(session);
    if (found.unpushedCommits === 0 && found.unapplied === 0 && found.doubt === null) {
      return;
    }
    const preflight = { ...found, uncheckpointed: false, last: false };
    throw new BulkheadError(
      'refused',
      'would-lose',
      `${describeLoss(session, preflight)} Nothing was reset; use --force to reset it all the same. Its snapshots are kept either way.`,
      { data: { preflight } },
    );
  }

  /** The new session stands by now: a folder that cannot be moved is a nuisance, and whoever resets later tries again. */
  async #finishTrash(retired: SessionRecord): Promise<void> {
    try {
      await this.#trash.takeFolder(retired);
    } catch (error) {
      this.#host.log.warn(`the clone of ${retired.id}, which was reset, is not in the trash yet: ${messageOf(error)}`);
    }
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof BulkheadError && error.code === code;
}

function abortIfAsked(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new CancelledError();
  }
}
