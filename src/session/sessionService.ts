import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { mapLimited } from '../base/async';
import { wait } from '../base/clock';
import { BulkheadError, errnoOf, ioError, isAbsent, messageOf } from '../base/errors';
import { firstInChain } from '../core/chain';
import { writeCommit } from '../core/commitObject';
import { emptyTreeOid, type Oid } from '../core/objectId';
import { baseRef, shadowRef } from '../core/refName';
import { isSessionId, isSessionIdPrefix, newSessionId } from '../core/sessionId';
import { checkSessionName, slugOf } from '../core/sessionName';
import { repositoryPart, type SessionRecord } from '../core/sessionRecord';
import { formatMessage } from '../core/snapshotMessage';
import type { RefMove } from '../git/updateRef';
import type { Session, SessionState } from './api';
import { makeClone, refreshDonor } from './cloneMaker';
import { exists, isRealFolder } from './files';
import type { Host } from './host';
import { copyIncludedFiles } from './includeFiles';
import { readSessionFile, sessionFolderIds, writePointer, writeSessionFile } from './pointer';
import type { Records, StoredRecord } from './records';
import type { SnapshotReader } from './snapshotReader';
import { refLocked, type SnapshotStore } from './snapshotStore';
import { sessionFolder, type Storage } from './storage';
import type { UserRepository } from './userRepository';

/** A folder without a record that is younger than this is one that is being made, in milliseconds. */
const ORPHAN_GRACE_MS = 3_600_000;
const PUBLISH_TRIES = 16;

/** Where a new clone starts: resolved to oids. */
export interface ResolvedStart {
  /** Null before the first commit. */
  readonly commit: Oid | null;
  /** What the session is given; differs from the commit's tree when work is carried over. */
  readonly tree: Oid;
  /** For people. */
  readonly label: string;
}

/** What a new session is published with: its record as it shall be, and what has to move in the very same transaction. */
export interface Publication {
  readonly record: SessionRecord;
  readonly also: readonly RefMove[];
}

/** The sessions of one storage: records in the store, folders beside it, and what becomes of them when one is missing. */
export class SessionService {
  readonly #host: Host;
  readonly #storage: Storage;
  readonly #store: SnapshotStore;
  readonly #repository: UserRepository;
  readonly #records: Records;
  readonly #reader: SnapshotReader;
  /** Snapshots in the closed chains of a session, as long as its present chain is the one with that number. */
  readonly #closed = new Map<string, { readonly current: number; readonly count: number }>();

