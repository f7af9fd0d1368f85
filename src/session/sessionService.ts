import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { mapLimited } from '../base/async';
import { wait } from '../base/clock';
import { BulkheadError, errnoOf, ioError, isAbsent, messageOf } from '../base/errors';
import { firstInChain } from '../core/chain';
import { writeCommit } from '../core/commitObject';
import { emptyTreeOid, type Oid } from '../core/objectId';
import type { CreateIntent } from '../core/intent';
import { baseRef, lostRef, shadowRef } from '../core/refName';
import { isSessionId, isSessionIdPrefix, newSessionId } from '../core/sessionId';
import { checkSessionName, slugOf } from '../core/sessionName';
import { repositoryPart, type SessionRecord } from '../core/sessionRecord';
import { formatMessage } from '../core/snapshotMessage';
import type { RefMove } from '../git/updateRef';
import type { Session, SessionState } from './api';
import type { Claims, HeldClaim } from './claims';
import { makeClone } from './cloneMaker';
import { donorOf, refreshDonor } from './donor';
import { exists, isRealFolder } from './files';
import type { Host } from './host';
import { copyIncludedFiles } from './includeFiles';
import type { Journal } from './journal';
import { readSessionFile, sessionFolderIds, writePointer, writeSessionFile } from './pointer';
import { readable, type Records, type StoredRecord } from './records';
import type { SnapshotReader } from './snapshotReader';
import { isDamage, refLocked, type SnapshotStore } from './snapshotStore';
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

export type NewestFacts = Pick<Session, 'snapshots' | 'newest' | 'newestTime' | 'newestTree' | 'damage'>;

/** The sessions of one storage: records in the store, folders beside it, and what becomes of them when one is missing. */
export class SessionService {
  readonly #host: Host;
  readonly #storage: Storage;
  readonly #store: SnapshotStore;
  readonly #repository: UserRepository;
  readonly #records: Records;
  readonly #reader: SnapshotReader;
  readonly #claims: Claims;
  readonly #journal: Journal;
  /** Snapshots in the closed chains of a session, as long as its present chain is the one with that number. */
  readonly #closed = new Map<string, { readonly current: number; readonly count: number }>();

