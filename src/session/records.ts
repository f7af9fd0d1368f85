import { wait } from '../base/clock';
import { BulkheadError } from '../base/errors';
import { type Oid } from '../core/objectId';
import { recordRef } from '../core/refName';
import { formatRecord, type ParsedRecord, parseRecord, type SessionRecord } from '../core/sessionRecord';
import type { RefMove } from '../git/updateRef';
import type { Host } from './host';
import { refLocked, type SnapshotStore } from './snapshotStore';

const TRIES = 16;

/** A record as it stands, with the blob that a change of it has to name as the old one. */
export interface StoredRecord {
  readonly oid: Oid;
  readonly parsed: ParsedRecord;
}

/** The changing part of what is known of sessions: JSON blobs under refs, moved by compare-and-swap. */
export class Records {
  readonly #host: Host;
  readonly #store: SnapshotStore;

  constructor(host: Host, store: SnapshotStore) {
    this.#host = host;
    this.#store = store;
  }

  /** @returns undefined when there is no record of that id */
  async read(id: string): Promise<StoredRecord | undefined> {
    const object = await this.#store.tip(recordRef(id));
    if (object === undefined) {
      return undefined;
    }
    if (object.type !== 'blob') {
      return { oid: object.oid, parsed: { kind: 'damaged', reason: `it is a ${object.type}` } };
    }
    return { oid: object.oid, parsed: parseRecord(object.body, id) };
  }

  /** @throws BulkheadError `session-not-found` */
  async existing(id: string): Promise<StoredRecord> {
    const stored = await this.read(id);
    if (stored === undefined) {
      throw new BulkheadError('notFound', 'session-not-found', `There is no session ${id}.`, { data: { session: id } });
    }
    return stored;
  }

  /** @throws BulkheadError `session-not-found`, `record-damaged`, `record-newer` */
  async recorded(id: string): Promise<SessionRecord> {
    return readable(id, await this.existing(id));
  }

  /** The move of refs that creates or changes a record; the blob is written now, the ref moves with the caller's transaction. */
  prepare(record: SessionRecord, from: Oid | null): RefMove {
    return { ref: recordRef(record.id), from, to: this.#store.objects.write('blob', formatRecord(record)) };
  }

  /**
   * Changes a record; `change` sees the newest one each time it is tried.
   * @throws BulkheadError `session-not-found`, `record-damaged`, `lost-race`, `ref-locked`
   */
  async change(
    id: string,
    change: (record: SessionRecord) => SessionRecord,
    also: readonly RefMove[] = [],
  ): Promise<SessionRecord> {
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const stored = await this.existing(id);
      const next = change(readable(id, stored));
      const result = await this.#store.move(id, [this.prepare(next, stored.oid), ...also]);
      if (result.kind === 'done') {
        return next;
      }
      this.#host.log.debug(`record of ${id}: ${result.kind}, attempt ${String(attempt)}`);
      if (result.kind === 'locked' && attempt === TRIES) {
        throw refLocked(result);
      }
      await wait(this.#host.clock, this.#host.random.fraction() * 10);
    }
    throw new BulkheadError(
      'busy',
      'lost-race',
      `The record of session ${id} is being changed by others. Nothing was overwritten; try again.`,
      {
        data: { session: id },
      },
    );
  }
}

/** @throws BulkheadError `record-damaged`, `record-newer` */
export function readable(id: string, stored: StoredRecord): SessionRecord {
  switch (stored.parsed.kind) {
    case 'ok':
      return stored.parsed.record;
    case 'newer':
      throw new BulkheadError(
        'damaged',
        'record-newer',
        `Session ${id} was changed by a newer version of Bulkhead. Update Bulkhead to work with it; its snapshots can be listed.`,
        {
          data: { session: id, format: stored.parsed.format },
        },
      );
    case 'damaged':
      throw new BulkheadError(
        'damaged',
        'record-damaged',
        `The record of session ${id} cannot be read: ${stored.parsed.reason}. Its snapshots are not touched and can be listed.`,
        {
          data: { session: id, reason: stored.parsed.reason },
        },
      );
  }
}
