import { BulkheadError, messageOf } from '../base/errors';
import { isOid, isOidPrefix, type Oid } from '../core/objectId';
import { shadowRef } from '../core/refName';
import { isWithin, type RepoPath } from '../core/repoPath';
import { isSessionRef } from '../core/sessionId';
import { parseMessage, type SnapshotMeta } from '../core/snapshotMessage';
import { CancelledError, GitError } from '../git/gitError';
import type { Snapshot, SnapshotQuery } from './api';
import type { Host } from './host';
import type { SnapshotHealth } from './snapshotHealth';
import { isDamage, type SnapshotStore } from './snapshotStore';

const PAGE = 100;
const DEFAULT_LIMIT = 100;
/** So many commits of others in a row are passed over; behind more there is somebody's whole history. */
const MAX_FOREIGN = 1000;

/** A snapshot as its commit tells it, without the counts of lines. */
export interface SnapshotCommit {
  readonly oid: Oid;
  readonly tree: Oid;
  /** Over the borders of chains. */
  readonly previous: Oid | null;
  readonly time: number;
  readonly subject: string;
  readonly meta: SnapshotMeta;
}

interface Counts {
  readonly files: number;
  readonly added: number;
  readonly deleted: number;
}

/** Oid, tree, parents, time and message; a commit's message holds no NUL. */
const LOG_FORMAT = '%x00%H%x00%T%x00%P%x00%ct%x00%B%x00';
const LOG_FIELDS = 6;

interface LogRow {
  readonly oid: Oid;
  /** Undefined: not a snapshot of ours. */
  readonly commit: SnapshotCommit | undefined;
  /** Over the borders of chains. */
  readonly previous: Oid | null;
  readonly startsChain: boolean;
  readonly counts: Counts;
  /** What of it cannot be read, for people. */
  readonly damage: string | null;
}

const NO_COUNTS: Counts = { files: 0, added: 0, deleted: 0 };

/** One row is its fields and, up to the next row, what `--shortstat` prints. */
export function parseLog(text: string): LogRow[] {
  const fields = text.split('\0').slice(1);
  const rows: LogRow[] = [];
  for (let at = 0; at + LOG_FIELDS <= fields.length; at += LOG_FIELDS) {
    const [oid = '', tree = '', parents = '', seconds = '', message = '', counts = ''] = fields.slice(
      at,
      at + LOG_FIELDS,
    );
    const parsed = parseMessage(message);
    const previous = parents.split(' ').find((parent) => parent !== '') ?? parsed?.meta.previous ?? null;
    rows.push({
      oid,
      previous,
      commit:
        parsed === undefined
          ? undefined
          : {
              oid,
              tree,
              previous,
              time: Number(seconds) * 1000,
              subject: parsed.subject,
              meta: parsed.meta,
            },
      startsChain: parents === '',
      counts: parseCounts(counts),
      damage: null,
    });
  }
  return rows;
}

function parseCounts(text: string): Counts {
  const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0);
  return {
    files: number(/(\d+) files? changed/),
    added: number(/(\d+) insertions?/),
    deleted: number(/(\d+) deletions?/),
  };
}

/** Reads snapshots: from the shadow ref back, over the borders of chains. */
export class SnapshotReader {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #health: SnapshotHealth;

  constructor(host: Host, store: SnapshotStore, health: SnapshotHealth) {
    this.#host = host;
    this.#store = store;
    this.#health = health;
  }

  /** @returns undefined when the commit is no snapshot of ours */
  async commit(oid: Oid): Promise<SnapshotCommit | undefined> {
    const commit = await this.#store.commit(oid);
    const parsed = parseMessage(commit.message);
    if (parsed === undefined) {
      return undefined;
    }
    return {
      oid,
      tree: commit.tree,
      previous: commit.parents[0] ?? parsed.meta.previous,
      time: commit.committer.time * 1000,
      subject: parsed.subject,
      meta: parsed.meta,
    };
  }

