import { relative, resolve, sep } from 'node:path';
import type { Disposable } from '../base/disposable';
import { DisposableStore } from '../base/disposable';
import { BulkheadError, messageOf } from '../base/errors';
import { Emitter, type Event } from '../base/event';
import { parentPath, type RepoPath, repoPathFromText } from '../core/repoPath';
import type { Trigger } from '../core/snapshotMessage';
import type { CheckpointRequest } from './api';
import type { CaptureLease } from './captureLease';
import type { Host } from './host';
import type { SnapshotRequest } from './snapshotRequest';
import type { Recording } from './snapshotWriter';
import { TEMPORARY_PREFIX } from './workTree';

export interface CaptureTarget {
  readonly session: string;
  /** Real path of the work tree. */
  readonly root: string;
  /** Who is taken for the writer of what came from outside. */
  readonly outsideAgent: string;
  /** Whether an editor, of this window or another, is writing a file right now. */
  readonly isSaving: () => boolean;
  /** Tells the other windows that a save of this one, by its absolute path, is not recorded yet. */
  readonly stillSaving: (fsPath: string) => void;
  /** Whether another window may have saved one of these files and not recorded it yet; asks the windows. */
  readonly mayBeTheirs: (paths: readonly RepoPath[]) => Promise<boolean>;
  readonly checkpoint: (
    request: CheckpointRequest,
    options?: Pick<SnapshotRequest, 'holdBack'>,
  ) => Promise<Pick<Recording, 'rulesChanged' | 'heldBack'>>;
}

/** Beyond so many paths in one burst git finds them faster than we would one by one. */
const MANY = 2000;
const RETRY_MS = 2000;

/**
 * Turns saves and outside writes of one work tree into snapshots. A save of the editor is recorded at once by the window
 * in which it happened; writes from outside are gathered until the folder is quiet, and only by the one window that
 * holds the lease, so that two windows do not both book them.
 */
export class Capture {
  readonly #host: Host;
  readonly #target: CaptureTarget;
  readonly #lease: CaptureLease;
  readonly #owned = new DisposableStore();
  readonly #onDidChangeState: Emitter<void>;
  readonly #onDidFail: Emitter<BulkheadError>;
  readonly #pending = new Set<RepoPath>();
  #doubt: string | undefined;
  #quiet: Disposable | undefined;
  #deadline: Disposable | undefined;
  #running: Promise<void> = Promise.resolve();
  /** Saves of this window that are being recorded. */
  #saves = 0;
  #closed = false;

