import { BulkheadError, messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import { baseName, isWithin, parentPath, pathProblem, type RepoPath, visiblePath } from '../core/repoPath';
import { riskOf } from '../core/riskCategory';
import { diffTrees, type TreeChange } from '../core/treeDiff';
import { undoState } from '../core/undoStack';
import { CancelledError } from '../git/gitError';
import type { CheckpointResult, KeepReason, RestorePlan, RestoreResult, SkippedPath, SkipReason } from './api';
import type { Claims } from './claims';
import type { Host } from './host';
import type { Materialiser } from './materialise';
import type { SnapshotCommit, SnapshotReader } from './snapshotReader';
import type { SnapshotStore } from './snapshotStore';
import type { SnapshotWriter } from './snapshotWriter';
import type { WorkTree } from './workTree';
import { MAX_IN_PROCESS } from './contentWriter';

/** Between two looks new files may come; somebody who makes them for ever keeps them. */
const SAFETY_TRIES = 3;
const RULE_FILES = new Set(['.gitignore', '.gitattributes']);

export type Consent = 'ask' | 'safe' | 'all';

/** One work tree with all that a restore of it needs. */
export interface RestoreSite {
  readonly session: string;
  readonly workTree: WorkTree;
  readonly writer: SnapshotWriter;
  readonly materialiser: Materialiser;
  /** Who made what is on disk and in no snapshot yet. */
  readonly defaultAgent: string;
}

export interface RestoreOrder {
  readonly target: Oid;
  readonly paths?: readonly RepoPath[] | undefined;
  readonly consent: Consent;
  readonly agent: string;
  readonly foreign: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Internal: what a work tree shall become, and whose changes that would take away. */
interface Wanted {
  /** The tree that the paths are taken from. */
  readonly tree: Oid;
  readonly paths: readonly RepoPath[] | undefined;
  readonly contested: (changes: readonly TreeChange[], live: Oid) => Promise<RestorePlan['contested']>;
  /** Nothing is asked when the work tree is as a restore left it. */
  readonly askAboutRisk: boolean;
}

/** What is on disk now, as a tree, and what that tree does not hold of it. */
interface Live {
  readonly tree: Oid;
  readonly skipped: readonly SkippedPath[];
  /** Files that only the safety snapshot holds: nobody can be said to have changed them since. */
  readonly forced?: ReadonlySet<RepoPath>;
}

interface Prepared {
  readonly plan: RestorePlan;
  readonly changes: readonly TreeChange[];
  /** Files that no snapshot holds and that would be overwritten: the safety snapshot takes them. */
  readonly forced: ReadonlySet<RepoPath>;
}

/** A restore or its undo writes nothing before its plan was agreed to, and never without a safety snapshot. */
export class RestoreService {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #reader: SnapshotReader;
  readonly #claims: Claims;

  constructor(host: Host, store: SnapshotStore, reader: SnapshotReader, claims: Claims) {
    this.#host = host;
    this.#store = store;
    this.#reader = reader;
    this.#claims = claims;
  }

  async plan(site: RestoreSite, order: RestoreOrder): Promise<RestorePlan> {
    return (await this.#prepare(site, await this.#restoreTo(site, order), order.consent, order.signal)).plan;
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
    const { previous } = done;
    const before = await this.#store.commit(previous);
    const wanted = (): Promise<Wanted> => this.#reverse(site, done, before.tree);
    if (order.dryRun) {
      const { plan } = await this.#prepare(site, await wanted(), order.consent, order.signal);
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
    const { session, writer } = site;
    return this.#claims.hold(session, trigger, order.agent, async () => {
      const first = await this.#prepare(site, await wanted(), order.consent, order.signal);
      this.#requireConsent(first.plan, order.consent);
      if (first.changes.length === 0) {
        return { plan: first.plan, snapshot: null, undo: null };
      }
      const { final, undo } = await this.#makeSafe(site, order, wanted, first);
      this.#requireConsent(final.plan, order.consent);
      const record = (text: string): Promise<CheckpointResult> => {
        const paths = final.changes.map(({ path }) => path);
        return writer.snapshot({
          trigger,
          agent: order.agent,
          subject: text,
          always: true,
          underClaim: true,
          // Rules that came back decide about other files as well.
          ...(paths.some((path) => RULE_FILES.has(baseName(path))) ? {} : { paths }),
          ...(reverses === undefined ? {} : { reverses }),
        });
      };
      try {
        await site.materialiser.write(final.changes, order.signal);
      } catch (cause) {
        throw await this.#cutOff(session, cause, undo, () => record(`${subject} (cut off)`));
      }
      const after = await record(subject);
      this.#host.log.info(
        `${trigger} in ${session}: ${String(final.plan.write.length)} written, ${String(final.plan.delete.length)} deleted`,
      );
      return { plan: final.plan, snapshot: after.snapshot, undo };
    });
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
  ): Promise<{ readonly final: Prepared; readonly undo: Oid | null }> {
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
      const final = await this.#prepare(site, await wanted(), order.consent, order.signal, {
        tree: safety.tree,
        skipped: safety.skipped,
        forced,
      });
      if (final.forced.size === 0) {
        return { final, undo };
      }
      if (attempt === SAFETY_TRIES) {
        return { final: withoutUnsaved(final), undo };
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
      contested: (changes, live) => (isForeign ? Promise.resolve([]) : this.#touchedSince(site, target, changes, live)),
      askAboutRisk: true,
    };
  }

  async #reverse(site: RestoreSite, done: SnapshotCommit, before: Oid): Promise<Wanted> {
    const touched = await this.#diff(done.tree, before);
    return {
      tree: before,
      paths: touched.map(({ path }) => path),
      contested: async (changes, live) => {
        const since = new Set((await this.#diff(done.tree, live)).map(({ path }) => path));
        const others = changes.filter(({ path }) => since.has(path));
        return others.length === 0
          ? []
          : this.#lastTouches(site, done.oid, new Set(others.map(({ path }) => path)), live, () => true);
      },
      askAboutRisk: false,
    };
  }

  #diff(from: Oid, to: Oid, paths?: readonly RepoPath[]): Promise<TreeChange[]> {
    return diffTrees(
      (oid) => this.#store.tree(oid),
      this.#store.format,
      from,
      to,
      paths === undefined ? {} : { paths },
    );
  }

  async #prepare(
    site: RestoreSite,
    wanted: Wanted,
    consent: Consent,
    signal: AbortSignal | undefined,
    known?: Live,
  ): Promise<Prepared> {
    const { tree: live, skipped, forced: taken }: Live = known ?? (await site.writer.live(signal, wanted.paths));
    const notHeld = new Map(skipped.map(({ path, reason }) => [path, reason]));
    const all = (await this.#diff(live, wanted.tree, wanted.paths)).filter(
      ({ path }) => wanted.paths === undefined || wanted.paths.some((asked) => isWithin(path, asked)),
    );
    for (const { path } of all) {
      const problem = pathProblem(path);
      if (problem !== undefined) {
        throw new BulkheadError(
          'damaged',
          'name-not-allowed',
          `The snapshot holds the name ${visiblePath(path)}, which is not written into a work tree: ${problem}. Nothing was written.`,
          {
            data: { path: visiblePath(path) },
          },
        );
      }
    }
    const contested = await wanted.contested(
      taken === undefined ? all : all.filter(({ path }) => !taken.has(path)),
      live,
    );
    const contestedPaths = new Set(contested.map(({ path }) => path));
    const keep: { path: RepoPath; reason: KeepReason }[] = [];
    const changes: TreeChange[] = [];
    const forced = new Set<RepoPath>();
    const deleted = new Set(all.filter(({ newMode }) => newMode === null).map(({ path }) => path));
    for (const change of all) {
      const { path } = change;
      const isRisky = wanted.askAboutRisk && isSensitive(path);
      const reason =
        consent === 'safe' && (contestedPaths.has(path) || isRisky)
          ? 'left-out'
          : this.#obstacle(site, change, deleted, notHeld.get(path), forced);
      if (reason === undefined) {
        changes.push(change);
      } else {
        keep.push({ path, reason });
      }
    }
    const paths = new Set(changes.map(({ path }) => path));
    const plan: RestorePlan = {
      write: changes.filter(({ newMode }) => newMode !== null).map(({ path }) => path),
      delete: changes.filter(({ newMode }) => newMode === null).map(({ path }) => path),
      keep,
      contested: contested.filter(({ path }) => paths.has(path)),
      risky: wanted.askAboutRisk
        ? changes.filter(({ path }) => isSensitive(path)).map(({ path }) => ({ path, category: riskOf(path) }))
        : [],
    };
    return { plan, changes, forced };
  }

  /** What keeps a path from being written or deleted; notes what the safety snapshot has to take along. */
  #obstacle(
    site: RestoreSite,
    change: TreeChange,
    deleted: ReadonlySet<RepoPath>,
    notHeld: SkipReason | undefined,
    forced: Set<RepoPath>,
  ): KeepReason | undefined {
    const { path, oldMode, newMode } = change;
    const { workTree } = site;
    if (oldMode === '160000' || newMode === '160000') {
      return 'nested-repository';
    }
    if (notHeld === 'too-large') {
      // The live tree has an earlier content of it.
      if (workTree.kind(path) === 'file') {
        forced.add(path);
      }
    } else if (notHeld !== undefined && notHeld !== 'vanished') {
      return 'not-captured';
    }
    if (newMode === null) {
      return undefined;
    }
    for (let folder = parentPath(path); folder !== ''; folder = parentPath(folder)) {
      const kind = workTree.kind(folder);
      if ((kind === 'link' || kind === 'file' || kind === 'special') && !deleted.has(folder)) {
        return 'beyond-link';
      }
      if (kind === 'folder' && workTree.isNestedRepository(folder)) {
        return 'nested-repository';
      }
    }
    const kind = workTree.kind(path);
    if (kind === 'folder') {
      return this.#holdsOnly(workTree, path, deleted) ? undefined : 'folder-in-the-way';
    }
    if (kind === 'special') {
      return 'not-captured';
    }
    if (oldMode === null && (kind === 'file' || kind === 'link')) {
      // Ignored or too large: in no snapshot yet.
      const content = workTree.read(path, MAX_IN_PROCESS);
      if (content.kind === 'unreadable') {
        return 'not-captured';
      }
      forced.add(path);
    }
    return undefined;
  }

  /** Whether a folder holds nothing but files that the restore deletes. */
  #holdsOnly(workTree: WorkTree, folder: RepoPath, deleted: ReadonlySet<RepoPath>): boolean {
    if (workTree.isNestedRepository(folder)) {
      return false;
    }
    return workTree
      .list(folder)
      .every(({ path, kind }) => (kind === 'folder' ? this.#holdsOnly(workTree, path, deleted) : deleted.has(path)));
  }

  /**
   * Paths that somebody else touched since the target. "Else" means: not the agent whose work is taken back, which is the
   * target's own, or for the start of a session the first that wrote after it.
   */
  async #touchedSince(
    site: RestoreSite,
    target: SnapshotCommit,
    changes: readonly TreeChange[],
    live: Oid,
  ): Promise<RestorePlan['contested']> {
    let owner: string | undefined = target.meta.trigger === 'start' ? undefined : target.meta.agent;
    if (owner === undefined) {
      const later = await this.#reader.history(site.session, { until: target.oid });
      owner = later.at(-1)?.meta.agent;
    }
    if (owner === undefined) {
      return [];
    }
    return this.#lastTouches(
      site,
      target.oid,
      new Set(changes.map(({ path }) => path)),
      live,
      (agent) => agent !== owner,
    );
  }

  /** For each path the newest change since a snapshot by an agent that counts. */
  async #lastTouches(
    site: RestoreSite,
    since: Oid,
    paths: ReadonlySet<RepoPath>,
    live: Oid,
    counts: (agent: string) => boolean,
  ): Promise<RestorePlan['contested']> {
    const touched = new Map<RepoPath, { agent: string; snapshot: Oid | null }>();
    const history = await this.#reader.history(site.session, { until: since });
    const [newest] = history;
    const note = async (from: Oid, to: Oid, agent: string, snapshot: Oid | null): Promise<void> => {
      for (const { path } of await this.#diff(from, to)) {
        if (paths.has(path) && !touched.has(path)) {
          touched.set(path, { agent, snapshot });
        }
      }
    };
    const newestTree = newest?.tree ?? (await this.#store.commit(since)).tree;
    if (counts(site.defaultAgent)) {
      await note(newestTree, live, site.defaultAgent, null);
    }
    for (const commit of history) {
      const isOwnStep = ['restore', 'undo', 'redo'].includes(commit.meta.trigger);
      if (!isOwnStep && counts(commit.meta.agent)) {
        await note(await this.#reader.treeBefore(commit), commit.tree, commit.meta.agent, commit.oid);
      }
    }
    return [...touched]
      .map(([path, { agent, snapshot }]) => ({ path, agent, snapshot }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }
}

function withoutUnsaved({ plan, changes, forced }: Prepared): Prepared {
  const isSaved = (path: RepoPath): boolean => !forced.has(path);
  return {
    plan: {
      write: plan.write.filter(isSaved),
      delete: plan.delete.filter(isSaved),
      keep: [...plan.keep, ...[...forced].map((path) => ({ path, reason: 'not-captured' as const }))],
      contested: plan.contested.filter(({ path }) => isSaved(path)),
      risky: plan.risky.filter(({ path }) => isSaved(path)),
    },
    changes: changes.filter(({ path }) => isSaved(path)),
    forced: new Set(),
  };
}

function isSensitive(path: RepoPath): boolean {
  const category = riskOf(path);
  return category === 'system' || category === 'platform';
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