  /** The snapshot of ours at or before a commit: a foreign hand may have put commits of its own upon one. */
  async nearest(oid: Oid): Promise<SnapshotCommit | undefined> {
    let at: Oid | undefined = oid;
    for (let foreign = 0; at !== undefined && foreign <= MAX_FOREIGN; foreign++) {
      const found = await this.commit(at);
      if (found !== undefined) {
        return found;
      }
      at = (await this.#store.commit(at)).parents[0];
    }
    return undefined;
  }

  /** From the newest back to (and without) `until`; at most `limit`. */
  async history(
    session: string,
    options: { readonly until?: Oid; readonly limit?: number } = {},
  ): Promise<SnapshotCommit[]> {
    const found: SnapshotCommit[] = [];
    for (
      let oid = (await this.#health.standing(session)).good;
      oid !== null && oid !== options.until && found.length < (options.limit ?? Infinity);
    ) {
      const commit: SnapshotCommit | undefined = await this.nearest(oid);
      if (commit === undefined) {
        break;
      }
      found.push(commit);
      oid = await this.#before(commit);
    }
    return found;
  }

  /** The snapshot before; one that cannot be read is passed over. */
  async #before(commit: SnapshotCommit): Promise<Oid | null> {
    if (commit.previous === null) {
      return null;
    }
    try {
      await this.#store.commit(commit.previous);
      return commit.previous;
    } catch (error) {
      if (isDamage(error)) {
        return this.#health.older(commit.meta);
      }
      throw error;
    }
  }

  async snapshot(oid: Oid): Promise<Snapshot> {
    for await (const snapshot of this.#walk(oid, [], 1)) {
      return snapshot;
    }
    throw notFound(oid);
  }

  /** Newest first; of all given sessions by time, then id. */
  async list(sessions: readonly string[], query: SnapshotQuery): Promise<Snapshot[]> {
    const limit = query.limit ?? DEFAULT_LIMIT;
    if (limit <= 0) {
      return [];
    }
    const after = query.after === undefined ? undefined : await this.commit(query.after);
    const [only] = sessions;
    if (sessions.length !== 1 || only === undefined) {
      return this.#merged(sessions, query, after, limit);
    }
    const found: Snapshot[] = [];
    const start = after === undefined ? await this.#listed(only) : await this.#before(after);
    for await (const snapshot of this.#rows(start, query)) {
      found.push(snapshot);
      if (found.length === limit) {
        break;
      }
    }
    return found;
  }

  /** Takes what all sessions have of one second together: within it the ids decide, also between snapshots of one session. */
  async #merged(
    sessions: readonly string[],
    query: SnapshotQuery,
    after: SnapshotCommit | undefined,
    limit: number,
  ): Promise<Snapshot[]> {
    const rows = sessions.map((session) => this.#forgiving(session, query));
    const heads = await Promise.all(rows.map((row) => row.next()));
    const found: Snapshot[] = [];
    while (found.length < limit) {
      const times = heads.flatMap((head) => (head.done === true ? [] : [head.value.time]));
      if (times.length === 0) {
        break;
      }
      const second = Math.max(...times);
      const together: Snapshot[] = [];
      for (const [index, row] of rows.entries()) {
        let head = heads[index];
        while (head !== undefined && head.done !== true && head.value.time >= second) {
          together.push(head.value);
          head = await row.next();
          heads[index] = head;
        }
      }
      found.push(...together.sort(byTimeThenId).filter((row) => after === undefined || byTimeThenId(after, row) < 0));
    }
    return found.slice(0, limit);
  }

  /** One session whose snapshots cannot be read does not hide those of the others. */
  async *#forgiving(session: string, query: SnapshotQuery): AsyncGenerator<Snapshot, void> {
    try {
      yield* this.#rows(await this.#listed(session), query);
    } catch (error) {
      if (error instanceof CancelledError) {
        throw error;
      }
      this.#host.log.warn(`snapshots are missing from the list: ${messageOf(error)}`);
    }
  }

  /** Where a list begins: a newest snapshot that is damaged is listed as such as long as its commit can be read. */
  async #listed(session: string): Promise<Oid | null> {
    return (await this.#health.standing(session)).readable;
  }