  constructor(host: Host, target: CaptureTarget, lease: CaptureLease) {
    this.#host = host;
    this.#target = target;
    this.#lease = lease;
    const onError = (error: unknown): void => {
      host.log.error(`a listener failed: ${messageOf(error)}`);
    };
    this.#onDidChangeState = this.#owned.add(new Emitter<void>(onError));
    this.#onDidFail = this.#owned.add(new Emitter<BulkheadError>(onError));
    this.#owned.add(
      lease.onDidChange(() => {
        if (lease.isHeld) {
          // Whatever happened while somebody else looked after it, or nobody did.
          this.doubt('this window took over');
        }
        this.#onDidChangeState.fire();
      }),
    );
  }

  get onDidChangeState(): Event<void> {
    return this.#onDidChangeState.event;
  }

  get onDidFail(): Event<BulkheadError> {
    return this.#onDidFail.event;
  }

  get state(): 'capturing' | 'following' {
    return this.#lease.isHeld ? 'capturing' : 'following';
  }

  /** An editor of this window saved a file. */
  async saved(fsPath: string): Promise<void> {
    const path = this.#pathOf(fsPath);
    if (path === undefined || this.#closed) {
      return;
    }
    this.#pending.delete(path);
    this.#saves++;
    try {
      await this.#recordSave(path, fsPath);
    } catch (error) {
      // The caller is told, and the file is looked for again.
      this.doubt('a save could not be recorded');
      throw error;
    } finally {
      this.#saves--;
    }
  }

  /** Waits for as long as somebody restores, applies or resets: whoever found the file afterwards would not know that it is hers. */
  async #recordSave(path: RepoPath, fsPath: string): Promise<void> {
    for (;;) {
      try {
        await this.#checkpoint('save', 'user', [path]);
        return;
      } catch (error) {
        if (this.#closed || !(error instanceof BulkheadError && error.code === 'claimed')) {
          throw error;
        }
        this.#target.stillSaving(fsPath);
      }
    }
  }

  #isSaving(): boolean {
    return this.#saves > 0 || this.#target.isSaving();
  }

  /** A watcher saw a change, a new file or folder, or a deletion. */
  changedOutside(fsPath: string): void {
    const path = this.#pathOf(fsPath);
    if (path === undefined || this.#closed || !this.#lease.isHeld) {
      return;
    }
    this.#pending.add(path);
    if (this.#pending.size > MANY) {
      this.doubt('many files changed at once');
    }
    this.#arm();
  }

  /** Something may have been missed: look at everything soon. */
  doubt(reason: string): void {
    if (this.#closed || !this.#lease.isHeld) {
      return;
    }
    this.#doubt ??= reason;
    this.#arm();
  }

  /** Records what is waiting, now. */
  async flush(): Promise<void> {
    this.#fire({ patient: false });
    await this.#running;
  }

  async shutdown(): Promise<void> {
    if (this.#closed) {
      return;
    }
    // From here on no event is taken any more, so that none is taken and forgotten.
    this.#closed = true;
    await this.flush();
    await this.#lease.release();
    this.#owned.dispose();
  }

  #arm(): void {
    const { clock, settings } = this.#host;
    this.#quiet?.dispose();
    this.#quiet = clock.schedule(settings.quietMs, () => {
      this.#fireUnlessSaving();
    });
    // Counted from the first event: a folder that is never quiet is recorded all the same.
    this.#deadline ??= clock.schedule(settings.maxWaitMs, () => {
      this.#fireUnlessSaving();
    });
  }

  /** Not while a save is under way: what its editor has written already would be booked as somebody else's. */
  #fireUnlessSaving(): void {
    if (this.#isSaving()) {
      this.#lookAgain();
    } else {
      this.#fire({ patient: true });
    }
  }

  #lookAgain(): void {
    this.#quiet?.dispose();
    this.#quiet = this.#host.clock.schedule(this.#host.settings.quietMs, () => {
      this.#fireUnlessSaving();
    });
  }

  /** @param options.patient give way to a save that begins before this is recorded */
  #fire(options: { readonly patient: boolean }): void {
    this.#quiet?.dispose();
    this.#deadline?.dispose();
    this.#quiet = undefined;
    this.#deadline = undefined;
    const doubt = this.#doubt;
    const paths = [...this.#pending];
    if (doubt === undefined && paths.length === 0) {
      return;
    }
    this.#doubt = undefined;
    this.#pending.clear();
    this.#running = this.#running.then(() => this.#record(doubt, paths, options));
  }

  async #record(
    doubt: string | undefined,
    paths: readonly RepoPath[],
    { patient }: { readonly patient: boolean },
  ): Promise<void> {
    const { outsideAgent, session } = this.#target;
    if (doubt !== undefined) {
      this.#host.log.debug(`looking at everything in ${session}: ${doubt}`);
    }
    try {
      const { heldBack } = await this.#checkpoint(
        doubt === undefined || paths.length > 0 ? 'external' : 'reconcile',
        outsideAgent,
        doubt === undefined ? paths : undefined,
        // A save that wrote what we have read has begun before, and whoever is asked now knows of it; one that has ended by now
        // has moved the shadow ref, and what we read loses the race.
        patient ? { holdBack: (changed) => this.#isHeldBack(changed) } : {},
      );
      if (heldBack) {
        this.#doubt ??= doubt;
        paths.forEach((path) => this.#pending.add(path));
        this.#lookAgain();
      }
    } catch (error) {
      if (this.#closed) {
        return;
      }
      // Nothing is dropped: what could not be recorded now is looked for again.
      this.#doubt ??= 'the last attempt failed';
      this.#deadline ??= this.#host.clock.schedule(RETRY_MS, () => {
        this.#fire({ patient: false });
      });
      this.#onDidFail.fire(
        error instanceof BulkheadError
          ? error
          : new BulkheadError('bug', 'checkpoint-failed', messageOf(error), { cause: error }),
      );
    }
  }

  async #isHeldBack(changed: readonly RepoPath[]): Promise<boolean> {
    if (this.#closed) {
      return false;
    }
    return this.#isSaving() || this.#target.mayBeTheirs(changed);
  }

  async #checkpoint(
    trigger: Trigger,
    agent: string,
    paths: readonly RepoPath[] | undefined,
    options: Pick<SnapshotRequest, 'holdBack'> = {},
  ): Promise<Pick<Recording, 'heldBack'>> {
    const result = await this.#target.checkpoint(
      { session: this.#target.session, trigger, agent, ...(paths === undefined ? {} : { paths }) },
      options,
    );
    if (result.rulesChanged) {
      this.doubt('an ignore file changed');
    }
    return result;
  }

  #pathOf(fsPath: string): RepoPath | undefined {
    const inside = relative(this.#target.root, resolve(fsPath));
    if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`)) {
      return undefined;
    }
    const path = repoPathFromText(sep === '/' ? inside : inside.replaceAll(sep, '/'));
    if (path === undefined) {
      return undefined;
    }
    const name = path.slice(parentPath(path) === '' ? 0 : parentPath(path).length + 1);
    return name.startsWith(TEMPORARY_PREFIX) ? undefined : path;
  }
}
