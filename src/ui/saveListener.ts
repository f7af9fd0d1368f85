import * as vscode from 'vscode';
import type { Disposable } from '../base/disposable';
import { DisposableStore } from '../base/disposable';
import { systemClock } from '../base/clock';
import type { ErrorDisplay } from './showError';

const TICK_MS = 60_000;
/** Ticks that come this late mean that the computer slept: watchers may have missed what happened meanwhile. */
const GAP_MS = 3 * TICK_MS;

/** What the listener tells, for every repository of the window. */
export interface SaveSink {
  willSave(fsPath: string): void;
  saved(fsPath: string): Promise<void>;
  doubt(reason: string): void;
}

/** Tells `sink` each file that an editor of this window saved, and when something may have been missed. */
export function listenToSaves(sink: SaveSink, errors: ErrorDisplay): Disposable {
  const owned = new DisposableStore();
  const onWillSave = (uri: vscode.Uri): void => {
    if (uri.scheme === 'file') {
      sink.willSave(uri.fsPath);
    }
  };
  const onSaved = (uri: vscode.Uri): void => {
    if (uri.scheme === 'file') {
      sink.saved(uri.fsPath).catch((error: unknown) => {
        errors.showOnce(vscode.l10n.t('Cannot make a snapshot of a saved file.'), error);
      });
    }
  };
  owned.add(
    vscode.workspace.onWillSaveTextDocument(({ document }) => {
      onWillSave(document.uri);
    }),
  );
  owned.add(
    vscode.workspace.onWillSaveNotebookDocument(({ notebook }) => {
      onWillSave(notebook.uri);
    }),
  );
  owned.add(
    vscode.workspace.onDidSaveTextDocument((document) => {
      onSaved(document.uri);
    }),
  );
  owned.add(
    vscode.workspace.onDidSaveNotebookDocument((document) => {
      onSaved(document.uri);
    }),
  );
  owned.add(
    everyMinute((late) => {
      if (late > GAP_MS) {
        sink.doubt('the computer slept');
      }
    }),
  );
  return owned;
}

/** Calls back once a minute with the time since the last call. */
export function everyMinute(callback: (sinceLast: number) => void): Disposable {
  const owned = new DisposableStore();
  let last = systemClock.now();
  let timer: Disposable | undefined;
  const next = (): void => {
    timer = systemClock.schedule(
      TICK_MS,
      () => {
        const now = systemClock.now();
        const since = now - last;
        last = now;
        next();
        callback(since);
      },
      { background: true },
    );
  };
  next();
  owned.add({
    dispose: () => {
      timer?.dispose();
    },
  });
  return owned;
}