  /** What the query asks for, from one snapshot back. */
  async *#rows(start: Oid | null, query: SnapshotQuery): AsyncGenerator<Snapshot, void> {
    if (start === null) {
      return;
    }
    for await (const snapshot of this.#walk(start, query.paths ?? [], PAGE, query.signal)) {
      if (
        (query.agent === undefined || snapshot.agent === query.agent) &&
        (query.trigger === undefined || snapshot.trigger === query.trigger) &&
        (query.turn === undefined || snapshot.turn === query.turn)
      ) {
        yield snapshot;
      }
    }
  }

  /** Reads page by page with one `git log` each, which counts the lines. */
  async *#walk(
    start: Oid,
    paths: readonly RepoPath[],
    pageSize: number,
    signal?: AbortSignal,
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
      const commit: SnapshotCommit | undefined = await this.commit(oid);
      if (commit === undefined) {
        // A foreign hand's; it may stand on one of ours.
        const below: Oid | null = (await this.#store.commit(oid)).parents[0] ?? null;
        rows.push({ oid, commit, previous: below, startsChain: false, counts: NO_COUNTS, damage: null });
        oid = below;
        continue;
      }
      const previous = await this.#before(commit);
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

  /** The tree that a snapshot's changes are counted from. */
  async treeBefore(commit: SnapshotCommit): Promise<Oid> {
    if (commit.previous !== null) {
      return (await this.#store.commit(commit.previous)).tree;
    }
    // The start of a session is its base; the checkout's first snapshot is compared with HEAD.
    if (
      commit.meta.trigger !== 'start' &&
      commit.meta.head !== null &&
      (await this.#store.reader.info(commit.meta.head)) !== undefined
    ) {
      return (await this.#store.commit(commit.meta.head)).tree;
    }
    return commit.tree;
  }

  async #countsAtStart(commit: SnapshotCommit): Promise<Counts> {
    const before = await this.treeBefore(commit);
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
    const before = await this.treeBefore(commit);
    const changes = await this.#store.diff(before, commit.tree, paths);
    return changes.some(({ path }) => paths.some((wanted) => isWithin(path, wanted)));
  }

  /**
   * Finds a snapshot by its oid, six or more digits of it, or `OID^` for the one before.
   * @throws BulkheadError `snapshot-not-found`, `snapshot-ambiguous`
   */
  async resolve(text: string, session?: string): Promise<Snapshot> {
    if (text.endsWith('^')) {
      const { previous } = await this.resolve(text.slice(0, -1), session);
      if (previous === null) {
        throw new BulkheadError('notFound', 'snapshot-not-found', `There is no snapshot before ${text.slice(0, -1)}.`, {
          data: { snapshot: text },
        });
      }
      return this.snapshot(previous);
    }
    const name = text.toLowerCase();
    if (!isOidPrefix(name)) {
      throw new BulkheadError(
        'notFound',
        'snapshot-not-found',
        `"${text}" is not the id of a snapshot: give six or more of its digits.`,
        { data: { snapshot: text } },
      );
    }
    const candidates = isOid(name, this.#store.format)
      ? [name]
      : (await this.#host.git.text([`--git-dir=${this.#store.gitDir}`, 'rev-parse', `--disambiguate=${name}`]))
          .split('\n')
          .filter((oid) => oid !== '');
    const found: Oid[] = [];
    for (const oid of candidates) {
      if (await this.#isSnapshot(oid, session)) {
        found.push(oid);
      }
    }
    const [oid] = found;
    if (oid === undefined) {
      throw notFound(text);
    }
    if (found.length > 1) {
      throw new BulkheadError(
        'user',
        'snapshot-ambiguous',
        `${text} fits ${String(found.length)} snapshots. Give more digits.`,
        { data: { snapshot: text, candidates: found } },
      );
    }
    return this.snapshot(oid);
  }

  /** A commit that lost a race lies in the store too, but no ref of ours leads to it. */
  async #isSnapshot(oid: Oid, session: string | undefined): Promise<boolean> {
    if ((await this.#store.reader.info(oid))?.type !== 'commit') {
      return false;
    }
    const commit = await this.commit(oid);
    if (
      commit === undefined ||
      (session !== undefined && commit.meta.session !== session) ||
      !isSessionRef(commit.meta.session)
    ) {
      return false;
    }
    const id = commit.meta.session;
    const refs = await this.#host.git.run(
      [
        `--git-dir=${this.#store.gitDir}`,
        'for-each-ref',
        `--contains=${oid}`,
        '--count=1',
        '--format=%(refname)',
        shadowRef(id),
        `refs/bulkhead/closed/${id}`,
        `refs/bulkhead/pins/${id}`,
      ],
      { expect: [0, 1, 128] },
    );
    if (refs.stdout.length > 0 || (refs.code === 0 && refs.stderr === '')) {
      return refs.stdout.length > 0;
    }
    // Git gives up where a commit on the way is damaged; the way around it is slow and finds the same.
    return (await this.history(id)).some((snapshot) => snapshot.oid === oid);
  }
}

/** Newest first; in the same second by id. */
function byTimeThenId(a: Pick<Snapshot, 'time' | 'oid'>, b: Pick<Snapshot, 'time' | 'oid'>): number {
  return b.time - a.time || (a.oid < b.oid ? -1 : a.oid === b.oid ? 0 : 1);
}

function notFound(text: string): BulkheadError {
  return new BulkheadError('notFound', 'snapshot-not-found', `There is no snapshot ${text}.`, {
    data: { snapshot: text },
  });
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
