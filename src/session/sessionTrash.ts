import { randomBytes } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BulkheadError, ioError, isAbsent } from '../base/errors';
import { emptyTreeOid } from '../core/objectId';
import { baseRef, lostRef } from '../core/refName';
import { repositoryPart, type SessionRecord } from '../core/sessionRecord';
import type { HeldClaim } from './claims';
import { exists, isRealFolder } from './files';
import type { Host } from './host';
import type { Journal } from './journal';
import { readSessionFile, sessionFolderIds } from './pointer';
import type { Records } from './records';
import type { SnapshotHealth } from './snapshotHealth';
import type { SnapshotStore } from './snapshotStore';
import { sessionFolder, type Storage } from './storage';
import type { UserRepository } from './userRepository';

/** Puts sessions into the trash, folder and record, and finishes what was cut off on the way there. */
export class SessionTrash {
  readonly #host: Host;
  readonly #storage: Storage;
  readonly #store: SnapshotStore;
  readonly #repository: UserRepository;
  readonly #records: Records;
  readonly #journal: Journal;
  readonly #health: SnapshotHealth;

  constructor(options: {
    readonly host: Host;
    readonly storage: Storage;
    readonly store: SnapshotStore;
    readonly repository: UserRepository;
    readonly records: Records;
    readonly journal: Journal;
    readonly health: SnapshotHealth;
  }) {
    this.#host = options.host;
    this.#storage = options.storage;
    this.#store = options.store;
    this.#repository = options.repository;
    this.#records = options.records;
    this.#journal = options.journal;
    this.#health = options.health;
  }

  /** The name that a session's folder gets in the trash when it goes there now. */
  nameFor(id: string): string {
    return `${id}-${new Date(this.#host.clock.now()).toISOString().replace(/[:.]/g, '-')}`;
  }

  /**
   * Brings the folder of a session whose record says so into the trash, if it is not there yet; may be done by several at once.
   * @throws BulkheadError of kind `io`; the folder is then where it was
   */
  async takeFolder({ id, state, trashed }: SessionRecord): Promise<void> {
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
  async put(record: SessionRecord, claim: HeldClaim): Promise<string> {
    const name = this.nameFor(record.id);
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
  async finish(id: string): Promise<boolean | null> {
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
    await this.takeFolder(parsed.record);
    return (await exists(folder)) ? null : true;
  }

  /** Ids of deleted sessions whose folder is still in its place. */
  async unfinished(): Promise<string[]> {
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
  async putBroken(id: string): Promise<string> {
    const name = this.nameFor(id);
    const stored = await this.#records.read(id);
    const newest = (await this.#health.standing(id)).good;
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
