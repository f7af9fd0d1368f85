import * as vscode from 'vscode';
import { systemClock } from '../base/clock';
import { DisposableStore } from '../base/disposable';
import { CaptureSet } from './captureSet';
import { Coalescer } from './coalescer';
import type { Repositories } from './repositories';
import type { SaveSink } from './saveListener';
import { readSettings } from './settings';
import type { ErrorDisplay } from './showError';

/** One change of the sessions is told several times. */
const UPDATE_DELAY_MS = 50;

interface Recording {
  readonly set: CaptureSet;
  readonly owned: DisposableStore;
}

/** Records all repositories of the window, as long as the workspace is trusted. */
export class Captures implements SaveSink {
  readonly #repositories: Repositories;
  readonly #errors: ErrorDisplay;
  readonly #owned = new DisposableStore();
  #recordings: readonly Recording[] = [];
  #changing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(repositories: Repositories, errors: ErrorDisplay) {
    this.#repositories = repositories;
    this.#errors = errors;
    this.#owned.add(
      repositories.onDidChange(() => {
        this.#change();
      }),
    );
    this.#change();
  }

  willSave(fsPath: string): void {
    for (const { set } of this.#recordings) {
      set.willSave(fsPath);
    }
  }

  /** Waits for no capture to start: until then a window that recorded before would book the save as a write from outside. */
  async saved(fsPath: string): Promise<void> {
    await this.#repositories.ready();
    if (this.#recordings.length === 0) {
      await this.#changing;
    }
    await Promise.all(this.#recordings.map(({ set }) => set.saved(fsPath)));
  }

  doubt(reason: string): void {
    for (const { set } of this.#recordings) {
      set.doubt(reason);
    }
  }

  /** Resolves when all sessions that are there are being recorded, and everything told so far is. */
  async flush(): Promise<void> {
    await this.#changing;
    await Promise.all(
      this.#recordings.map(async ({ set }) => {
        await set.update();
        await set.flush();
      }),
    );
  }

  /** Stops taking saves and writes what is pending. To be called before the engines are closed. */
  async shutdown(): Promise<void> {
    this.#closed = true;
    this.#owned.dispose();
    await this.#changing;
    await this.#stopAll();
  }

  #change(): void {
    this.#changing = this.#changing.then(async () => {
      try {
        await this.#stopAll();
        await this.#startAll();
      } catch (error) {
        this.#errors.showOnce(vscode.l10n.t('Cannot record the sessions.'), error);
      }
    });
  }

  async #startAll(): Promise<void> {
    if (this.#closed || !vscode.workspace.isTrusted) {
      return;
    }
    const { captureWorkspace } = readSettings().engine;
    const started = this.#repositories.all.flatMap(({ bulkhead, own, folders }) => {
      if (bulkhead === null) {
        return [];
      }
      const set = new CaptureSet({ bulkhead, own, folders, captureWorkspace, errors: this.#errors });
      const owned = new DisposableStore();
      const updates = owned.add(
        new Coalescer<'sessions'>({
          clock: systemClock,
          delayMs: UPDATE_DELAY_MS,
          work: () => set.update(),
          onError: (error) => {
            this.#errors.log('Cannot follow the sessions.', error);
          },
        }),
      );
      owned.add(
        bulkhead.onDidChangeSessions(() => {
          updates.touch('sessions');
        }),
      );
      return [{ set, owned }];
    });
    this.#recordings = started;
    await Promise.all(started.map(({ set }) => set.update()));
  }

  async #stopAll(): Promise<void> {
    const recordings = this.#recordings;
    this.#recordings = [];
    for (const { owned } of recordings) {
      owned.dispose();
    }
    await Promise.all(recordings.map(({ set }) => set.shutdown()));
  }
}
