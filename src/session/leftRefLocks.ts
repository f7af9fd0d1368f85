import { mkdirSync, rmdirSync } from 'node:fs';
import { stat, unlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { wait } from '../base/clock';
import { errnoOf, ioError, isAbsent, messageOf } from '../base/errors';
import { namesIn } from './files';
import type { Host } from './host';
import { livenessOfOwner, ownedName } from './ownedNames';
import { refLockFiles } from './refLockFiles';

/** A transaction takes milliseconds. So long a dead one's git may still have been about to end, in milliseconds. */
const GRACE_MS = 500;
const GUARD_STALE_MS = 10_000;
const PREFIX = 'git';

/**
 * Removes lock files of refs that the git of another, killed process has left, on proof only: every other process that moves
 * refs in this store is dead, and one of them was there when the lock was made. Each process leaves its name in the folder of
 * locks for that. Without proof the file stays until it is old, which is for its finder to judge. (What a killed git of this
 * process leaves, `UpdateRef` removes.)
 */
export class LeftRefLocks {
  readonly #host: Host;
  readonly #folder: string;
  #name: Promise<string | undefined> | undefined;
  /** Gits of this process that move refs right now. */
  #atWork = 0;

  constructor(host: Host, folder: string) {
    this.#host = host;
    this.#folder = folder;
  }

  /** Says that this process moves refs; once is enough. */
  async enter(): Promise<void> {
    this.#name ??= this.#enter();
    await this.#name;
  }

  async #enter(): Promise<string | undefined> {
    const name = await ownedName(PREFIX);
    try {
      await writeFile(join(this.#folder, name), '', { mode: 0o600, flag: 'wx' });
      return name;
    } catch (error) {
      // Then a lock file that we leave is judged by its age alone.
      this.#host.log.debug(`${this.#folder} does not name this process: ${messageOf(error)}`);
      return undefined;
    }
  }

  /** Runs a transaction of git's: while one is under way, a lock file may be its own. */
  async during<T>(transaction: () => Promise<T>): Promise<T> {
    this.#atWork++;
    try {
      return await transaction();
    } finally {
      this.#atWork--;
    }
  }

  async leave(): Promise<void> {
    const name = await this.#name;
    this.#name = undefined;
    if (name !== undefined) {
      // Somebody swept it: nothing to do.
      await unlink(join(this.#folder, name)).catch(() => undefined);
    }
  }

  /**
   * Removes a lock file that is proven to be left over.
   * @returns whether it is gone
   * @throws BulkheadError of kind `io`
   */
  async remove(lockFile: string): Promise<boolean> {
    const found = await look(lockFile);
    if (found === undefined) {
      return true;
    }
    if (this.#atWork > 0 || !(await this.#isByDead(found.mtimeMs))) {
      return false;
    }
    const left = found.mtimeMs + GRACE_MS - this.#host.clock.now();
    if (left > 0) {
      await wait(this.#host.clock, Math.min(left, GRACE_MS));
    }
    const guard = join(this.#folder, `${PREFIX}.guard`);
    if (!(await this.#take(guard))) {
      return false;
    }
    try {
      const now = await look(lockFile);
      if (now === undefined) {
        return true;
      }
      if (now.ino !== found.ino || now.mtimeMs !== found.mtimeMs || this.#atWork > 0) {
        return false;
      }
      await unlink(lockFile);
      this.#host.log.warn(`removed ${lockFile}, which a killed process had left`);
      return true;
    } catch (error) {
      if (isAbsent(error)) {
        return true;
      }
      throw ioError('remove', lockFile, error);
    } finally {
      giveBack(guard);
    }
  }

  /** Whether nobody but the dead can have made it, and one of them was there then. */
  async #isByDead(madeMs: number): Promise<boolean> {
    const own = await this.#name;
    let isWitnessed = false;
    for (const name of await this.#names()) {
      if (name === own) {
        continue;
      }
      if ((await livenessOfOwner(name)) !== 'dead') {
        return false;
      }
      const entered = await look(join(this.#folder, name));
      isWitnessed ||= entered !== undefined && entered.mtimeMs <= madeMs;
    }
    return isWitnessed;
  }

  async #names(): Promise<string[]> {
    return (await namesIn(this.#folder)).filter((name) => name.startsWith(`${PREFIX}-`));
  }

  /** One process at a time looks once more and removes: else a rival's new lock file could be taken for the old one. */
  async #take(guard: string): Promise<boolean> {
    try {
      mkdirSync(guard, { mode: 0o700 });
      return true;
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') {
        throw ioError('lock', guard, error);
      }
      const found = await look(guard);
      if (found !== undefined && this.#host.clock.now() - found.mtimeMs > GUARD_STALE_MS) {
        giveBack(guard);
      }
      return false;
    }
  }

  /** Removes every lock file below the store's refs that is left over, and an hour later the names of the dead that prove it. */
  async sweep(gitDir: string): Promise<void> {
    for (const file of [...(await refLockFiles(gitDir)), join(gitDir, 'packed-refs.lock')]) {
      await this.remove(file);
    }
    for (const name of await this.#names()) {
      const path = join(this.#folder, basename(name));
      const found = await look(path);
      if (
        found !== undefined &&
        this.#host.clock.now() - found.mtimeMs > 3_600_000 &&
        (await livenessOfOwner(name)) === 'dead'
      ) {
        // Another window sweeps, too.
        await unlink(path).catch(() => undefined);
      }
    }
  }
}

async function look(path: string): Promise<{ readonly ino: number; readonly mtimeMs: number } | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw ioError('look at', path, error);
  }
}

function giveBack(guard: string): void {
  try {
    rmdirSync(guard);
  } catch {
    // Taken for a stale one by somebody else, and gone.
  }
}
