import { BulkheadError, type ErrorKind, messageOf } from '../base/errors';
import { parseHolder, SAVE_LOCK_CAP_MS } from '../core/holder';
import type { Intent, RestoreIntent } from '../core/intent';
import { visiblePath } from '../core/repoPath';
import { STORE_CLAIM } from '../core/refName';
import { isSessionRef, WORKSPACE_ID } from '../core/sessionId';
import type { Recovered, SessionRef } from './api';
import type { ApplyService } from './applyService';
import type { Claims, HeldClaim } from './claims';
import { livenessOfHolder, newHolder } from './holders';
import type { Host } from './host';
import type { Journal } from './journal';
import { sweepLeftovers } from './leftovers';
import type { LockFolder } from './locks';
import type { Records } from './records';
import type { RestoreService } from './restoreService';
import type { SessionMaker } from './sessionMaker';
import type { SessionTrash } from './sessionTrash';
import { defaultAgent, type Sites } from './sites';
import type { SnapshotStore } from './snapshotStore';
import type { Storage } from './storage';

/** So many names are told; the log of the operation has all. */
const NAMED = 3;
/** Trying again would fail again: the clone or an object is gone, or something stands in the way. */
const HOPELESS: ReadonlySet<ErrorKind> = new Set(['notFound', 'damaged', 'user']);

/**
 * Finishes or takes back what a killed process left in the middle. Only under the session's claim: a living owner still has
 * it, so a second window never touches what the first is doing.
 */
export class Recovery {
  readonly #host: Host;
  readonly #storage: Storage;
  readonly #store: SnapshotStore;
  readonly #journal: Journal;
  readonly #claims: Claims;
  readonly #locks: LockFolder;
  readonly #sites: Sites;
  readonly #records: Records;
  readonly #maker: SessionMaker;
  readonly #trash: SessionTrash;
  readonly #restores: RestoreService;
  readonly #applies: ApplyService;
  readonly #onRecovered: (recovered: Recovered) => void;
  readonly #running = new Map<SessionRef, Promise<void>>();
  /** Said once per process. */
  readonly #told = new Set<string>();

  constructor(options: {
    readonly host: Host;
    readonly storage: Storage;
    readonly store: SnapshotStore;
    readonly journal: Journal;
    readonly claims: Claims;
    readonly locks: LockFolder;
    readonly sites: Sites;
    readonly records: Records;
    readonly maker: SessionMaker;
    readonly trash: SessionTrash;
    readonly restores: RestoreService;
    readonly applies: ApplyService;
    readonly onRecovered: (recovered: Recovered) => void;
  }) {
    this.#host = options.host;
    this.#storage = options.storage;
    this.#store = options.store;
    this.#journal = options.journal;
    this.#claims = options.claims;
    this.#locks = options.locks;
    this.#sites = options.sites;
    this.#records = options.records;
    this.#maker = options.maker;
    this.#trash = options.trash;
    this.#restores = options.restores;
    this.#applies = options.applies;
    this.#onRecovered = options.onRecovered;
  }

