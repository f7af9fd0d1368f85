import { createHash } from 'node:crypto';
import { BulkheadError } from '../base/errors';
import { CLAIM_CAP_MS } from '../core/holder';
import { checkSessionName } from '../core/sessionName';
import { newHolder } from './holders';
import type { Host } from './host';
import type { LockFolder } from './locks';
import type { Records } from './records';
import type { SessionCatalog } from './sessionCatalog';

export interface TakenName {
  readonly name: string;
  /** To be called when the session is known by that name, or was not made. */
  readonly release: () => void;
}

/**
 * What sessions are called. A name is taken for as long as its session is being made, so that two that are made at once get
 * two names. A crash leaves a lock of a dead holder, which the next one takes over.
 */
export class SessionNames {
  readonly #host: Host;
  readonly #locks: LockFolder;
  readonly #records: Records;
  readonly #catalog: SessionCatalog;

  constructor(host: Host, locks: LockFolder, records: Records, catalog: SessionCatalog) {
    this.#host = host;
    this.#locks = locks;
    this.#records = records;
    this.#catalog = catalog;
  }

  /**
   * @param wanted absent: the first free "Session N"
   * @throws BulkheadError `name-invalid`, `name-taken`
   */
  async take(wanted: string | undefined): Promise<TakenName> {
    return wanted === undefined ? this.#takeFree() : this.#takeWanted(wanted);
  }

  /** @throws BulkheadError `name-invalid`, `name-taken`, `session-not-found` */
  async rename(id: string, name: string): Promise<void> {
    const checked = validName(name);
    await this.#requireFree(checked, id);
    await this.#records.change(id, (record) => ({ ...record, name: checked }));
  }

  async #takeWanted(wanted: string): Promise<TakenName> {
    const name = validName(wanted);
    const taken = await this.#lock(name);
    if (taken === undefined) {
      throw new BulkheadError(
        'user',
        'name-taken',
        `Another session "${name}" is just being made. Choose another name.`,
        { data: { name } },
      );
    }
    try {
      await this.#requireFree(name);
      return taken;
    } catch (error) {
      taken.release();
      throw error;
    }
  }

  /** @throws BulkheadError `name-taken` */
  async #requireFree(wanted: string, except?: string): Promise<void> {
    const sessions = await this.#catalog.list({ all: false });
    if (sessions.some(({ id, name }) => name === wanted && id !== except)) {
      throw new BulkheadError('user', 'name-taken', `There is a session "${wanted}" already. Choose another name.`, {
        data: { name: wanted },
      });
    }
  }

  async #takeFree(): Promise<TakenName> {
    const busy = new Set<string>();
    for (;;) {
      const name = await this.#firstFree(busy);
      const taken = await this.#lock(name);
      if (taken === undefined) {
        busy.add(name);
      } else if ((await this.#firstFree(busy)) === name) {
        return taken;
      } else {
        taken.release();
      }
    }
  }

  /** Names of deleted sessions are not used again: a list of all would be hard to read. */
  async #firstFree(busy: ReadonlySet<string>): Promise<string> {
    const names = new Set((await this.#catalog.list({ all: true })).map(({ name }) => name));
    for (let number = 1; ; number++) {
      const name = `Session ${String(number)}`;
      if (!names.has(name) && !busy.has(name)) {
        return name;
      }
    }
  }

  /** @returns undefined when somebody else is making a session of that name */
  async #lock(name: string): Promise<TakenName | undefined> {
    const key = createHash('sha256').update(name).digest('hex').slice(0, 16);
    const locked = await this.#locks.acquire(`name-${key}`, {
      holder: await newHolder(this.#host, `making "${name}"`, 'user'),
      waitMs: 0,
      // Making a clone takes as long as a restore may.
      capMs: CLAIM_CAP_MS,
    });
    switch (locked.kind) {
      case 'busy':
      case 'newer':
        return undefined;
      case 'held':
        return {
          name,
          release: () => {
            locked.lock.release();
          },
        };
      case 'absent':
        // Without a place for locks two may get one name; ids tell them apart.
        return { name, release: () => undefined };
    }
  }
}

/** @throws BulkheadError `name-invalid` */
function validName(text: string): string {
  const checked = checkSessionName(text);
  if (checked.kind === 'invalid') {
    throw new BulkheadError('user', 'name-invalid', checked.reason);
  }
  return checked.name;
}
