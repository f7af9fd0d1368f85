import type { Oid } from '../core/objectId';
import { isWithin, type RepoPath } from '../core/repoPath';
import { CancelledError, GitError } from '../git/gitError';
import type { Snapshot } from './api';
import type { Host } from './host';
import type { SnapshotHealth } from './snapshotHealth';
import { type Counts, LOG_FORMAT, type LogRow, NO_COUNTS, parseCounts, parseLog } from './snapshotLogFormat';
import { MAX_FOREIGN, noSuchSnapshot, type SnapshotCommit, type SnapshotReader } from './snapshotReader';
import { isDamage, type SnapshotStore } from './snapshotStore';

const PAGE = 100;

/** Reads snapshots with what they changed, counted in files and lines; around what is damaged. */
export class SnapshotLog {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #health: SnapshotHealth;
  readonly #reader: SnapshotReader;

  constructor(host: Host, store: SnapshotStore, health: SnapshotHealth, reader: SnapshotReader) {
    this.#host = host;
    this.#store = store;
    this.#health = health;
    this.#reader = reader;
  }

  /** @throws BulkheadError `snapshot-not-found` */
  async snapshot(oid: Oid): Promise<Snapshot> {
    for await (const snapshot of this.walk(oid, { pageSize: 1 })) {
      return snapshot;
    }
    throw noSuchSnapshot(oid);
  }

  /**
   * From one snapshot back, read page by page with one `git log` each, which counts the lines.
   * @param options.paths only snapshots that changed one of them or something below
   */
  async *walk(
    start: Oid,
    {
      paths = [],
      pageSize = PAGE,
      signal,
    }: { readonly paths?: readonly RepoPath[]; readonly pageSize?: number; readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<Snapshot, void> {
    let next: Oid | null = start;
    let foreign = 0;
    while (next !== null) {
      const page = await this.#page(next, pageSize, signal);
      next = null;
      for (const { oid, commit, previous, startsChain, counts, damage } of page) {
        next = previous;
        if (commit === undefined) {
          if (++foreign > MAX_FOREIGN) {
            this.#host.log.warn(`${oid} and many before it are not snapshots of ours; the list ends there`);
            return;
          }
          continue;
        }
        foreign = 0;
        if (paths.length === 0 || damage !== null || (await this.#touches(commit, paths))) {
          yield toSnapshot(commit, startsChain && damage === null ? await this.#countsAtStart(commit) : counts, damage);
        }
      }
      if (page.length === 0) {
        return;
      }
    }
  }

  async #page(start: Oid, pageSize: number, signal?: AbortSignal): Promise<LogRow[]> {
    try {
      return await this.#log(start, pageSize, signal);
    } catch (error) {
      if (!(error instanceof GitError)) {
        throw error;
      }
      // Git gives up at the first object that it cannot read.
      const rows = await this.#readOneByOne(start, pageSize, signal);
      const damaged = rows.find(({ damage }) => damage !== null);
      if (damaged === undefined) {
        throw error;
      }
      if (damaged.commit !== undefined) {
        await this.#health.suspect(damaged.commit.meta.session);
      }
      return rows;
    }
  }

  /** As a page of the log, around everything that is damaged. */
  async #readOneByOne(start: Oid, pageSize: number, signal?: AbortSignal): Promise<LogRow[]> {
    const rows: LogRow[] = [];
    for (let oid: Oid | null = start; oid !== null && rows.length < pageSize;) {
      if (signal?.aborted === true) {
        throw new CancelledError();
      }
      const commit: SnapshotCommit | undefined = await this.#reader.commit(oid);
      if (commit === undefined) {
        // A foreign hand's; it may stand on one of ours.
        const below: Oid | null = (await this.#store.commit(oid)).parents[0] ?? null;
        rows.push({ oid, commit, previous: below, startsChain: false, counts: NO_COUNTS, damage: null });
        oid = below;
        continue;
      }
      const previous = await this.#reader.before(commit);
      const gap = previous === commit.previous ? null : 'The snapshot before it cannot be read.';
      const readable = { ...commit, previous };
      let counts = NO_COUNTS;
      let damage = gap;
      try {
        counts = await this.#countsAtStart(readable);
      } catch (error) {
        if (!isDamage(error) && !(error instanceof GitError)) {
          throw error;
        }
        damage = 'A part of it, or of the snapshot before it, cannot be read.';
      }
      rows.push({ oid, commit: readable, previous, startsChain: false, counts, damage });
      oid = previous;
    }
    return rows;
  }

  async #log(start: Oid, pageSize: number, signal?: AbortSignal): Promise<LogRow[]> {
    const { stdout } = await this.#host.git.run(
      [
        `--git-dir=${this.#store.gitDir}`,
        'log',
        `--max-count=${String(pageSize)}`,
        '--first-parent',
        `--format=${LOG_FORMAT}`,
        '--shortstat',
        '--no-ext-diff',
        '--no-textconv',
        start,
      ],
      { signal },
    );
    return parseLog(stdout.toString('utf8'));
  }

  async #countsAtStart(commit: SnapshotCommit): Promise<Counts> {
    const before = await this.#reader.treeBefore(commit);
    if (before === commit.tree) {
      return { files: 0, added: 0, deleted: 0 };
    }
    const text = await this.#host.git.text([
      `--git-dir=${this.#store.gitDir}`,
      'diff-tree',
      '-r',
      '--shortstat',
      '--no-ext-diff',
      '--no-textconv',
      before,
      commit.tree,
    ]);
    return parseCounts(text);
  }

  async #touches(commit: SnapshotCommit, paths: readonly RepoPath[]): Promise<boolean> {
    const before = await this.#reader.treeBefore(commit);
    const changes = await this.#store.diff(before, commit.tree, paths);
    return changes.some(({ path }) => paths.some((wanted) => isWithin(path, wanted)));
  }
}

function toSnapshot(commit: SnapshotCommit, counts: Counts, damage: string | null): Snapshot {
  return {
    oid: commit.oid,
    previous: commit.previous,
    tree: commit.tree,
    session: commit.meta.session,
    time: commit.time,
    trigger: commit.meta.trigger,
    agent: commit.meta.agent,
    turn: commit.meta.turn,
    subject: commit.subject,
    ...counts,
    damage,
  };
}