  /** Every operation that was cut off. Never throws: what cannot be finished now is logged, and waits for the next who needs that session. */
  async settleAll(): Promise<void> {
    await this.#quietly('the journal', async () => {
      for (const session of await this.#journal.sessions()) {
        await this.#settleOnce(session);
      }
    });
  }

  /** Deleted sessions whose folder is still in its place, claims of the dead, and what was left half made. Never throws, as `settleAll`. */
  async sweep(): Promise<void> {
    await this.#quietly('deleted sessions', async () => {
      for (const session of await this.#trash.unfinished()) {
        await this.#quietly(session, () =>
          this.#underClaim(session, async () => {
            if ((await this.#trash.finish(session)) === true) {
              const name = await this.#nameOf(session);
              this.#tell(
                session,
                'finished',
                `The folder of ${name}, which was deleted or reset, was still in its place. It is in the trash now; its snapshots are kept.`,
              );
            }
          }),
        );
      }
    });
    await this.#quietly('claims', async () => {
      for (const { session, record } of await this.#claims.list()) {
        const isOurs = isSessionRef(session) || session === STORE_CLAIM;
        if (!isOurs || (await livenessOfHolder(record)) !== 'dead') {
          continue;
        }
        // Taking one over and giving it back is all that a dead holder's claim needs; a living one's is not to be had.
        await this.#quietly(session, () => this.#underClaim(session, () => Promise.resolve()));
      }
    });
    await this.#quietly('locks', async () => {
      await this.#store.sweepLocks();
      await this.#dropLocksOfTheDead();
    });
    await this.#quietly('what was left half made', async () => {
      const pending = new Set(await this.#journal.sessions());
      await sweepLeftovers(this.#host, this.#storage, {
        isBeingMade: (name) => pending.has(name.slice(0, name.indexOf('-'))),
      });
    });
  }

  /** They keep nobody waiting; but who looks at what is locked should not have to read about the dead. */
  async #dropLocksOfTheDead(): Promise<void> {
    for (const { name, record } of await this.#locks.list()) {
      if ((await livenessOfHolder(record)) === 'dead') {
        const holder = await newHolder(this.#host, 'recover', this.#host.product);
        const locked = await this.#locks.acquire(name, { holder, waitMs: 0, capMs: SAVE_LOCK_CAP_MS });
        if (locked.kind === 'held') {
          locked.lock.release();
        }
      }
    }
  }

  /** What is left over of one session; one look at the disk when nothing is. Never throws, as `settleAll`. */
  async settle(session: SessionRef): Promise<void> {
    if (this.#journal.has(session)) {
      await this.#settleOnce(session);
    }
  }

  #settleOnce(session: SessionRef): Promise<void> {
    const running =
      this.#running.get(session) ??
      this.#quietly(session, () => this.#settle(session)).finally(() => {
        this.#running.delete(session);
      });
    this.#running.set(session, running);
    return running;
  }

  async #settle(session: SessionRef): Promise<void> {
    const before = await this.#journal.read(session);
    if (before?.kind === 'newer') {
      this.#warnOnce(
        `${session} newer`,
        `an operation on ${session} was begun by a newer version of Bulkhead (format ${String(before.format)}); it is left alone`,
      );
      return;
    }
    if (before?.kind === 'ok' && (await isAlive(before.holder))) {
      return;
    }
    await this.#underClaim(session, async (claim) => {
      // Read again: whoever had the claim a moment ago may have ended it.
      const found = await this.#journal.read(session);
      switch (found?.kind) {
        case 'newer':
          return;
        case 'damaged': {
          const aside = await this.#journal.setAside(session);
          this.#tell(
            session,
            'left',
            `An operation on ${await this.#nameOf(session)} was cut off, and what it was about to do cannot be read (${found.reason}). The work tree is left as it is; the newest snapshots hold the state before. The file is kept as ${aside}.`,
          );
          return;
        }
        case 'ok':
          await this.#finishOrLeave(session, found.intent, claim);
          break;
        case undefined:
          break;
      }
      await claim.check();
      await this.#journal.clear(session);
    });
  }

  /** Runs `work` when the session's claim can be had; who has it is alive, or is finishing this already. */
  async #underClaim(session: SessionRef, work: (claim: HeldClaim) => Promise<void>): Promise<void> {
    try {
      await this.#claims.hold(session, 'recover', this.#host.product, work);
    } catch (error) {
      if (!(error instanceof BulkheadError && error.code === 'claimed')) {
        throw error;
      }
      this.#host.log.debug(`${session} is not recovered now: ${error.message}`);
    }
  }

  /** What can never be finished (the clone or an object is gone) is told once and not tried again. */
  async #finishOrLeave(session: SessionRef, intent: Intent, claim: HeldClaim): Promise<void> {
    try {
      await this.#finish(session, intent, claim);
    } catch (error) {
      if (!(error instanceof BulkheadError) || !HOPELESS.has(error.kind)) {
        throw error;
      }
      const undo =
        'undo' in intent && intent.undo !== null
          ? ` The state before is in the snapshot ${intent.undo.slice(0, 10)}.`
          : '';
      this.#tell(
        session,
        'left',
        `The operation "${intent.kind}" on ${await this.#nameOf(session)} was cut off and cannot be finished: ${error.message} Its files are left as they are.${undo}`,
      );
    }
  }

  async #finish(session: SessionRef, intent: Intent, claim: HeldClaim): Promise<void> {
    switch (intent.kind) {
      case 'restore':
      case 'undo':
      case 'redo':
        return this.#finishRestore(session, intent, claim);
      case 'create':
        if (!(await this.#maker.finishCreate(session, intent))) {
          this.#tell(
            session,
            'undone',
            'The making of a session was cut off. What there was of it is removed; start it again.',
          );
        }
        return;
      case 'delete':
        return this.#finishRemoval(session);
      case 'apply': {
        const record = await this.#records.recorded(session);
        const { writer, head } = await this.#sites.of(session);
        const isMade = await this.#applies.finish({ record, writer, head }, intent);
        this.#tell(
          session,
          isMade ? 'finished' : 'undone',
          isMade
            ? `Applying "${record.name}" was cut off after its branch ${intent.branch} was made. The rest is done now.`
            : `Applying "${record.name}" was cut off before its branch was made. Nothing was changed in your repository; apply it again.`,
        );
      }
    }
  }

  async #finishRestore(session: SessionRef, intent: RestoreIntent, claim: HeldClaim): Promise<void> {
    const name = await this.#nameOf(session);
    const what = intent.kind === 'restore' ? 'A restore' : intent.kind === 'undo' ? 'An undo' : 'A redo';
    const before =
      intent.undo === null
        ? ''
        : ` The state before is in the snapshot ${intent.undo.slice(0, 10)}; Undo brings it back.`;
    const site = await this.#sites.of(session);
    const done = await this.#restores.finish({ session, defaultAgent: defaultAgent(session), ...site }, intent, claim);
    const kept =
      done.kept.length === 0
        ? ''
        : ` Left as they are, because they were touched since: ${done.kept.slice(0, NAMED).map(visiblePath).join(', ')}${done.kept.length > NAMED ? ` and ${String(done.kept.length - NAMED)} more` : ''}.`;
    this.#tell(session, 'finished', `${what} of ${name} was cut off. It is finished now.${kept}${before}`);
  }

  async #finishRemoval(session: SessionRef): Promise<void> {
    const name = await this.#nameOf(session);
    const isDeleted = await this.#trash.finish(session);
    this.#tell(
      session,
      isDeleted === false ? 'undone' : 'finished',
      isDeleted === false
        ? `Deleting ${name} was cut off before it began. The session is as it was.`
        : `Deleting ${name} was cut off. It is in the trash now; its snapshots are kept.`,
    );
  }

  async #nameOf(session: SessionRef): Promise<string> {
    if (session === WORKSPACE_ID) {
      return 'your checkout';
    }
    const name = await this.#records.recorded(session).then(
      (record) => record.name,
      // Gone or damaged: its id says enough.
      () => session,
    );
    return `"${name}"`;
  }

  #tell(session: SessionRef, outcome: Recovered['outcome'], message: string): void {
    this.#host.log.warn(`${session}: ${message}`);
    this.#onRecovered({ session, outcome, message });
  }

  #warnOnce(key: string, message: string): void {
    if (!this.#told.has(key)) {
      this.#told.add(key);
      this.#host.log.warn(message);
    }
  }

  async #quietly(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#warnOnce(
        `${what}: ${messageOf(error)}`,
        `what was cut off is not finished yet (${what}): ${messageOf(error)}`,
      );
    }
  }
}

/** Certainly another process that lives, or this one in the middle of it. Without proof the claim decides alone. */
async function isAlive(record: unknown): Promise<boolean> {
  return record !== null && (await livenessOfHolder(parseHolder(JSON.stringify(record)))) === 'alive';
}
