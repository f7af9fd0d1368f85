import { stat } from 'node:fs/promises';
import { mapLimited } from '../base/async';
import { BulkheadError, messageOf } from '../base/errors';
import { shadowRef } from '../core/refName';
import { isSessionId, isSessionIdPrefix } from '../core/sessionId';
import type { SessionRecord } from '../core/sessionRecord';
import { listRefs } from '../git/forEachRef';
import { type Session, type SessionRef, type SessionState, WORKSPACE } from './api';
import { isRealFolder } from './files';
import type { Host } from './host';
import { readSessionFile, sessionFolderIds } from './pointer';
import type { Records } from './records';
import type { SnapshotHealth } from './snapshotHealth';
import type { SnapshotStore } from './snapshotStore';
import type { SnapshotSummaries } from './snapshotSummaries';
import { clonePath, sessionFolder, type Storage } from './storage';
import type { Workspace } from './workspace';

/** A folder without a record that is younger than this is one that is being made, in milliseconds. */
const ORPHAN_GRACE_MS = 3_600_000;

/** Which sessions there are: records in the store, folders beside it, and what becomes of a session when one is missing. */
export class SessionCatalog {
  readonly #host: Host;
  readonly #storage: Storage;
  readonly #store: SnapshotStore;
  readonly #records: Records;
  readonly #health: SnapshotHealth;
  readonly #summaries: SnapshotSummaries;
  readonly #workspace: Workspace;
  /** Sessions of a newer version that were told of. */
  readonly #warned = new Set<string>();

  constructor(options: {
    readonly host: Host;
    readonly storage: Storage;
    readonly store: SnapshotStore;
    readonly records: Records;
    readonly health: SnapshotHealth;
    readonly summaries: SnapshotSummaries;
    readonly workspace: Workspace;
  }) {
    this.#host = options.host;
    this.#storage = options.storage;
    this.#store = options.store;
    this.#records = options.records;
    this.#health = options.health;
    this.#summaries = options.summaries;
    this.#workspace = options.workspace;
  }

  /** All sessions, newest first; one that is broken is listed as such and hides no other. */
  async list(options: { readonly all: boolean }): Promise<Session[]> {
    const ids = new Set([...(await this.#recordedIds()), ...(await sessionFolderIds(this.#storage.sessions))]);
    const sessions = await mapLimited([...ids], 8, async (id) => {
      try {
        return await this.get(id);
      } catch (error) {
        this.#host.log.warn(`session ${id} cannot be shown: ${messageOf(error)}`);
        return this.#broken(id, 'damaged', messageOf(error));
      }
    });
    return sessions
      .filter((session) => session !== undefined)
      .filter(({ state }) => options.all || state !== 'trashed')
      .sort((a, b) => (b.created ?? 0) - (a.created ?? 0) || (a.id < b.id ? -1 : 1));
  }

  async #recordedIds(): Promise<string[]> {
    const refs = await listRefs(this.#host.git, this.#store.gitDir, [
      'refs/bulkhead/records',
      'refs/bulkhead/sessions',
    ]);
    return [...refs.keys()].map((ref) => ref.slice(ref.lastIndexOf('/') + 1)).filter((id) => isSessionId(id));
  }

  /** A session, or the user's checkout as one. @throws BulkheadError `session-not-found` */
  async session(ref: SessionRef): Promise<Session> {
    const session = ref === WORKSPACE ? await this.#workspace.session() : await this.get(ref);
    if (session === undefined) {
      throw new BulkheadError('notFound', 'session-not-found', `There is no session ${ref}.`, {
        data: { session: ref },
      });
    }
    return session;
  }

  /** @returns undefined when nothing of that id exists, or it is only being made */
  async get(id: string): Promise<Session | undefined> {
    const stored = await this.#records.read(id);
    if (stored === undefined) {
      return this.#withoutRecord(id);
    }
    switch (stored.parsed.kind) {
      case 'ok':
        return this.#known(stored.parsed.record);
      case 'newer':
        if (!this.#warned.has(id)) {
          this.#warned.add(id);
          this.#host.log.warn(
            `session ${id} was changed by a newer version of Bulkhead and is left alone. Update Bulkhead in this window, too`,
          );
        }
        return this.#broken(id, 'newer', 'It was changed by a newer version of Bulkhead.');
      case 'damaged':
        return this.#broken(id, 'damaged', `Its record cannot be read: ${stored.parsed.reason}.`);
    }
  }

