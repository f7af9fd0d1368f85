import { BulkheadError } from '../base/errors';
import { writeCommit } from '../core/commitObject';
import type { Oid } from '../core/objectId';
import { baseRef } from '../core/refName';
import type { ApplyIntent } from '../core/intent';
import type { SessionRecord } from '../core/sessionRecord';
import type { TreeChange } from '../core/treeDiff';
import { fetchInto } from '../git/porcelain';
import { lastValue } from '../git/repositoryConfig';
import type { ApplyRequest, ApplyResult } from './api';
import type { Claims, HeldClaim } from './claims';
import { bringBranches, bringHead, currentHead, type HeadSource, keepAt } from './heads';
import type { Host } from './host';
import type { Journal } from './journal';
import type { Records } from './records';
import type { SnapshotReader } from './snapshotReader';
import type { SnapshotStore } from './snapshotStore';
import { pathChange } from './pathChanges';
import type { SnapshotWriter } from './snapshotWriter';
import { editTree } from './treeBuilder';
import type { UserRepository } from './userRepository';

const BRANCH_TRIES = 16;

export interface ApplySite {
  readonly record: SessionRecord;
  readonly writer: SnapshotWriter;
  readonly head: HeadSource;
}

interface Prepared {
  readonly tip: Oid;
  readonly tree: Oid;
  readonly changes: readonly TreeChange[];
}

/** Brings a session's work into the user's repository: the only thing that ever writes there. */
export class ApplyService {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #repository: UserRepository;
  readonly #records: Records;
  readonly #claims: Claims;
  readonly #journal: Journal;
  readonly #reader: SnapshotReader;

  constructor(options: {
    readonly host: Host;
    readonly store: SnapshotStore;
    readonly repository: UserRepository;
    readonly records: Records;
    readonly claims: Claims;
    readonly journal: Journal;
    readonly reader: SnapshotReader;
  }) {
    this.#host = options.host;
    this.#store = options.store;
    this.#repository = options.repository;
    this.#records = options.records;
    this.#claims = options.claims;
    this.#journal = options.journal;
    this.#reader = options.reader;
  }

