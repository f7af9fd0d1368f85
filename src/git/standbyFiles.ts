import { open } from 'node:fs';
import type { Clock } from '../base/clock';
import type { Disposable } from '../base/disposable';
import { closeQuietly, removeQuietly } from './newFile';

/** Files are made when nobody has asked for one for so long, in milliseconds: between two saves, not within one. */
const QUIET_MS = 20;
/** A save in a folder nine levels deep takes a dozen. */
const MOST = 16;
/** Half the age at which a temporary file is taken for left over, in milliseconds. */
const FRESH_MS = 30 * 60_000;

export interface StandbyFile {
  readonly path: string;
  /** Open for writing; who takes the file closes it. */
  readonly descriptor: number;
}

/**
 * Empty files that stand by until somebody has something to write. To make a file costs more than everything else about
 * writing a small one, the more so where many were deleted a moment ago (ext4 passes over inodes that were freed in the last
 * minutes, one by one), and it can be done before: as many stand by as the last burst took. A process that ends before anything is
 * quiet makes none.
 */
export class StandbyFiles {
  readonly #clock: Clock;
  readonly #nextPath: () => string;
  readonly #mode: number;
  #ready: (StandbyFile & { readonly made: number })[] = [];
  #wanted = 0;
  #taken = 0;
  #timer: Disposable | undefined;
  #filling: Promise<void> | undefined;
  #isStopped = false;

  /** @param options.nextPath gives a name that nobody uses, in a folder from which the file can be renamed to its place */
  constructor(clock: Clock, options: { readonly nextPath: () => string; readonly mode: number }) {
    this.#clock = clock;
    this.#nextPath = options.nextPath;
    this.#mode = options.mode;
  }

  /** Hands over one, if there is any; it may have been swept meanwhile, as any temporary file. */
  take(): StandbyFile | undefined {
    if (this.#isStopped) {
      return undefined;
    }
    this.#taken++;
    this.#schedule(QUIET_MS, () => {
      this.#filling = this.#fill();
    });
    return this.#ready.shift();
  }

  #schedule(ms: number, work: () => void): void {
    this.#timer?.dispose();
    this.#timer = this.#clock.schedule(ms, work, { background: true });
  }

  async #fill(): Promise<void> {
    await this.#filling;
    this.#wanted = Math.min(Math.max(this.#wanted, this.#taken), MOST);
    this.#taken = 0;
    this.#dropStale();
    while (this.#ready.length < this.#wanted && !this.#isStopped) {
      const path = this.#nextPath();
      const descriptor = await make(path, this.#mode);
      if (descriptor === undefined) {
        // No space, no descriptors: the next save meets that itself and tells.
        break;
      }
      this.#ready.push({ path, descriptor, made: this.#clock.now() });
    }
    if (!this.#isStopped && this.#taken === 0) {
      this.#schedule(FRESH_MS, () => {
        this.#drop(() => true);
      });
    }
  }

  #dropStale(): void {
    const now = this.#clock.now();
    this.#drop(({ made }) => Math.abs(now - made) > FRESH_MS);
  }

  #drop(isUnwanted: (file: { readonly made: number }) => boolean): void {
    const unwanted = this.#ready.filter(isUnwanted);
    this.#ready = this.#ready.filter((file) => !isUnwanted(file));
    for (const { path, descriptor } of unwanted) {
      closeQuietly(descriptor);
      removeQuietly(path);
    }
  }

  /** Resolves when all that were asked for so far stand by. */
  async idle(): Promise<void> {
    await this.#filling;
  }

  /** Removes what stands by. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.dispose();
    await this.#filling;
    this.#drop(() => true);
  }
}

/** In another thread, so that nobody waits. */
function make(path: string, mode: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    open(path, 'wx', mode, (error, descriptor) => {
      resolve(error === null ? descriptor : undefined);
    });
  });
}
