import { type FSWatcher, watch } from 'node:fs';
import { stat, unlink, utimes } from 'node:fs/promises';
import { DisposableStore, type Disposable } from '../base/disposable';
import { BulkheadError, isAbsent, messageOf } from '../base/errors';
import { Emitter, type Event } from '../base/event';
import {
  formatHolder,
  HEARTBEAT_MS,
  type Holder,
  type HolderRecord,
  LEASE_CAP_MS,
  mayBeTaken,
  parseHolder,
} from '../core/holder';
import { readTextIfThere, writeFileAtomic } from './files';
import type { HeldLock } from './heldLock';
import { forgetHeld, livenessOfHolder, newHolder, rememberHeld } from './holders';
import type { Host } from './host';
import type { LockFolder } from './locks';

const RETRY_MS = 1000;

/** The name of a session's lease among the locks. */
export function leaseName(session: string): string {
  return `${session}.capture`;
}

interface Note {
  readonly record: HolderRecord;
  readonly renewed: number;
}

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
  /** `absent`: there is no folder for locks, so nobody can be asked. */
  #held: HeldLock | 'absent' | undefined;
  /** The note that this window left. */
  #note: Holder | undefined;
  #watcher: FSWatcher | undefined;
  #timer: Disposable | undefined;
  #closed = false;
  #complaint: string | undefined;
  #busy: Promise<void> = Promise.resolve();

  constructor(host: Host, locks: LockFolder, session: string, options: { readonly ownWindow: boolean }) {
    this.#host = host;
    this.#locks = locks;
    this.#name = leaseName(session);
    this.#ownWindow = options.ownWindow;
    this.#onDidChange = this.#owned.add(
      new Emitter<void>((error) => {
        host.log.error(`a listener failed: ${messageOf(error)}`);
      }),
    );
    try {
      this.#watcher = watch(locks.folder, (_event, file) => {
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
    return this.#held !== undefined;
  }

  /** Tries to take the lease, and goes on trying in the background while somebody else has it. */
  async start(): Promise<void> {
    this.#look();
    await this.#busy;
  }

  #look(): void {
    this.#busy = this.#busy
      .then(() => this.#settle())
      .then(
        () => {
          this.#complaint = undefined;
        },
        (error: unknown) => {
          this.#complain(error);
        },
      )
      .then(() => {
        this.#schedule();
      });
  }

  async #settle(): Promise<void> {
    if (this.#closed) {
      return;
    }
    const isWanted = await this.#isWantedByOwnWindow();
    if (this.#held !== undefined && this.#held !== 'absent') {
      this.#held.verify();
    }
    if (this.#held !== undefined) {
      if (isWanted && !this.#ownWindow) {
        this.#let();
      }
    } else if (this.#ownWindow || !isWanted) {
      await this.#take();
    }
    await this.#renewNote();
  }

  #schedule(): void {
    this.#timer?.dispose();
    if (!this.#closed && (this.#held === undefined || this.#note !== undefined)) {
      this.#timer = this.#host.clock.schedule(
        this.#held === undefined ? RETRY_MS : HEARTBEAT_MS,
        () => {
          this.#look();
        },
        { background: true },
      );
    }
  }

  /** Tried again each second: the same complaint is made once. */
  #complain(error: unknown): void {
    const complaint = messageOf(error);
    if (complaint !== this.#complaint) {
      this.#complaint = complaint;
      this.#host.log.warn(`the lease ${this.#name} could not be looked at: ${complaint}`);
    }
  }

  async #take(): Promise<void> {
    const holder = await newHolder(this.#host, 'capture', this.#host.product);
    await this.#leaveNote(holder);
    const locked = await this.#locks.acquire(this.#name, {
      holder,
      waitMs: 0,
      capMs: LEASE_CAP_MS,
      onLost: () => {
        // Taken again if it is free, as anybody would: what was missed meanwhile is looked for then.
        this.#let();
        this.#look();
      },
    });
    if (locked.kind === 'busy' || locked.kind === 'newer') {
      return;
    }
    this.#held = locked.kind === 'held' ? locked.lock : 'absent';
    this.#onDidChange.fire();
  }

  #let(): void {
    const held = this.#held;
    if (held === undefined) {
      return;
    }
    this.#held = undefined;
    if (held !== 'absent') {
      held.release();
    }
    this.#onDidChange.fire();
  }

  #noteFile(): string {
    return `${this.#locks.file(this.#name)}.own`;
  }

  /** Written once: each write wakes every window that watches the folder, this one too. */
  async #leaveNote(holder: Holder): Promise<void> {
    if (!this.#ownWindow || (await this.#isWantedByOwnWindow())) {
      return;
    }
    rememberHeld(holder);
    try {
      await writeFileAtomic(this.#noteFile(), formatHolder(holder));
      this.#note = holder;
    } catch (error) {
      forgetHeld(holder);
      // Without a folder for locks there is nobody to step back either.
      if (!(error instanceof BulkheadError && isAbsent(error.cause))) {
        throw error;
      }
    }
  }

  /** A sign of life for those who cannot look for our process. */
  async #renewNote(): Promise<void> {
    if (this.#note === undefined) {
      return;
    }
    const now = this.#host.clock.now();
    const note = await this.#readNote();
    if (note === undefined || note.record.kind !== 'ok' || note.record.holder.nonce !== this.#note.nonce) {
      // Removed, or another window of the clone left its own: that one says the same.
      forgetHeld(this.#note);
      this.#note = undefined;
      return;
    }
    if (Math.abs(now - note.renewed) >= HEARTBEAT_MS) {
      await utimes(this.#noteFile(), now / 1000, now / 1000);
    }
  }

  async #readNote(): Promise<Note | undefined> {
    const file = this.#noteFile();
    const text = await readTextIfThere(file);
    if (text === undefined) {
      return undefined;
    }
    try {
      return { record: parseHolder(text), renewed: (await stat(file)).mtimeMs };
    } catch (error) {
      if (isAbsent(error)) {
        return undefined;
      }
      throw error;
    }
  }

  /** Whether a living window of the clone itself is there. */
  async #isWantedByOwnWindow(): Promise<boolean> {
    const note = await this.#readNote();
    return (
      note !== undefined &&
      !mayBeTaken({
        liveness: await livenessOfHolder(note.record),
        since: null,
        renewed: note.renewed,
        now: this.#host.clock.now(),
        capMs: LEASE_CAP_MS,
      })
    );
  }

  async release(): Promise<void> {
    this.#closed = true;
    this.#timer?.dispose();
    this.#watcher?.close();
    await this.#busy;
    if (this.#note !== undefined) {
      const { nonce } = this.#note;
      const note = await this.#readNote();
      // Another window of the clone may have left the note: that one stays.
      if (note?.record.kind === 'ok' && note.record.holder.nonce === nonce) {
        await unlink(this.#noteFile()).catch((error: unknown) => {
          // It says by itself that nobody needs it any more.
          this.#host.log.debug(`the note of ${this.#name} stays: ${messageOf(error)}`);
        });
      }
      forgetHeld(this.#note);
    }
    this.#let();
    this.dispose();
  }

  dispose(): void {
    this.#closed = true;
    this.#timer?.dispose();
    this.#watcher?.close();
    this.#owned.dispose();
  }
}