  constructor(
    host: Host,
    storage: Storage,
    store: SnapshotStore,
    repository: UserRepository,
    records: Records,
    reader: SnapshotReader,
  ) {
    this.#host = host;
    this.#storage = storage;
    this.#store = store;
    this.#repository = repository;
    this.#records = records;
    this.#reader = reader;
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
    const text = await this.#host.git.text([
      `--git-dir=${this.#store.gitDir}`,
      'for-each-ref',
      '--format=%(refname:lstrip=3)',
      'refs/bulkhead/records',
      'refs/bulkhead/sessions',
    ]);
    return text.split('\n').filter((id) => isSessionId(id));
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
        return this.#broken(id, 'newer', 'It was changed by a newer version of Bulkhead.');
      case 'damaged':
        return this.#broken(id, 'damaged', `Its record cannot be read: ${stored.parsed.reason}.`);
    }
  }

  async #known(record: SessionRecord): Promise<Session> {
    const path = this.clonePath(record);
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
      ...(await this.newestFacts(record.id)),
      created: record.created,
    };
  }

  async #withoutRecord(id: string): Promise<Session | undefined> {
    const folder = sessionFolder(this.#storage, id);
    if ((await this.#reader.newest(id)) !== null) {
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
      ...(await this.newestFacts(id).catch(() => ({ snapshots: 0, newest: null, newestTime: null, newestTree: null }))),
      created: null,
    };
  }

  /** What the newest snapshot tells: where the session stands, and how many snapshots it has. */
  async newestFacts(session: string): Promise<Pick<Session, 'snapshots' | 'newest' | 'newestTime' | 'newestTree'>> {
    const newest = await this.#reader.newest(session);
    const commit = newest === null ? undefined : await this.#reader.commit(newest);
    if (commit === undefined) {
      return { snapshots: 0, newest, newestTime: null, newestTree: null };
    }
    const closed = commit.meta.chain.number === 1 ? 0 : await this.#closedSnapshots(session, commit.meta.chain.number);
    return { snapshots: closed + commit.meta.chain.ordinal, newest, newestTime: commit.time, newestTree: commit.tree };
  }

  /** Each closed chain's last snapshot knows how many the chain has. */
  async #closedSnapshots(session: string, current: number): Promise<number> {
    const known = this.#closed.get(session);
    if (known?.current === current) {
      return known.count;
    }
    const tips = await this.#host.git.text([
      `--git-dir=${this.#store.gitDir}`,
      'for-each-ref',
      '--format=%(objectname)',
      `refs/bulkhead/closed/${session}`,
    ]);
    let count = 0;
    for (const tip of tips.split('\n').filter((oid) => oid !== '')) {
      count += (await this.#reader.commit(tip))?.meta.chain.ordinal ?? 0;
    }
    this.#closed.set(session, { current, count });
    return count;
  }

  clonePath(record: SessionRecord): string {
    return join(sessionFolder(this.#storage, record.id), `${record.repository}-${record.slug}`);
  }

  /**
   * The record of a session whose clone may be worked in.
   * @throws BulkheadError `session-not-found`, `session-not-ready`, `record-damaged`, `record-newer`
   */
  async ready(id: string): Promise<SessionRecord> {
    const stored = await this.#required(id);
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

  async #required(id: string): Promise<StoredRecord> {
    const stored = await this.#records.read(id);
    if (stored === undefined) {
      throw new BulkheadError('notFound', 'session-not-found', `There is no session ${id}.`, { data: { session: id } });
    }
    return stored;
  }

  /** @throws BulkheadError `session-not-found`, `session-ambiguous` */
  async resolve(text: string): Promise<Session> {
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

  /** @throws BulkheadError `name-invalid`, `name-taken` */
  async checkName(text: string, except?: string): Promise<string> {
    const checked = checkSessionName(text);
    if (checked.kind === 'invalid') {
      throw new BulkheadError('user', 'name-invalid', checked.reason);
    }
    const taken = (await this.list({ all: false })).some(({ id, name }) => name === checked.name && id !== except);
    if (taken) {
      throw new BulkheadError(
        'user',
        'name-taken',
        `There is a session "${checked.name}" already. Choose another name.`,
        { data: { name: checked.name } },
      );
    }
    return checked.name;
  }

  async rename(id: string, name: string): Promise<void> {
    const checked = await this.checkName(name, id);
    await this.#records.change(id, (record) => ({ ...record, name: checked }));
  }

  /**
   * Makes a session: the folder under a temporary name, then one rename, then all its refs in one transaction. A crash
   * in between leaves a folder without a record, which is never listed as a session.
   * @param request.fill writes what is carried over into the new clone
   * @param request.complete asked right before each try to publish; when it throws, nothing of the new session is left
   */
  async create(request: {
    readonly name: string;
    readonly start: ResolvedStart;
    readonly agent: string;
    readonly fill: (clone: string) => Promise<void>;
    readonly complete?: (record: SessionRecord) => Promise<Publication>;
    readonly onProgress?: ((step: string, share: number | null) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<SessionRecord> {
    const { name, start, onProgress, signal } = request;
    const id = newSessionId(this.#host.random);
    const nonce = randomBytes(16).toString('hex');
    const slug = slugOf(name) || 'session';
    const record: SessionRecord = {
      id,
      nonce,
      name,
      slug,
      repository: repositoryPart(basename(this.#repository.root)),
      branch: slug,
      base: { commit: start.commit, tree: start.tree },
      created: this.#host.clock.now(),
      from: start.label,
      state: 'ready',
      trashed: null,
      successor: null,
    };
    onProgress?.('Copying objects', null);
    await refreshDonor(this.#host, this.#storage, this.#repository, { onProgress, signal });
    const temporary = join(this.#storage.creating, `${id}-${nonce.slice(0, 8)}`);
    try {
      await mkdir(temporary, { mode: 0o700 });
      const clone = join(temporary, basename(this.clonePath(record)));
      onProgress?.('Making the clone', null);
      await makeClone(this.#host, this.#storage, this.#repository, {
        target: clone,
        commit: start.commit,
        branch: record.branch,
        onProgress,
        signal,
      });
      await request.fill(clone);
      onProgress?.('Copying ignored files', null);
      await copyIncludedFiles(this.#host, this.#repository, clone);
      await writePointer(join(clone, '.git'), { storage: this.#storage.root, id, nonce });
      await writeSessionFile(temporary, { id, nonce });
      await rename(temporary, sessionFolder(this.#storage, id));
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw errnoOf(error) === undefined ? error : ioError('make a session in', this.#storage.creating, error);
    }
    try {
      return await this.#publish(request.complete ?? ((made) => Promise.resolve({ record: made, also: [] })), record, {
        agent: request.agent,
      });
    } catch (error) {
      if ((await this.#records.read(id).catch(() => 'unknown')) === undefined) {
        await rm(sessionFolder(this.#storage, id), { recursive: true, force: true });
      }
      throw error;
    }
  }

  async #publish(
    complete: (record: SessionRecord) => Promise<Publication>,
    made: SessionRecord,
    options: { readonly agent: string },
  ): Promise<SessionRecord> {
    for (let attempt = 1; ; attempt++) {
      const { record, also } = await complete(made);
      const result = await this.#store.move(`record ${record.id}`, [...this.#birth(record, options.agent), ...also]);
      if (result.kind === 'done') {
        return record;
      }
      if (attempt === PUBLISH_TRIES) {
        throw result.kind === 'locked'
          ? refLocked(result)
          : new BulkheadError(
              'busy',
              'session-not-made',
              'The new session could not be recorded because others kept changing the same records. Nothing was made; try again.',
              { data: { result } },
            );
      }
      this.#host.log.debug(`birth of ${record.id}: ${result.kind}, attempt ${String(attempt)}`);
      await wait(this.#host.clock, this.#host.random.fraction() * 10);
    }
  }

  /** The refs that a session begins with. */
  #birth(record: SessionRecord, agent: string): RefMove[] {
    const time = Math.floor(this.#host.clock.now() / 1000);
    if (record.base.tree === emptyTreeOid(this.#store.format)) {
      this.#store.objects.write('tree', Buffer.alloc(0));
    }
    const person = { name: agent, email: `${agent}@bulkhead.invalid`, time, offset: '+0000' };
    const message = formatMessage(`Start of ${record.name}`, {
      session: record.id,
      trigger: 'start',
      agent,
      turn: null,
      head: record.base.commit,
      skipped: { count: 0, named: [] },
      chain: firstInChain(time),
      previous: null,
      reverses: null,
    });
    const start = this.#store.objects.write(
      'commit',
      writeCommit({ tree: record.base.tree, parents: [], author: person, committer: person, message }),
    );
    return [
      { ref: shadowRef(record.id), from: null, to: start },
      this.#records.prepare(record, null),
      ...(record.base.commit === null
        ? []
        : [
            { ref: baseRef(record.id), from: null, to: record.base.commit },
            { ref: `refs/bulkhead/heads/${record.id}/HEAD`, from: null, to: record.base.commit },
          ]),
    ];
  }

  /** The name that a session's folder gets in the trash when it goes there now. */
  trashName(id: string): string {
    return `${id}-${new Date(this.#host.clock.now()).toISOString().replace(/[:.]/g, '-')}`;
  }

  /**
   * Brings the folder of a session whose record says so into the trash, if it is not there yet; may be done by several at once.
   * @throws BulkheadError of kind `io`; the folder is then where it was
   */
  async finishTrash({ id, state, trashed }: SessionRecord): Promise<void> {
    const folder = sessionFolder(this.#storage, id);
    if (state !== 'trashed' || trashed === null || !(await exists(folder))) {
      return;
    }
    const target = join(this.#storage.trash, trashed);
    if (await exists(target)) {
      // An editor that still showed the clone made its folder again: what is in the trash is the session.
      this.#host.log.info(`${folder} was made again after its session went to the trash; it is left alone`);
      return;
    }
    try {
      await rename(folder, target);
    } catch (error) {
      if (!isAbsent(error)) {
        throw ioError('move to the trash', folder, error);
      }
      // Somebody else has just moved it.
    }
  }

  /** Puts a session's folder into the trash; its snapshots stay where they are. */
  async trash(record: SessionRecord): Promise<string> {
    const name = this.trashName(record.id);
    // The record first: a crash before the rename leaves a deleted session whose folder is still there, and nothing lost.
    await this.#records.change(record.id, (current) => ({ ...current, state: 'trashed', trashed: name }));
    const folder = sessionFolder(this.#storage, record.id);
    if (await exists(folder)) {
      try {
        await rename(folder, join(this.#storage.trash, name));
      } catch (error) {
        // Still in its place, so it is not deleted.
        await this.#records.change(record.id, (current) => ({ ...current, state: 'ready', trashed: null }));
        throw ioError('move to the trash', folder, error);
      }
    }
    return name;
  }
}
