import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { wait } from '../base/clock';
import { BulkheadError, errnoOf, ioError } from '../base/errors';
import { firstInChain } from '../core/chain';
import { writeCommit } from '../core/commitObject';
import type { CreateIntent } from '../core/intent';
import { emptyTreeOid } from '../core/objectId';
import { baseRef, shadowRef } from '../core/refName';
import { newSessionId } from '../core/sessionId';
import { slugOf } from '../core/sessionName';
import { repositoryPart, type SessionRecord } from '../core/sessionRecord';
import { formatMessage } from '../core/snapshotMessage';
import type { RefMove } from '../git/updateRef';
import type { Claims } from './claims';
import { makeClone } from './cloneMaker';
import { donorOf, refreshDonor } from './donor';
import { exists, isRealFolder } from './files';
import type { Host } from './host';
import { copyIncludedFiles } from './includeFiles';
import type { Journal } from './journal';
import { readSessionFile, writePointer, writeSessionFile } from './pointer';
import type { Records } from './records';
import { refLocked, type SnapshotStore } from './snapshotStore';
import type { ResolvedStart } from './startPoints';
import { clonePath, sessionFolder, type Storage } from './storage';
import type { UserRepository } from './userRepository';

const PUBLISH_TRIES = 16;

/** What a new session is published with: its record as it shall be, and what has to move in the very same transaction. */
export interface Publication {
  readonly record: SessionRecord;
  readonly also: readonly RefMove[];
}

interface NewSession {
  readonly name: string;
  readonly start: ResolvedStart;
  readonly agent: string;
  /** Writes what is carried over into the new clone. */
  readonly fill: (clone: string) => Promise<void>;
  /** Asked right before each try to publish; when it throws, nothing of the new session is left. */
  readonly complete?: (record: SessionRecord) => Promise<Publication>;
  readonly onProgress?: ((step: string, share: number | null) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Makes sessions, and clears away what a making that was cut off has left. */
export class SessionMaker {
  readonly #host: Host;
  readonly #storage: Storage;
  readonly #store: SnapshotStore;
  readonly #repository: UserRepository;
  readonly #records: Records;
  readonly #claims: Claims;
  readonly #journal: Journal;

  constructor(options: {
    readonly host: Host;
    readonly storage: Storage;
    readonly store: SnapshotStore;
    readonly repository: UserRepository;
    readonly records: Records;
    readonly claims: Claims;
    readonly journal: Journal;
  }) {
    this.#host = options.host;
    this.#storage = options.storage;
    this.#store = options.store;
    this.#repository = options.repository;
    this.#records = options.records;
    this.#claims = options.claims;
    this.#journal = options.journal;
  }

  /**
   * Makes a session: the folder under a temporary name, then one rename, then all its refs in one transaction. Under a claim
   * and with an intent, so that what a crash leaves is known for what it is and goes.
   */
  async create(request: NewSession): Promise<SessionRecord> {
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

  async #make(record: SessionRecord, request: NewSession): Promise<SessionRecord> {
    const { start, onProgress, signal } = request;
    const { id, nonce } = record;
    onProgress?.('Copying objects', null);
    await refreshDonor(this.#host, donorOf(this.#storage, this.#repository), { onProgress, signal });
    const temporary = this.#creatingFolder(record);
    try {
      await mkdir(temporary, { mode: 0o700 });
      const clone = join(temporary, basename(clonePath(this.#storage, record)));
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
      const result = await this.#store.move(record.id, [...this.#birth(record, options.agent), ...also]);
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
}

/** Name of the folder in which a session is made. */
function creatingName(id: string, nonce: string): string {
  return `${id}-${nonce.slice(0, 8)}`;
}

async function removeFolder(folder: string): Promise<void> {
  try {
    // A git that outlived the process which had started it may still write there.
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  } catch (error) {
    throw ioError('remove', folder, error);
  }
}
