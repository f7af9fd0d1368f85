import { BulkheadError, messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import type { SessionRecord } from '../core/sessionRecord';
import type { RemovalPreflight, RemoveResult, Session } from './api';
import type { Claims } from './claims';
import type { ContentionService } from './contentionService';
import { bringBranches } from './heads';
import type { Host } from './host';
import type { Journal } from './journal';
import type { Records } from './records';
import type { SessionCatalog } from './sessionCatalog';
import type { SessionTrash } from './sessionTrash';
import type { Sites } from './sites';
import type { SnapshotStore } from './snapshotStore';

/** Deletes sessions: says before what would be lost, and records everything before the clone goes to the trash. */
export class RemovalService {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #records: Records;
  readonly #claims: Claims;
  readonly #journal: Journal;
  readonly #catalog: SessionCatalog;
  readonly #trash: SessionTrash;
  readonly #sites: Sites;
  readonly #contention: ContentionService;

  constructor(options: {
    readonly host: Host;
    readonly store: SnapshotStore;
    readonly records: Records;
    readonly claims: Claims;
    readonly journal: Journal;
    readonly catalog: SessionCatalog;
    readonly trash: SessionTrash;
    readonly sites: Sites;
    readonly contention: ContentionService;
  }) {
    this.#host = options.host;
    this.#store = options.store;
    this.#records = options.records;
    this.#claims = options.claims;
    this.#journal = options.journal;
    this.#catalog = options.catalog;
    this.#trash = options.trash;
    this.#sites = options.sites;
    this.#contention = options.contention;
  }

  /** What would be lost if the clone were gone; any doubt is told. */
  async preflight(session: Session): Promise<RemovalPreflight> {
    const last = (await this.#catalog.list({ all: false }))
      .filter(({ state }) => state === 'ready')
      .every(({ id }) => id === session.id);
    if (session.state !== 'ready' || session.base === null) {
      // Without its record nothing in its folder can be recorded before.
      const doubt = session.path === null ? null : session.reason;
      return { uncheckpointed: false, unpushedCommits: 0, unapplied: 0, last, doubt };
    }
    let uncheckpointed = true;
    let unapplied = 0;
    try {
      const site = await this.#sites.of(session.id);
      const tree = await site.writer.liveTree();
      uncheckpointed = tree !== session.newestTree;
      unapplied = await this.#contention.count(session.base.tree, tree);
      const branches = await bringBranches(this.#host, this.#store, site.head);
      return {
        uncheckpointed,
        unpushedCommits: await this.#unpushed(session, [...branches.values()]),
        unapplied,
        last,
        doubt: null,
      };
    } catch (error) {
      return { uncheckpointed, unpushedCommits: 0, unapplied, last, doubt: messageOf(error) };
    }
  }

  /** Commits of the clone's branches that its base does not have. Which of them a remote has is not asked: that would need the network. */
  async #unpushed(session: Session, tips: readonly Oid[]): Promise<number> {
    if (tips.length === 0) {
      return 0;
    }
    const known = session.base?.commit ?? null;
    const count = await this.#host.git.text([
      `--git-dir=${this.#store.gitDir}`,
      'rev-list',
      '--count',
      ...tips,
      ...(known === null ? [] : ['--not', known]),
    ]);
    return Number(count);
  }

  /**
   * Takes a final snapshot and puts the clone into the trash.
   * @throws BulkheadError `would-lose` (kind `refused`) with the preflight, unless forced; `session-trashed`, `record-newer`, `claimed`
   */
  async remove(session: Session, options: { readonly force: boolean }): Promise<RemoveResult> {
    const ref = session.id;
    if (session.state === 'trashed') {
      throw new BulkheadError('notFound', 'session-trashed', `"${session.name}" is in the trash already.`, {
        data: { session: ref },
      });
    }
    if (session.state === 'newer') {
      throw new BulkheadError(
        'damaged',
        'record-newer',
        `"${session.name}" was changed by a newer version of Bulkhead. Update Bulkhead to delete it. Nothing was deleted.`,
        { data: { session: ref } },
      );
    }
    if (!options.force) {
      const preflight = await this.preflight(session);
      if (
        preflight.uncheckpointed ||
        preflight.unpushedCommits > 0 ||
        preflight.unapplied > 0 ||
        preflight.last ||
        preflight.doubt !== null
      ) {
        throw new BulkheadError(
          'refused',
          'would-lose',
          `${describeLoss(session, preflight)} Nothing was deleted; use --force to delete it all the same.`,
          {
            data: { preflight },
          },
        );
      }
    }
    const result = await this.#claims.hold(ref, 'delete', 'user', async (claim) => {
      if (options.force && (await this.#journal.read(ref))?.kind !== 'newer') {
        // What could not be finished must not keep a session for ever.
        await this.#journal.clear(ref);
      }
      this.#journal.requireNone(ref);
      // Read under the claim: an apply may have moved the base a moment ago.
      const parsed = (await this.#records.read(ref))?.parsed;
      if (parsed?.kind !== 'ok') {
        return { session: ref, snapshot: session.newest, trashed: await this.#trash.putBroken(ref) };
      }
      const final = session.state === 'ready' ? await this.finalSnapshot(parsed.record) : null;
      const trashed = await this.#trash.put(parsed.record, claim);
      return { session: ref, snapshot: final ?? session.newest, trashed };
    });
    await this.#sites.drop(ref);
    return result;
  }

  /**
   * Records the clone for the last time, and brings its branches into the store. To be called under the session's claim.
   * @returns the newest snapshot
   */
  async finalSnapshot(record: SessionRecord): Promise<Oid | null> {
    const site = await this.#sites.of(record.id);
    const final = await site.writer.snapshot({ trigger: 'final', agent: 'unknown', underClaim: true });
    try {
      await bringBranches(this.#host, this.#store, site.head);
    } catch (error) {
      // She was told, and wants it gone; the clone with its commits goes to the trash as it is.
      this.#host.log.warn(`the branches of ${record.id} are only in its clone in the trash: ${messageOf(error)}`);
    }
    return final.snapshot ?? final.newest;
  }
}

/** One sentence for people; `preflight` has something to tell. */
export function describeLoss(session: Session, preflight: RemovalPreflight): string {
  const parts = [
    ...(preflight.unapplied > 0
      ? [`${String(preflight.unapplied)} changed ${preflight.unapplied === 1 ? 'file was' : 'files were'} not applied`]
      : []),
    ...(preflight.unpushedCommits > 0
      ? [`${String(preflight.unpushedCommits)} ${preflight.unpushedCommits === 1 ? 'commit' : 'commits'} of its own`]
      : []),
    ...(preflight.uncheckpointed ? ['changes since its newest snapshot'] : []),
    ...(preflight.last ? ['it is the last session'] : []),
    ...(preflight.doubt === null ? [] : [`a check failed (${preflight.doubt})`]),
  ];
  return `"${session.name}": ${parts.join(', ')}.`;
}