  async #known(record: SessionRecord): Promise<Session> {
    const path = clonePath(this.#storage, record);
    const isThere = await isRealFolder(path);
    const state: SessionState = record.state === 'trashed' ? 'trashed' : isThere ? 'ready' : 'missing';
    const reason =
      state === 'missing'
        ? 'The folder of its clone is gone. Its snapshots are still there.'
        : state === 'trashed'
          ? record.successor === null
            ? 'It was deleted. Its snapshots are still there.'
            : `It was reset: session ${record.successor} took its place. Its snapshots are still there.`
          : null;
    return {
      id: record.id,
      name: record.name,
      path: state === 'ready' ? path : null,
      state,
      reason,
      base: record.base,
      shadowRef: shadowRef(record.id),
      branch: record.branch,
      ...(await this.#summaries.of(record.id)),
      created: record.created,
    };
  }

  async #withoutRecord(id: string): Promise<Session | undefined> {
    const folder = sessionFolder(this.#storage, id);
    const { ref, damage } = await this.#health.standing(id);
    if (ref !== null || damage !== null) {
      return this.#broken(id, 'damaged', 'Its record is gone. Its snapshots are still there.');
    }
    if (!(await isRealFolder(folder))) {
      return undefined;
    }
    const { mtimeMs } = await stat(folder);
    return this.#host.clock.now() - mtimeMs < ORPHAN_GRACE_MS
      ? undefined
      : this.#broken(id, 'orphaned', 'There is a folder, but no record of this session.');
  }

  async #broken(id: string, state: SessionState, reason: string): Promise<Session> {
    const folder = sessionFolder(this.#storage, id);
    return {
      id,
      name: id,
      path: (await isRealFolder(folder)) ? folder : null,
      state,
      reason,
      base: null,
      shadowRef: shadowRef(id),
      branch: null,
      ...(await this.#summaries.of(id).catch(() => ({
        snapshots: 0,
        newest: null,
        newestTime: null,
        newestTree: null,
        damage: null,
      }))),
      created: null,
    };
  }

  /**
   * The record of a session whose clone may be worked in.
   * @throws BulkheadError `session-not-found`, `session-not-ready`, `record-damaged`, `record-newer`
   */
  async ready(id: string): Promise<SessionRecord> {
    const stored = await this.#records.existing(id);
    const record = stored.parsed.kind === 'ok' ? stored.parsed.record : undefined;
    const session = await this.get(id);
    if (record === undefined || session?.state !== 'ready') {
      throw new BulkheadError(
        'notFound',
        'session-not-ready',
        `${session?.name ?? id} cannot be worked in: ${session?.reason ?? 'it is not there'}`,
        {
          data: { session: id, state: session?.state ?? null },
        },
      );
    }
    const file = await readSessionFile(sessionFolder(this.#storage, id));
    if (file?.nonce !== record.nonce) {
      throw new BulkheadError(
        'damaged',
        'session-not-ready',
        `The folder of "${record.name}" is not the one that its record was made for. Nothing was done there.`,
        {
          data: { session: id },
        },
      );
    }
    return record;
  }

  /**
   * What a person named by its id, the beginning of it, or its name; `workspace` is the user's checkout.
   * @throws BulkheadError `session-not-found`, `session-ambiguous`
   */
  async resolve(text: string): Promise<Session> {
    if (text === WORKSPACE) {
      return this.#workspace.session();
    }
    const sessions = await this.list({ all: true });
    const exact = sessions.find(({ id }) => id === text);
    if (exact !== undefined) {
      return exact;
    }
    const byName = sessions.filter(({ name }) => name === text);
    const living = byName.filter(({ state }) => state !== 'trashed');
    const matches =
      living.length > 0
        ? living
        : byName.length > 0
          ? byName
          : isSessionIdPrefix(text)
            ? sessions.filter(({ id }) => id.startsWith(text))
            : [];
    const [session] = matches;
    if (session === undefined) {
      throw new BulkheadError('notFound', 'session-not-found', `There is no session "${text}".`, {
        data: { session: text },
      });
    }
    if (matches.length > 1) {
      throw new BulkheadError(
        'user',
        'session-ambiguous',
        `"${text}" fits ${String(matches.length)} sessions: ${matches.map(({ id }) => id).join(', ')}. Use an id.`,
        {
          data: { session: text, candidates: matches.map(({ id }) => id) },
        },
      );
    }
    return session;
  }
}
