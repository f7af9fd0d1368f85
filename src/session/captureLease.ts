import { type FSWatcher, watch } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { DisposableStore, type Disposable } from '../base/disposable';
import { messageOf } from '../base/errors';
import { Emitter, type Event } from '../base/event';
import { readTextIfThere, writeFileAtomic } from './files';
import type { Host } from './host';
import { LockFolder, newHolder } from './locks';
import { type Holder, isProvenDead, parseHolder } from './processIdentity';

const RETRY_MS = 1000;

/**
 * Which window records a session's outside writes: exactly one, and the clone's own window before any other. Only about
 * who books what; a snapshot's correctness never rests on it. The clone's window leaves a note; whoever holds the lease
 * for another window's sake sees it and steps back.
 */
export class CaptureLease implements Disposable {
  readonly #host: Host;
  readonly #locks: LockFolder;
  readonly #name: string;
  readonly #ownWindow: boolean;
  readonly #owned = new DisposableStore();
  readonly #onDidChange: Emitter<void>;
  #release: (() => void) | undefined;
  /** Nonce of the note that this window left. */
  #note: string | undefined;
  #watcher: FSWatcher | undefined;
  #timer: Disposable | undefined;
  #closed = false;
  #busy: Promise<void> = Promise.resolve();

  constructor(host: Host, folder: string, session: string, options: { readonly ownWindow: boolean }) {
    this.#host = host;
    this.#locks = new LockFolder(folder, host);
    this.#name = `${session}.capture`;
    this.#ownWindow = options.ownWindow;
    this.#onDidChange = this.#owned.add(
      new Emitter<void>((error) => {
        host.log.error(`a listener failed: ${messageOf(error)}`);
      }),
    );
    try {
      this.#watcher = watch(folder, (_event, file) => {
        if (file?.startsWith(this.#name) === true) {
          this.#look();
        }
      });
      this.#watcher.on('error', (error) => {
        host.log.debug(`the folder of locks is not watched: ${error.message}`);
      });
    } catch (error) {
      host.log.debug(`the folder of locks is not watched: ${messageOf(error)}`);
    }
  }

  get onDidChange(): Event<void> {
    return this.#onDidChange.event;
  }

  get isHeld(): boolean {
    return this.#release !== undefined;
  }

  /** Tries to take the lease, and goes on trying in the background while somebody else has it. */
  async start(): Promise<void> {
    this.#look();
    await this.#busy;
  }

  #look(): void {
    this.#busy = this.#busy
      .then(() => this.#settle())
      .catch((error: unknown) => {
        this.#host.log.warn(`the lease ${this.#name} could not be looked at: ${messageOf(error)}`);
      });
  }

  async #settle(): Promise<void> {
    this.#timer?.dispose();
    if (this.#closed) {
      return;
    }
    const isWanted = await this.#isWantedByOwnWindow();
    if (this.#release !== undefined) {
      if (isWanted && !this.#ownWindow) {
        await this.#let();
      }
    } else if (this.#ownWindow || !isWanted) {
      await this.#take();
    }
    if (this.#release === undefined) {
      this.#timer = this.#host.clock.schedule(
        RETRY_MS,
        () => {
          this.#look();
        },
        { background: true },
      );
    }
  }

  async #take(): Promise<void> {
    const holder = await newHolder(this.#host, 'capture', this.#host.product);
    // Written once: each write wakes every window that watches the folder, this one too.
    if (this.#ownWindow && (await this.#noteHolder()) === undefined) {
      await writeFileAtomic(this.#noteFile(), JSON.stringify(holder));
      this.#note = holder.nonce;
    }
    const locked = await this.#locks.acquire(this.#name, { holder, waitMs: 0, record: true });
    if (locked.kind === 'busy') {
      return;
    }
    this.#release = locked.kind === 'held' ? locked.release : () => undefined;
    this.#onDidChange.fire();
  }

  async #let(): Promise<void> {
    const release = this.#release;
    this.#release = undefined;
    release?.();
    this.#onDidChange.fire();
  }

  #noteFile(): string {
    return `${this.#locks.file(this.#name)}.own`;
  }

  /** Whether a living window of the clone itself is there. */
  async #isWantedByOwnWindow(): Promise<boolean> {
    return (await this.#noteHolder()) !== undefined;
  }

  async #noteHolder(): Promise<Holder | undefined> {
    const text = await readTextIfThere(this.#noteFile());
    const holder = text === undefined ? undefined : parseHolder(text);
    return holder !== undefined && !(await isProvenDead(holder)) ? holder : undefined;
  }

  async release(): Promise<void> {
    this.#closed = true;
    this.#timer?.dispose();
    this.#watcher?.close();
    await this.#busy;
    // Another window of the clone may have left the note: that one stays.
    if (this.#note !== undefined && (await this.#noteHolder())?.nonce === this.#note) {
      await unlink(this.#noteFile()).catch(() => undefined);
    }
    await this.#let();
    this.dispose();
  }

  dispose(): void {
    this.#closed = true;
    this.#timer?.dispose();
    this.#watcher?.close();
    this.#owned.dispose();
  }
}
