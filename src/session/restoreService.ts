import { BulkheadError, messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import type { RestoreIntent } from '../core/intent';
import { baseName, type RepoPath } from '../core/repoPath';
import type { TreeChange } from '../core/treeDiff';
import { undoState } from '../core/undoStack';
import { CancelledError } from '../git/gitError';
import type { CheckpointResult, RestorePlan, RestoreResult } from './api';
import type { Claims, HeldClaim } from './claims';
import type { Host } from './host';
import type { Journal } from './journal';
import {
  type Consent,
  keeping,
  type Prepared,
  RestorePlanner,
  type RestoreSite,
  type Wanted,
  withoutUnsaved,
} from './restorePlanner';
import { RestoreRemainders } from './restoreRemainder';
import type { SnapshotCommit, SnapshotReader } from './snapshotReader';
import type { SnapshotStore } from './snapshotStore';
import { Touches } from './touches';
import { editTree, type PathEdits } from './treeBuilder';
import { Untouched } from './untouched';

/** Between two looks new files may come; somebody who makes them for ever keeps them. */
const SAFETY_TRIES = 3;
const RULE_FILES = new Set(['.gitignore', '.gitattributes']);

export interface RestoreOrder {
  readonly target: Oid;
  readonly paths?: readonly RepoPath[] | undefined;
  readonly consent: Consent;
  readonly agent: string;
  readonly foreign: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A restore that was cut off and is finished now. */
export interface FinishedRestore {
  /** Left as they are: somebody touched them since, or put something in the way. */
  readonly kept: readonly RepoPath[];
}

/** A restore or its undo writes nothing before its plan was agreed to, and never without a safety snapshot. */
export class RestoreService {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #reader: SnapshotReader;
  readonly #claims: Claims;
  readonly #journal: Journal;
  readonly #planner: RestorePlanner;
  readonly #remainders: RestoreRemainders;
  readonly #touches: Touches;

  constructor(host: Host, store: SnapshotStore, reader: SnapshotReader, claims: Claims, journal: Journal) {
    this.#host = host;
    this.#store = store;
    this.#reader = reader;
    this.#claims = claims;
    this.#journal = journal;
    this.#planner = new RestorePlanner(store);
    this.#remainders = new RestoreRemainders(host.clock, store, reader, this.#planner);
    this.#touches = new Touches(store, reader);
  }

  async plan(site: RestoreSite, order: RestoreOrder): Promise<RestorePlan> {
    return (await this.#planner.prepare(site, await this.#restoreTo(site, order), order.consent, order.signal)).plan;
  }

  /**
   * Makes paths of a work tree equal to a snapshot.
   * @throws BulkheadError `needs-consent` with the plan, `foreign-snapshot`; nothing was written then
   */
  async restore(site: RestoreSite, order: RestoreOrder): Promise<RestoreResult> {
    const target = await this.#reader.commit(order.target);
    const subject = target === undefined ? 'Restore' : `Restore to ${target.subject}`;
    return this.#run(site, order, 'restore', subject, undefined, () => this.#restoreTo(site, order));
  }

  /**
   * Takes the newest restore back, or with `redo` the newest undo.
   * @throws BulkheadError `nothing-to-undo`, `nothing-to-redo`, `needs-consent`
   */
  async undo(
    site: RestoreSite,
    order: {
      readonly redo: boolean;
      readonly consent: Consent;
      readonly dryRun: boolean;
      readonly agent: string;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<RestoreResult> {
    const oid = await this.#newestStep(site.session, order.redo);
    const done = oid === null ? undefined : await this.#reader.commit(oid);
    if (done === undefined || done.previous === null) {
      throw new BulkheadError(
        'notFound',
        order.redo ? 'nothing-to-redo' : 'nothing-to-undo',
        order.redo ? 'There is no undone restore to bring back.' : 'No restore was made here that could be undone.',
        { data: { session: site.session } },
      );
    }
    const before = await this.#reader.treeBefore(done);
    const wanted = (): Promise<Wanted> => this.#reverse(site, done, before);
    if (order.dryRun) {
      const { plan } = await this.#planner.prepare(site, await wanted(), order.consent, order.signal);
      return { plan, snapshot: null, undo: null };
    }
    const trigger = order.redo ? 'redo' : 'undo';
    const subject = order.redo ? `Redo: ${done.subject.replace(/^Undo: /, '')}` : `Undo: ${done.subject}`;
    return this.#run(site, order, trigger, subject, done.oid, wanted);
  }

  /** What an undo or redo takes back now. Most often it is among the newest snapshots, so these are read first. */
  async #newestStep(session: string, redo: boolean): Promise<Oid | null> {
    for (let limit = 128; ; limit *= 4) {
      const history = await this.#reader.history(session, { limit });
      const state = undoState(
        [...history]
          .reverse()
          .map(({ oid, previous, meta }) => ({ oid, previous, trigger: meta.trigger, reverses: meta.reverses })),
      );
      const found = redo ? state.redo : state.undo;
      if (found !== null || history.length < limit) {
        return found;
      }
    }
  }

  async #run(
    site: RestoreSite,
    order: { readonly consent: Consent; readonly agent: string; readonly signal?: AbortSignal | undefined },
    trigger: 'restore' | 'undo' | 'redo',
    subject: string,
    reverses: Oid | undefined,
    wanted: () => Promise<Wanted>,
  ): Promise<RestoreResult> {
    const { session } = site;
    return this.#claims.hold(session, trigger, order.agent, async (claim) => {
      this.#journal.requireNone(session);
      const first = await this.#planner.prepare(site, await wanted(), order.consent, order.signal);
      this.#requireConsent(first.plan, order.consent);
      if (first.changes.length === 0) {
        return { plan: first.plan, snapshot: null, undo: null };
      }
      const planned = first.changes.map(({ path }) => path);
      const untouched = await Untouched.look(this.#host.clock, this.#store, site, planned);
      const { final, undo, from } = await this.#makeSafe(site, order, wanted, first);
      this.#requireConsent(final.plan, order.consent);
      const { agent } = order;
      const to = await editTree(this.#store, from, editsOf(final.changes));
      const intent: RestoreIntent = { kind: trigger, from, to, undo, subject, agent, reverses: reverses ?? null };
      const kept = new Set<RepoPath>();
      const record = (how: RestoreIntent): Promise<CheckpointResult> =>
        this.#record(
          site,
          how,
          final.changes.map(({ path }) => path),
          kept,
        );
      const after = await this.#journal.during(
        session,
        claim,
        intent,
        async () => {
          await claim.check();
          try {
            const signal = either(order.signal, claim.signal);
            await site.materialiser.write(final.changes, { signal, guard: { untouched, to, kept } });
          } catch (error) {
            const cause: unknown = claim.signal.aborted ? claim.signal.reason : error;
            throw await this.#cutOff(session, cause, undo, () =>
              record({ ...intent, subject: `${subject} (cut off)` }),
            );
          }
          return record(intent);
        },
        // Where it stopped is in a snapshot of its own then.
        (error) => error instanceof BulkheadError && typeof error.data['snapshot'] === 'string',
      );
      const plan = keeping(final.plan, kept, 'touched-meanwhile');
      this.#host.log.info(
        `${trigger} in ${session}: ${String(plan.write.length)} written, ${String(plan.delete.length)} deleted`,
      );
      return { plan, snapshot: after.snapshot, undo };
    });
  }

  /**
   * The snapshot that ends a restore, even when nothing differs: it is what an undo takes back.
   * @param kept of the paths those that somebody wrote to meanwhile: whoever did records them
   */
  #record(
    { writer }: RestoreSite,
    intent: RestoreIntent,
    paths: readonly RepoPath[],
    kept: ReadonlySet<RepoPath>,
  ): Promise<CheckpointResult> {
    const hasRules = paths.some((path) => RULE_FILES.has(baseName(path)));
    return writer.snapshot({
      trigger: intent.kind,
      agent: intent.agent,
      subject: intent.subject,
      always: true,
      underClaim: true,
      // Rules that came back decide about other files as well.
      ...(hasRules && kept.size === 0 ? {} : { paths: paths.filter((path) => !kept.has(path)) }),
      ...(intent.reverses === null ? {} : { reverses: intent.reverses }),
    });
  }

  /**
   * Goes on where a killed process stopped; to be called by the holder of the claim.
   * @throws BulkheadError `object-missing` when one of the trees is gone; nothing was written then
   */
  async finish(site: RestoreSite, intent: RestoreIntent, claim: HeldClaim): Promise<FinishedRestore> {
    const rest = await this.#remainders.of(site, intent);
    if (rest === null) {
      return { kept: [] };
    }
    await claim.check();
    const { changes, gone, untouched, done } = rest;
    const kept = new Set<RepoPath>();
    await site.materialiser.write(changes, { signal: claim.signal, gone, guard: { untouched, to: intent.to, kept } });
    await this.#record(site, intent, done, kept);
    return { kept: [...rest.kept, ...kept] };
  }

  /**
   * Takes the safety snapshot and makes the plan again upon what it found. A file that came in between and that it does not
   * hold is taken by another one; what still is in none then, is kept.
   */
  async #makeSafe(
    site: RestoreSite,
    order: { readonly consent: Consent; readonly signal?: AbortSignal | undefined },
    wanted: () => Promise<Wanted>,
    first: Prepared,
  ): Promise<{ readonly final: Prepared; readonly undo: Oid | null; readonly from: Oid }> {
    let forced = first.forced;
    for (let attempt = 1; ; attempt++) {
      const { paths } = await wanted();
      // Without paths everything is recorded; with them the rest of the work tree is not touched and need not be looked at.
      const safety = await site.writer.snapshot({
        ...(paths === undefined ? {} : { paths }),
        trigger: 'before-restore',
        agent: site.defaultAgent,
        forced,
        underClaim: true,
        signal: order.signal,
      });
      const undo = safety.snapshot ?? safety.newest;
      const final = await this.#planner.prepare(site, await wanted(), order.consent, order.signal, {
        tree: safety.tree,
        skipped: safety.skipped,
        forced,
      });
      if (final.forced.size === 0) {
        return { final, undo, from: safety.tree };
      }
      if (attempt === SAFETY_TRIES) {
        return { final: withoutUnsaved(final), undo, from: safety.tree };
      }
      forced = new Set([...forced, ...final.forced]);
    }
  }

  /** Half of the files are as they were wanted: recorded as a restore, so that an undo takes it back. */
  async #cutOff(
    session: string,
    cause: unknown,
    undo: Oid | null,
    record: () => Promise<CheckpointResult>,
  ): Promise<BulkheadError> {
    const snapshot = await record().then(
      (result) => result.snapshot,
      (error: unknown) => {
        this.#host.log.warn(
          `the state after a restore that was cut off in ${session} is not recorded: ${messageOf(error)}`,
        );
        return null;
      },
    );
    const kind = cause instanceof BulkheadError ? cause.kind : 'io';
    const reason = cause instanceof CancelledError ? 'It was cancelled.' : messageOf(cause);
    return new BulkheadError(
      kind,
      'restore-incomplete',
      `The restore was cut off: ${reason} Some files were written already. Undo brings back the state before, which is in a snapshot.`,
      { data: { session, undo, snapshot }, cause },
    );
  }

  #requireConsent(plan: RestorePlan, consent: Consent): void {
    if (consent === 'ask' && (plan.contested.length > 0 || plan.risky.length > 0)) {
      throw new BulkheadError(
        'refused',
        'needs-consent',
        `${describeQuestion(plan)} Nothing was written. Restore only the other files (--only-safe), or all of them (--force).`,
        { data: { plan } },
      );
    }
  }

  async #restoreTo(site: RestoreSite, order: RestoreOrder): Promise<Wanted> {
    const target = await this.#reader.commit(order.target);
    if (target === undefined) {
      throw new BulkheadError('notFound', 'snapshot-not-found', `${order.target} is not a snapshot.`, {
        data: { snapshot: order.target },
      });
    }
    const isForeign = target.meta.session !== site.session;
    if (isForeign && !order.foreign) {
      throw new BulkheadError(
        'refused',
        'foreign-snapshot',
        `The snapshot ${order.target.slice(0, 10)} belongs to another session (${target.meta.session}). Nothing was written; restore it with --force if that is what you want.`,
        { data: { snapshot: order.target, session: target.meta.session } },
      );
    }
    return {
      tree: target.tree,
      paths: order.paths,
      contested: (changes, live) =>
        isForeign ? Promise.resolve([]) : this.#touches.byOthersSince(site, target, changes, live),
      askAboutRisk: true,
    };
  }

  async #reverse(site: RestoreSite, done: SnapshotCommit, before: Oid): Promise<Wanted> {
    const touched = await this.#store.diff(done.tree, before);
    return {
      tree: before,
      paths: touched.map(({ path }) => path),
      contested: async (changes, live) => {
        const since = new Set((await this.#store.diff(done.tree, live)).map(({ path }) => path));
        const others = changes.filter(({ path }) => since.has(path));
        return others.length === 0
          ? []
          : this.#touches.lastSince(site, done.oid, new Set(others.map(({ path }) => path)), live, () => true);
      },
      askAboutRisk: false,
    };
  }
}

function describeQuestion(plan: RestorePlan): string {
  const parts: string[] = [];
  if (plan.contested.length > 0) {
    parts.push(
      `${String(plan.contested.length)} ${plan.contested.length === 1 ? 'file was' : 'files were'} touched by others since`,
    );
  }
  if (plan.risky.length > 0) {
    parts.push(`${String(plan.risky.length)} ${plan.risky.length === 1 ? 'file is' : 'files are'} sensitive`);
  }
  return `${parts.join(', and ')}.`;
}

function either(asked: AbortSignal | undefined, lost: AbortSignal): AbortSignal {
  return asked === undefined ? lost : AbortSignal.any([asked, lost]);
}

function editsOf(changes: readonly TreeChange[]): PathEdits {
  return new Map(
    changes.map(({ path, newMode, newOid }) => [
      path,
      newMode === null || newOid === null ? null : { mode: newMode, oid: newOid },
    ]),
  );
}
