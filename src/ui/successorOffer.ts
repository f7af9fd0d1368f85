import * as vscode from 'vscode';
import { systemClock } from '../base/clock';
import { DisposableStore, type Disposable } from '../base/disposable';
import type { Session } from '../session/api';
import { sessionName } from './labels';
import { warn } from './messages';
import type { Repositories } from './repositories';
import type { Repository } from './repository';
import type { ErrorDisplay } from './showError';
import { SuccessorWatch } from './successorWatch';
import { localizer } from './textContext';
import { sessionRow } from './treeNodes';

/** In a window whose session was reset, here or elsewhere, nothing is recorded any more: says so, and offers the fresh one. */
export class SuccessorOffer implements Disposable {
  readonly #repositories: Repositories;
  readonly #errors: ErrorDisplay;
  readonly #owned = new DisposableStore();
  /** Successors that she was told of: settings and folders may change, and all is followed anew. */
  readonly #told = new Set<string>();
  #watching = new DisposableStore();

  constructor(repositories: Repositories, errors: ErrorDisplay) {
    this.#repositories = repositories;
    this.#errors = errors;
    this.#owned.add(
      repositories.onDidChange(() => {
        this.#follow();
      }),
    );
    this.#follow();
  }

  dispose(): void {
    this.#owned.dispose();
    this.#watching.dispose();
  }

  #follow(): void {
    this.#watching.dispose();
    this.#watching = new DisposableStore();
    for (const repository of this.#repositories.all) {
      if (repository.bulkhead === null) {
        continue;
      }
      this.#watching.add(
        new SuccessorWatch({
          source: repository.bulkhead,
          own: repository.own,
          clock: systemClock,
          onReset: (_old, successor) => {
            this.#offer(repository, successor);
          },
          onError: (error) => {
            this.#errors.log('Cannot look for the successor of a session.', error);
          },
        }),
      );
    }
  }

  #offer(repository: Repository, session: Session): void {
    if (this.#told.has(session.id)) {
      return;
    }
    this.#told.add(session.id);
    const open = vscode.l10n.t('Open the New One');
    const text = vscode.l10n.t(
      'Session "{0}" was reset. This window shows the old clone, which is in the trash now: what is saved here is not recorded.',
      sessionName(localizer, session),
    );
    void warn(text, open).then(async (choice) => {
      if (choice === open) {
        await vscode.commands.executeCommand('bulkhead.openSessionInThisWindow', sessionRow(repository, session));
      }
    });
  }
}
