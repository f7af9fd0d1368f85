import { isAbsolute, join, relative, sep } from 'node:path';
import * as vscode from 'vscode';
import { mapLimited } from '../base/async';
import { systemClock } from '../base/clock';
import type { Disposable } from '../base/disposable';
import { DisposableStore } from '../base/disposable';
import { repoPathFromText, type RepoPath } from '../core/repoPath';
import { WORKSPACE, type Session, type SessionRef } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import type { Capture } from '../session/capture';
import { hearEditor } from './contextKeys';
import { PendingSaves } from './pendingSaves';
import type { OpenFolder } from './repository';
import type { ErrorDisplay } from './showError';

/** Each start looks at a whole work tree. */
const STARTS_AT_ONCE = 4;

/** The editor's watcher starts a while after it was asked for, and does not tell when: what was written meanwhile is looked for once. */
const LATE_WATCHER_MS = 2000;

interface Running {
  readonly ref: SessionRef;
  readonly path: string;
  readonly capture: Capture;
  readonly owned: Disposable;
}

/**
 * Records the work trees of one repository while this window is open: its own ones, and, in the window of the user's
 * checkout, those of every session. Which window writes what others wrote is decided by the engine's lease.
 */
export class CaptureSet {
  readonly #bulkhead: Bulkhead;
  readonly #own: ReadonlySet<SessionRef>;
  readonly #folders: readonly OpenFolder[];
  readonly #captureWorkspace: boolean;
  readonly #errors: ErrorDisplay;
  readonly #saves = new PendingSaves(systemClock);
  readonly #running = new Map<SessionRef, Running>();
  #updating: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: {
    readonly bulkhead: Bulkhead;
    readonly own: ReadonlySet<SessionRef>;
    readonly folders: readonly OpenFolder[];
    readonly captureWorkspace: boolean;
    readonly errors: ErrorDisplay;
  }) {
    this.#bulkhead = options.bulkhead;
    this.#own = options.own;
    this.#folders = options.folders;
    this.#captureWorkspace = options.captureWorkspace;
    this.#errors = options.errors;
  }

  /** Starts and stops captures so that they fit the sessions that are there now. */
  update(): Promise<void> {
    this.#updating = this.#updating.then(async () => {
      try {
        await this.#update();
      } catch (error) {
        this.#errors.showOnce(vscode.l10n.t('Cannot see which sessions to record.'), error);
      }
    });
    return this.#updating;
  }

  /** An editor of this window is about to save a file. */
  willSave(fsPath: string): void {
    const real = this.#real(fsPath);
    this.#saves.begin(real);
    if (this.#within(real)?.capture.state !== 'capturing') {
      for (const ref of this.#announcedTo(real)) {
        this.#bulkhead.willSave(ref, real);
      }
    }
  }

  /** An editor of this window saved a file. */
  async saved(fsPath: string): Promise<void> {
    const real = this.#real(fsPath);
    this.#saves.end(real);
    const running = this.#within(real);
    try {
      if (running !== undefined) {
        await running.capture.saved(real);
      } else if (!this.#closed) {
        await this.#savedBeforeStart(real);
      }
    } finally {
      for (const ref of this.#announcedTo(real)) {
        this.#bulkhead.saveEnded(ref, real);
      }
    }
  }

  /** Those whose outside writes another window may be recording: of a capture that does not run yet, all that this window shows. */
  #announcedTo(fsPath: string): Iterable<SessionRef> {
    const running = this.#within(fsPath);
    return running === undefined ? this.#own : new Set([running.ref, ...this.#own]);
  }

  doubt(reason: string): void {
    for (const { capture } of this.#running.values()) {
      capture.doubt(reason);
    }
  }

  async flush(): Promise<void> {
    await this.#updating;
    await Promise.all([...this.#running.values()].map(({ capture }) => capture.flush()));
  }

  async shutdown(): Promise<void> {
    this.#closed = true;
    this.#saves.dispose();
    await this.#updating;
    await Promise.all([...this.#running.keys()].map((ref) => this.#stop(ref)));
  }

  async #update(): Promise<void> {
    const wanted = new Map<SessionRef, string>();
    if (!this.#closed) {
      for (const session of await this.#wanted()) {
        if (session.path !== null && session.state === 'ready') {
          wanted.set(session.id, session.path);
        }
      }
    }
    for (const [ref, running] of this.#running) {
      if (wanted.get(ref) !== running.path) {
        await this.#stop(ref);
      }
    }
    // What this window shows comes first: a person may save there at once.
    const missing = [...wanted]
      .filter(([ref]) => !this.#running.has(ref))
      .sort(([a], [b]) => Number(this.#own.has(b)) - Number(this.#own.has(a)));
    await mapLimited(missing, STARTS_AT_ONCE, ([ref, path]) => this.#start(ref, path));
  }

  async #wanted(): Promise<readonly Session[]> {
    const sessions = await this.#bulkhead.sessions();
    if (!this.#own.has(WORKSPACE)) {
      return sessions.filter((session) => this.#own.has(session.id));
    }
    return this.#captureWorkspace ? [await this.#bulkhead.workspace(), ...sessions] : sessions;
  }

  /** The capture of a window that was just opened may not run yet. */
  async #savedBeforeStart(fsPath: string): Promise<void> {
    for (const ref of this.#own) {
      if (ref === WORKSPACE && !this.#captureWorkspace) {
        continue;
      }
      const { path: root } = await this.#bulkhead.session(ref);
      const path = root !== null && isWithinFolder(root, fsPath) ? repoPathOf(root, fsPath) : undefined;
      if (path !== undefined) {
        await this.#bulkhead.checkpoint({ session: ref, trigger: 'save', agent: 'user', paths: [path] });
      }
    }
  }

  async #start(ref: SessionRef, path: string): Promise<void> {
    try {
      const capture = await this.#bulkhead.capture(ref, {
        ownWindow: this.#own.has(ref),
        isSaving: () => this.#saves.isSaving,
        hear: () => this.#hear(),
      });
      const owned = new DisposableStore();
      owned.add(
        capture.onDidFail((error) => {
          if (error.code === 'session-not-ready' && error.data['state'] === 'trashed') {
            // Deleted or reset, here or by somebody else: its folder is gone, and there is nothing to record any more.
            void this.update();
            return;
          }
          this.#errors.showOnce(vscode.l10n.t('Cannot record a change.'), error);
        }),
      );
      owned.add(watch(path, capture, this.#saves));
      owned.add(
        systemClock.schedule(LATE_WATCHER_MS, () => {
          capture.doubt('the watcher may have started late');
        }),
      );
      this.#running.set(ref, { ref, path, capture, owned });
    } catch (error) {
      this.#errors.showOnce(vscode.l10n.t('Cannot record a session.'), error);
    }
  }

  /** Afterwards every save that the editor had begun is known here. */
  async #hear(): Promise<readonly string[]> {
    await hearEditor();
    const documents = [
      ...vscode.workspace.textDocuments.filter(({ isDirty }) => isDirty),
      ...vscode.workspace.notebookDocuments.filter(({ isDirty }) => isDirty),
    ];
    return documents.filter(({ uri }) => uri.scheme === 'file').map(({ uri }) => this.#real(uri.fsPath));
  }

  async #stop(ref: SessionRef): Promise<void> {
    const running = this.#running.get(ref);
    this.#running.delete(ref);
    running?.owned.dispose();
    try {
      await running?.capture.shutdown();
    } catch (error) {
      this.#errors.log('Cannot end a recording.', error);
    }
  }

  /** The work tree with the longest path wins: a clone may lie below another work tree. */
  #within(fsPath: string): Running | undefined {
    return [...this.#running.values()]
      .filter((running) => isWithinFolder(running.path, fsPath))
      .sort((a, b) => b.path.length - a.path.length)[0];
  }

  /** A folder that was opened through a symbolic link reports its files by that link. */
  #real(fsPath: string): string {
    const folder = this.#folders.find(({ shown }) => isWithinFolder(shown, fsPath));
    return folder === undefined ? fsPath : join(folder.real, relative(folder.shown, fsPath));
  }
}

function isWithinFolder(folder: string, fsPath: string): boolean {
  const rest = relative(folder, fsPath);
  return rest === '' || (rest !== '..' && !rest.startsWith(`..${sep}`) && !isAbsolute(rest));
}

function repoPathOf(root: string, fsPath: string): RepoPath | undefined {
  return repoPathFromText(relative(root, fsPath).split(sep).join('/'));
}

/** What happens inside `.git` is git's business, except that a moved HEAD changes which files are tracked. */
function watch(root: string, capture: Capture, saves: PendingSaves): Disposable {
  const watcher = vscode.workspace.createFileSystemWatcher(new vscode.RelativePattern(vscode.Uri.file(root), '**/*'));
  const onEvent = (uri: vscode.Uri): void => {
    const path = relative(root, uri.fsPath).split(sep).join('/');
    if (path === '.git/HEAD' || path === '.git/logs/HEAD') {
      capture.doubt('HEAD moved');
    } else if (path === '') {
      capture.doubt('the work tree itself changed');
    } else if (!path.split('/').includes('.git')) {
      const tell = (): void => {
        capture.changedOutside(uri.fsPath);
      };
      if (!saves.hold(uri.fsPath, tell)) {
        tell();
      }
    }
  };
  const owned = new DisposableStore();
  owned.add(watcher);
  owned.add(watcher.onDidCreate(onEvent));
  owned.add(watcher.onDidChange(onEvent));
  owned.add(watcher.onDidDelete(onEvent));
  return owned;
}