  constructor(
    host: Host,
    storage: Storage,
    store: SnapshotStore,
    repository: UserRepository,
    records: Records,
    reader: SnapshotReader,
    claims: Claims,
    journal: Journal,
  ) {
    this.#claims = claims;
    this.#journal = journal;
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
    const { ref, damage } = await this.#reader.standing(id);
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
      ...(await this.newestFacts(id).catch(() => ({
        snapshots: 0,
        newest: null,
        newestTime: null,
        newestTree: null,
        damage: null,
      }))),
      created: null,
    };
  }

  /** What the newest snapshot tells: where the session stands, and how many snapshots it has. */
  async newestFacts(session: string): Promise<NewestFacts> {
    const standing = await this.#reader.standing(session);
    const newest = standing.good;
    const damage = standing.damage?.text ?? null;
    const commit = newest === null ? undefined : await this.#reader.nearest(newest);
    if (commit === undefined) {
      return { snapshots: 0, newest, newestTime: null, newestTree: null, damage };
    }
    const closed = commit.meta.chain.number === 1 ? 0 : await this.#closedSnapshots(session, commit.meta.chain.number);
    return {
      snapshots: closed + commit.meta.chain.ordinal,
      newest: commit.oid,
      newestTime: commit.time,
      newestTree: commit.tree,
      damage,
    };
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
      count += await this.#lengthOfChain(tip);
    }
    this.#closed.set(session, { current, count });
    return count;
  }

  async #lengthOfChain(tip: Oid): Promise<number> {
    try {
      return (await this.#reader.nearest(tip))?.meta.chain.ordinal ?? 0;
    } catch (error) {
      if (isDamage(error)) {
        // Its snapshots are not lost with it, but nobody knows how many they are.
        return 0;
      }
      throw error;
    }
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

  /**
   * The record of a session, whatever became of its folder.
   * @throws BulkheadError `session-not-found`, `record-damaged`, `record-newer`
   */
  async recorded(id: string): Promise<SessionRecord> {
    return readable(id, await this.#required(id));
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
   * Makes a session: the folder under a temporary name, then one rename, then all its refs in one transaction. Under a claim
   * and with an intent, so that what a crash leaves is known for what it is and goes.
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
    const { name, start } = request;
    const id = newSessionId(this.#host.random);
    const slug = slugOf(name) || 'session';
    const record: SessionRecord = {
      id,
      nonce: randomBytes(16).toString('hex'),
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
    return this.#claims.hold(id, 'create', request.agent, (claim) =>
      this.#journal.during(
        id,
        claim,
        { kind: 'create', nonce: record.nonce },
        () => this.#make(record, request),
        async () => (await this.#records.read(id)) === undefined && !(await this.#isHalfMade(record)),
      ),
    );
  }

  async #make(record: SessionRecord, request: Parameters<SessionService['create']>[0]): Promise<SessionRecord> {
    const { start, onProgress, signal } = request;
    const { id, nonce } = record;
    onProgress?.('Copying objects', null);
    await refreshDonor(this.#host, donorOf(this.#storage, this.#repository), { onProgress, signal });
    const temporary = this.#creatingFolder(record);
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
        await this.#removeHalfMade(record);
      }
      throw error;
    }
  }

  #creatingFolder({ id, nonce }: Pick<SessionRecord, 'id' | 'nonce'>): string {
    return join(this.#storage.creating, creatingName(id, nonce));
  }

  async #isHalfMade(record: Pick<SessionRecord, 'id' | 'nonce'>): Promise<boolean> {
    return (await exists(this.#creatingFolder(record))) || (await exists(sessionFolder(this.#storage, record.id)));
  }

  /** Out of its place first: a removal that is cut off must not leave a folder that nobody can tell for half made. */
  async #removeHalfMade(record: Pick<SessionRecord, 'id' | 'nonce'>): Promise<void> {
    const folder = sessionFolder(this.#storage, record.id);
    const creating = this.#creatingFolder(record);
    if (await isRealFolder(folder)) {
      if ((await readSessionFile(folder))?.nonce !== record.nonce) {
        this.#host.log.warn(`${folder} stays: it is not the folder that the session ${record.id} was being made in`);
      } else {
        await removeFolder(creating);
        try {
          await rename(folder, creating);
        } catch (error) {
          throw ioError('move away', folder, error);
        }
      }
    }
    await removeFolder(creating);
  }

  /**
   * Ends the making of a session whose process was killed; to be called by the holder of the claim. Without its record the
   * session was never listed, and nobody has worked in it: its folder goes.
   * @returns whether the session is there
   */
  async finishCreate(id: string, intent: CreateIntent): Promise<boolean> {
    if ((await this.#records.read(id)) !== undefined) {
      return true;
    }
    await this.#removeHalfMade({ id, nonce: intent.nonce });
    return false;
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

  /**
   * Puts a session's folder into the trash; its snapshots stay where they are. To be called by the holder of the claim.
   * @returns its name there
   */
  async trash(record: SessionRecord, claim: HeldClaim): Promise<string> {
    const name = this.trashName(record.id);
    await this.#journal.during(
      record.id,
      claim,
      { kind: 'delete' },
      async () => {
        await claim.check();
        // The record first: a crash before the rename leaves a deleted session whose folder is still there, and nothing lost.
        await this.#records.change(record.id, (current) => ({ ...current, state: 'trashed', trashed: name }));
        try {
          await this.#moveToTrash(record.id, name);
        } catch (error) {
          // Still in its place, so it is not deleted.
          await this.#records.change(record.id, (current) => ({ ...current, state: 'ready', trashed: null }));
          throw error;
        }
      },
      async () => (await this.#stateOf(record.id)) === 'ready',
    );
    return name;
  }

  async #stateOf(id: string): Promise<SessionRecord['state'] | undefined> {
    const parsed = (await this.#records.read(id))?.parsed;
    return parsed?.kind === 'ok' ? parsed.record.state : undefined;
  }

  async #moveToTrash(id: string, name: string): Promise<void> {
    const folder = sessionFolder(this.#storage, id);
    if (await exists(folder)) {
      try {
        await rename(folder, join(this.#storage.trash, name));
      } catch (error) {
        throw ioError('move to the trash', folder, error);
      }
    }
  }

  /**
   * Moves the folder of a deleted session that is still in its place; to be called by the holder of the claim.
   * @returns whether the session is deleted; null when its folder is gone already
   */
  async finishRemoval(id: string): Promise<boolean | null> {
    const parsed = (await this.#records.read(id))?.parsed;
    if (parsed?.kind !== 'ok' || parsed.record.state !== 'trashed') {
      return false;
    }
    const folder = sessionFolder(this.#storage, id);
    if (!(await isRealFolder(folder))) {
      return null;
    }
    const file = await readSessionFile(folder);
    if (file !== undefined && file.nonce !== parsed.record.nonce) {
      this.#host.log.warn(`${folder} stays: it is not the folder of the deleted session ${id}`);
      return null;
    }
    await this.finishTrash(parsed.record);
    return (await exists(folder)) ? null : true;
  }

  /** Ids of deleted sessions whose folder is still in its place. */
  async halfTrashed(): Promise<string[]> {
    const found: string[] = [];
    for (const id of await sessionFolderIds(this.#storage.sessions)) {
      const parsed = (await this.#records.read(id))?.parsed;
      const trashed = parsed?.kind === 'ok' && parsed.record.state === 'trashed' ? parsed.record.trashed : null;
      if (trashed !== null && !(await exists(join(this.#storage.trash, trashed)))) {
        found.push(id);
      }
    }
    return found;
  }

  /**
   * Puts a session that cannot be read into the trash: its folder goes there as it is, its snapshots stay. Where there are
   * snapshots or a damaged record, a new record says that it is deleted; the damaged one is kept under a ref of its own.
   * To be called by the holder of the claim.
   * @returns its name in the trash
   */
  async trashBroken(id: string): Promise<string> {
    const name = this.trashName(id);
    const stored = await this.#records.read(id);
    const newest = await this.#reader.newest(id);
    if (stored !== undefined || newest !== null) {
      const result = await this.#store.move(`record ${id}`, [
        this.#records.prepare(await this.#substitute(id, name), stored?.oid ?? null),
        ...(stored === undefined || (await this.#store.ref(lostRef(id, stored.oid))) !== null
          ? []
          : [{ ref: lostRef(id, stored.oid), from: null, to: stored.oid }]),
      ]);
      if (result.kind !== 'done') {
        throw new BulkheadError('busy', 'lost-race', `The record of session ${id} is being changed. Try again.`, {
          data: { session: id },
        });
      }
    }
    await this.#moveToTrash(id, name);
    return name;
  }

  /** What is still known of a session without a readable record. */
  async #substitute(id: string, trashed: string): Promise<SessionRecord> {
    const base = await this.#store.ref(baseRef(id));
    const file = await readSessionFile(sessionFolder(this.#storage, id));
    return {
      id,
      nonce: file?.nonce ?? randomBytes(16).toString('hex'),
      name: id,
      slug: id,
      repository: repositoryPart(basename(this.#repository.root)),
      branch: id,
      base: {
        commit: base,
        tree: base === null ? emptyTreeOid(this.#store.format) : (await this.#store.commit(base)).tree,
      },
      created: this.#host.clock.now(),
      from: 'a damaged record',
      state: 'trashed',
      trashed,
      successor: null,
    };
  }
}

/** Name of the folder in which a session is made. */
function creatingName(id: string, nonce: string): string {
  return `${id}-${nonce.slice(0, 8)}`;
}

async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true });
  } catch (error) {
    throw ioError('remove', folder, error);
  }
}