  /**
   * Makes a branch in the user's repository from the session: its own commits, and one more for what it did not commit.
   * The base moves on to that branch, so that the session's changes count from there.
   * @throws BulkheadError `nothing-to-apply` (kind `refused`), `claimed`, or a fault of git
   */
  async applyAsBranch(site: ApplySite, request: ApplyRequest): Promise<ApplyResult> {
    const { record, writer } = site;
    if (request.dryRun === true) {
      const tree = await writer.liveTree(request.signal);
      const changes = await this.#changes(record, tree, request);
      this.#requireChanges(record, changes);
      return {
        files: changes.map(pathChange),
        conflicts: [],
        branch: await this.#freeBranch(record.branch),
        patch: null,
        undo: null,
      };
    }
    return this.#claims.hold(record.id, 'apply', 'user', async (claim) => {
      this.#journal.requireNone(record.id);
      const before = await writer.snapshot({
        trigger: 'before-apply',
        agent: 'unknown',
        underClaim: true,
        signal: request.signal,
      });
      await bringBranches(this.#host, this.#store, site.head);
      const prepared = await this.#prepare(site, before.tree, request);
      const partial = request.paths !== undefined;
      await this.#bringTip(record, prepared.tip, request.signal);
      const branch = await this.#inFreeBranch(record, claim, prepared, partial, async () => {
        if (!partial) {
          await this.#moveBase(record, prepared);
          await this.#record(writer);
        }
      });
      return { files: prepared.changes.map(pathChange), conflicts: [], branch, patch: null, undo: null };
    });
  }

  async #prepare(site: ApplySite, snapshotTree: Oid, request: ApplyRequest): Promise<Prepared> {
    const { record } = site;
    const changes = await this.#changes(record, snapshotTree, request);
    this.#requireChanges(record, changes);
    if (request.paths !== undefined) {
      // Some paths only: their content upon the base, as one commit; the session's own commits hold more than that.
      const tree = await editTree(
        this.#store,
        record.base.tree,
        new Map(
          changes.map(({ path, newMode, newOid }) => [
            path,
            newMode === null || newOid === null ? null : { mode: newMode, oid: newOid },
          ]),
        ),
      );
      return { tip: await this.#commit(record, tree, record.base.commit), tree, changes };
    }
    const head = await currentHead(this.#host, this.#store, site.head);
    // That a commit of this name lies in the store does not make it one of this clone.
    const isOwn = head.kind === 'known' && (await bringHead(this.#host, this.#store, site.head, head.commit));
    const parent = isOwn ? head.commit : record.base.commit;
    if (parent !== null && (await this.#store.commit(parent)).tree === snapshotTree) {
      return { tip: parent, tree: snapshotTree, changes };
    }
    return { tip: await this.#commit(record, snapshotTree, parent), tree: snapshotTree, changes };
  }

  #changes(record: SessionRecord, tree: Oid, request: ApplyRequest): Promise<TreeChange[]> {
    return this.#store.diff(record.base.tree, tree, request.paths);
  }

  #requireChanges(record: SessionRecord, changes: readonly TreeChange[]): void {
    if (changes.length === 0) {
      throw new BulkheadError(
        'refused',
        'nothing-to-apply',
        `"${record.name}" has no changes against its base, so there is nothing to apply.`,
        {
          data: { session: record.id },
        },
      );
    }
  }

  async #commit(record: SessionRecord, tree: Oid, parent: Oid | null): Promise<Oid> {
    const { config } = this.#repository;
    const person = {
      name: lastValue(config, 'user.name') ?? 'Bulkhead',
      email: lastValue(config, 'user.email') ?? 'user@bulkhead.invalid',
      time: Math.floor(this.#host.clock.now() / 1000),
      offset: '+0000',
    };
    return Promise.resolve(
      this.#store.objects.write(
        'commit',
        writeCommit({
          tree,
          parents: parent === null ? [] : [parent],
          author: person,
          committer: person,
          message: `${record.name}\n`,
        }),
      ),
    );
  }

  #record(writer: SnapshotWriter): Promise<unknown> {
    return writer.snapshot({ trigger: 'apply', agent: 'user', always: true, underClaim: true, paths: [] });
  }

  /** Only objects: nothing in the user's repository leads to them yet. */
  async #bringTip(record: SessionRecord, tip: Oid, signal: AbortSignal | undefined): Promise<void> {
    const keep = `refs/bulkhead/apply/${record.id}`;
    const before = await this.#store.ref(keep);
    await keepAt(this.#store, record.id, keep, before, tip);
    await fetchInto(
      this.#host.git,
      { gitDir: this.#repository.commonDir, source: this.#store.gitDir, refspecs: [keep] },
      { signal },
    );
  }

  /**
   * Makes a branch in the user's repository under the first free name and does the rest of the apply; an existing branch is
   * never moved. Each name that is tried is written down before, so that a second branch never comes from one apply.
   */
  async #inFreeBranch(
    record: SessionRecord,
    claim: HeldClaim,
    { tip, tree }: Prepared,
    partial: boolean,
    rest: () => Promise<void>,
  ): Promise<string> {
    for (let attempt = 0; attempt < BRANCH_TRIES; attempt++) {
      const branch = await this.#freeBranch(record.branch);
      const isMade = await this.#journal.during(
        record.id,
        claim,
        { kind: 'apply', branch, tip, tree, partial },
        async () => {
          await claim.check();
          if (!(await this.#makeBranch(branch, tip))) {
            return false;
          }
          await rest();
          return true;
        },
        async () => (await this.#branchOid(branch)) !== tip,
      );
      if (isMade) {
        return branch;
      }
    }
    throw new BulkheadError(
      'busy',
      'branch-not-made',
      `No free name for a branch like ${record.branch} was found. Nothing was changed in your repository.`,
      {
        data: { branch: record.branch },
      },
    );
  }

  /** @returns false when somebody else has just made a branch of that name */
  async #makeBranch(branch: string, tip: Oid): Promise<boolean> {
    const zero = '0'.repeat(tip.length);
    const made = await this.#host.git.run(
      [`--git-dir=${this.#repository.commonDir}`, 'update-ref', '--no-deref', `refs/heads/${branch}`, tip, zero],
      {
        expect: [0, 1, 128],
      },
    );
    if (made.code === 0) {
      return true;
    }
    if ((await this.#branchOid(branch)) === undefined) {
      throw new BulkheadError(
        'git',
        'branch-not-made',
        `The branch ${branch} could not be made in your repository: ${made.stderr.trim()}. Nothing was changed there.`,
        {
          data: { branch, stderr: made.stderr },
        },
      );
    }
    return false;
  }

  /**
   * Goes on where a killed process stopped; to be called by the holder of the claim. When the branch was made, the rest
   * follows; else nothing had happened that anybody could see.
   * @returns whether the branch was made
   */
  async finish({ record, writer }: ApplySite, intent: ApplyIntent): Promise<boolean> {
    if (!(await this.#isIn(intent.branch, intent.tip))) {
      return false;
    }
    if (!intent.partial) {
      if (record.base.commit !== intent.tip) {
        await this.#moveBase(record, intent);
      }
      // A before-apply snapshot, or what was the newest then, stands there as long as the last one is missing.
      const newest = (await this.#reader.history(record.id, { limit: 1 })).at(0);
      if (newest?.meta.trigger !== 'apply') {
        await this.#record(writer);
      }
    }
    return true;
  }

  /** Whether the branch is there and has the tip: it may have grown since. */
  async #isIn(branch: string, tip: Oid): Promise<boolean> {
    if ((await this.#branchOid(branch)) === undefined) {
      return false;
    }
    const answer = await this.#host.git.run(
      [`--git-dir=${this.#repository.commonDir}`, 'merge-base', '--is-ancestor', tip, `refs/heads/${branch}`],
      { expect: [0, 1, 128] },
    );
    return answer.code === 0;
  }

  async #freeBranch(wanted: string): Promise<string> {
    for (let number = 1; ; number++) {
      const name = number === 1 ? wanted : `${wanted}-${String(number)}`;
      if ((await this.#branchOid(name)) === undefined) {
        return name;
      }
    }
  }

  async #branchOid(name: string): Promise<string | undefined> {
    const answer = await this.#host.git.run(
      [`--git-dir=${this.#repository.commonDir}`, 'rev-parse', '--verify', '--quiet', `refs/heads/${name}`],
      {
        expect: [0, 1, 128],
      },
    );
    return answer.code === 0 ? answer.stdout.toString('utf8').trim() : undefined;
  }

  async #moveBase(record: SessionRecord, { tip, tree }: Pick<Prepared, 'tip' | 'tree'>): Promise<void> {
    const ref = baseRef(record.id);
    const from = await this.#store.ref(ref);
    await this.#records.change(record.id, (current) => ({ ...current, base: { commit: tip, tree } }), [
      { ref, from, to: tip },
    ]);
  }
}
