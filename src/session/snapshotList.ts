import { messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import { CancelledError } from '../git/gitError';
import type { Snapshot, SnapshotQuery } from './api';
import type { Host } from './host';
import type { SnapshotHealth } from './snapshotHealth';
import type { SnapshotLog } from './snapshotLog';
import type { SnapshotCommit, SnapshotReader } from './snapshotReader';

const DEFAULT_LIMIT = 100;

/** Lists what a query asks for, of one session or of several together. */
export class SnapshotList {
  readonly #host: Host;
  readonly #health: SnapshotHealth;
  readonly #reader: SnapshotReader;
  readonly #log: SnapshotLog;

  constructor(host: Host, health: SnapshotHealth, reader: SnapshotReader, log: SnapshotLog) {
    this.#host = host;
    this.#health = health;
    this.#reader = reader;
    this.#log = log;
  }

  /** Newest first; of all given sessions by time, then id. */
  async list(sessions: readonly string[], query: SnapshotQuery): Promise<Snapshot[]> {
    const limit = query.limit ?? DEFAULT_LIMIT;
    if (limit <= 0) {
      return [];
    }
    const after = query.after === undefined ? undefined : await this.#reader.commit(query.after);
    const [only] = sessions;
    if (sessions.length !== 1 || only === undefined) {
      return this.#merged(sessions, query, after, limit);
    }
    const found: Snapshot[] = [];
    const start = after === undefined ? await this.#listed(only) : await this.#reader.before(after);
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
    for await (const snapshot of this.#log.walk(start, { paths: query.paths ?? [], signal: query.signal })) {
      if (
        (query.agent === undefined || snapshot.agent === query.agent) &&
        (query.trigger === undefined || snapshot.trigger === query.trigger) &&
        (query.turn === undefined || snapshot.turn === query.turn)
      ) {
        yield snapshot;
      }
    }
  }
}

/** Newest first; in the same second by id. */
function byTimeThenId(a: Pick<Snapshot, 'time' | 'oid'>, b: Pick<Snapshot, 'time' | 'oid'>): number {
  return b.time - a.time || (a.oid < b.oid ? -1 : a.oid === b.oid ? 0 : 1);
}
