import { constants, lstatSync } from 'node:fs';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BulkheadError, isAbsent, ioError, messageOf } from '../base/errors';
import { formatIntent, type Intent, parseIntent, type ParsedIntent } from '../core/intent';
import { isSessionRef } from '../core/sessionId';
import type { HeldClaim } from './claims';
import { newHolder } from './holders';
import type { Host } from './host';

const INTENT = '.json';
/** Only the holder of the session's claim writes an intent, so one name for the half-written file is enough. */
const HALF_WRITTEN = '.json.tmp';
const MAX_BYTES = 128 * 1024;
// Absent on Windows.
const NO_FOLLOW = (constants.O_NOFOLLOW as number | undefined) ?? 0;

/**
 * Intents of operations that take several steps: one small file per session, written before the first step and removed
 * after the last. Everything here is done by the holder of the session's claim.
 */
export class Journal {
  readonly #host: Host;
  readonly #folder: string;

  constructor(host: Host, folder: string) {
    this.#host = host;
    this.#folder = folder;
  }

  /** Sessions with an intent, or the beginning of one: most often none. */
  async sessions(): Promise<string[]> {
    try {
      const names = await readdir(this.#folder);
      return [...new Set(names.map(sessionOf))].filter((session) => session !== undefined);
    } catch (error) {
      if (isAbsent(error)) {
        return [];
      }
      throw ioError('open', this.#folder, error);
    }
  }

  /** Asked before every snapshot, so it is one look at the disk. */
  has(session: string): boolean {
    return lstatSync(this.#file(session), { throwIfNoEntry: false }) !== undefined;
  }

  /** @returns undefined when there is none */
  async read(session: string): Promise<ParsedIntent | undefined> {
    const file = this.#file(session);
    try {
      const handle = await open(file, constants.O_RDONLY | NO_FOLLOW);
      try {
        const { size } = await handle.stat();
        return size > MAX_BYTES
          ? { kind: 'damaged', reason: 'it is too long' }
          : parseIntent(await handle.readFile(), session);
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (isAbsent(error)) {
        return undefined;
      }
      throw ioError('read', file, error);
    }
  }

  /**
   * Runs `work` with its intent written down. The intent goes when the work is done; when it fails, `isUndone` says whether
   * nothing is left to be finished. Else it stays, for whoever takes the claim next. Whoever has lost the claim leaves the
   * file alone: it may be somebody else's by now.
   * @throws BulkheadError `cut-off-before` (kind `busy`) when an operation before this one is not finished yet
   */
  async during<T>(
    session: string,
    claim: HeldClaim,
    intent: Intent,
    work: () => Promise<T>,
    isUndone: (error: unknown) => boolean | Promise<boolean>,
  ): Promise<T> {
    this.requireNone(session);
    await this.#write(
      session,
      formatIntent(session, intent, await newHolder(this.#host, intent.kind, this.#host.product)),
    );
    let result: T;
    try {
      result = await work();
    } catch (error) {
      const isOver = await isUndone(error);
      await this.#ifOurs(session, claim, () =>
        // Without a holder: nobody has to wait for the end of this process.
        isOver ? this.clear(session) : this.#write(session, formatIntent(session, intent, null)),
      );
      throw error;
    }
    await this.#ifOurs(session, claim, () => this.clear(session));
    return result;
  }

  /** What was done is done: a journal that cannot be written now is for the next one to put right. */
  async #ifOurs(session: string, claim: HeldClaim, write: () => Promise<void>): Promise<void> {
    try {
      await claim.check();
      await write();
    } catch (error) {
      this.#host.log.warn(`the intent of ${session} stays as it is: ${messageOf(error)}`);
    }
  }

  /** @throws BulkheadError `cut-off-before` (kind `busy`) */
  requireNone(session: string): void {
    if (this.has(session)) {
      throw new BulkheadError(
        'busy',
        'cut-off-before',
        'An operation on this session was cut off and is not finished yet. Nothing was changed; try again, and see the log if this goes on.',
        { data: { session } },
      );
    }
  }

  async clear(session: string): Promise<void> {
    for (const name of [HALF_WRITTEN, INTENT]) {
      const file = join(this.#folder, `${session}${name}`);
      try {
        await rm(file, { force: true });
      } catch (error) {
        throw ioError('remove', file, error);
      }
    }
  }

  /**
   * Keeps a file that cannot be read under another name, where nothing looks for intents.
   * @returns that name
   */
  async setAside(session: string): Promise<string> {
    const aside = `${this.#file(session)}.damaged-${String(this.#host.clock.now())}`;
    try {
      await rename(this.#file(session), aside);
    } catch (error) {
      throw ioError('move away', this.#file(session), error);
    }
    return aside;
  }

  #file(session: string): string {
    return join(this.#folder, `${session}${INTENT}`);
  }

  async #write(session: string, bytes: Buffer): Promise<void> {
    const half = join(this.#folder, `${session}${HALF_WRITTEN}`);
    try {
      const handle = await open(half, 'w', 0o600);
      try {
        await handle.writeFile(bytes);
        if (this.#host.settings.fsync) {
          await handle.sync();
        }
      } finally {
        await handle.close();
      }
      await rename(half, this.#file(session));
    } catch (error) {
      throw ioError('write', half, error);
    }
  }
}

function sessionOf(name: string): string | undefined {
  const suffix = [HALF_WRITTEN, INTENT].find((end) => name.endsWith(end));
  const session = suffix === undefined ? '' : name.slice(0, -suffix.length);
  return isSessionRef(session) ? session : undefined;
}
