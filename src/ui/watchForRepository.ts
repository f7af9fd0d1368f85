import * as vscode from 'vscode';
import { DisposableStore, type Disposable } from '../base/disposable';
import type { Repositories } from './repositories';

/** Opens the folders of the window anew when one of them becomes a repository. */
export function watchForRepository(repositories: Repositories): Disposable {
  const owned = new DisposableStore();
  let watching: DisposableStore | undefined;
  const update = (): void => {
    if (repositories.state !== 'noRepository') {
      watching?.dispose();
      watching = undefined;
      return;
    }
    if (watching !== undefined) {
      return;
    }
    watching = new DisposableStore();
    for (const folder of vscode.workspace.workspaceFolders ?? []) {
      // Git writes HEAD last, so then the repository can be opened.
      const watcher = watching.add(
        vscode.workspace.createFileSystemWatcher(new vscode.RelativePattern(folder, '.git/HEAD'), false, true, true),
      );
      watching.add(
        watcher.onDidCreate(() => {
          void repositories.open();
        }),
      );
    }
  };
  owned.add({
    dispose: () => {
      watching?.dispose();
    },
  });
  owned.add(repositories.onDidChange(update));
  update();
  return owned;
}
