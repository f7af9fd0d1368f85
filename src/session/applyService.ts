import { BulkheadError } from '../base/errors';
import { writeCommit } from '../core/commitObject';
import type { Oid } from '../core/objectId';
import { baseRef } from '../core/refName';
import type { SessionRecord } from '../core/sessionRecord';
import type { TreeChange } from '../core/treeDiff';
import { fetchInto } from '../git/porcelain';
import { lastValue } from '../git/repositoryConfig';
import type { ApplyRequest, ApplyResult } from './api';
import type { Claims } from './claims';
import { bringBranches, currentHead, type HeadSource } from './heads';
import type { Host } from './host';
import type { Records } from './records';
import type { SnapshotStore } from './snapshotStore';
import { pathChange, type SnapshotWriter } from './snapshotWriter';
import { editTree } from './treeBuilder';
import type { UserRepository } from './userRepository';

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

  constructor(host: Host, store: SnapshotStore, repository: UserRepository, records: Records, claims: Claims) {
    this.#host = host;
    this.#store = store;
    this.#repository = repository;
    this.#records = records;
    this.#claims = claims;
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
    return this.#claims.hold(record.id, 'apply', 'user', async () => {
      const before = await writer.snapshot({
        trigger: 'before-apply',
        agent: 'unknown',
        underClaim: true,
        signal: request.signal,
      });
      await bringBranches(this.#host, this.#store, site.head);
      const prepared = await this.#prepare(site, before.tree, request);
      const branch = await this.#publish(record, prepared.tip, request.signal);
      if (request.paths === undefined) {
        await this.#moveBase(record, prepared);
        await writer.snapshot({ trigger: 'apply', agent: 'user', always: true, underClaim: true, paths: [] });
      }
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
    const head = await currentHead(this.#host, site.head);
    const isInStore = head.kind === 'known' && (await this.#store.reader.info(head.commit))?.type === 'commit';
    const parent = head.kind === 'known' && isInStore ? head.commit : record.base.commit;
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

  /** Fetches the tip into the user's repository and makes the branch there; an existing one is never moved. */
  async #publish(record: SessionRecord, tip: Oid, signal: AbortSignal | undefined): Promise<string> {
    const keep = `refs/bulkhead/apply/${record.id}`;
    const before = await this.#store.ref(keep);
    await this.#store.move(`apply ${record.id}`, [{ ref: keep, from: before, to: tip }]);
    await fetchInto(
      this.#host.git,
      { gitDir: this.#repository.commonDir, source: this.#store.gitDir, refspecs: [keep] },
      { signal },
    );
    for (let attempt = 0; attempt < 16; attempt++) {
      const branch = await this.#freeBranch(record.branch);
      const zero = '0'.repeat(tip.length);
      const made = await this.#host.git.run(
        [`--git-dir=${this.#repository.commonDir}`, 'update-ref', '--no-deref', `refs/heads/${branch}`, tip, zero],
        {
          expect: [0, 1, 128],
        },
      );
      if (made.code === 0) {
        return branch;
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

  async #moveBase(record: SessionRecord, { tip, tree }: Prepared): Promise<void> {
    const ref = baseRef(record.id);
    const from = await this.#store.ref(ref);
    await this.#records.change(record.id, (current) => ({ ...current, base: { commit: tip, tree } }), [
      { ref, from, to: tip },
    ]);
  }
}
