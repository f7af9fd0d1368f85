import * as vscode from 'vscode';
import { systemClock } from '../base/clock';
import { DisposableStore, type Disposable } from '../base/disposable';
import { WORKSPACE, type ContendedPath, type SessionRef } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import { Coalescer } from './coalescer';
import type { CommandId } from './commandIds';
import { ContentionMonitor } from './contentionMonitor';
import { contentionLine, sessionName } from './labels';
import type { Repositories } from './repositories';
import type { Repository } from './repository';
import { shownInLine } from './safeText';
import type { ErrorDisplay } from './showError';
import { statusOf, type Status } from './statusText';
import { localizer } from './textContext';

const NAMES_DELAY_MS = 50;

/** What the status bar knows of one repository. */
export interface RepositoryStatus {
  readonly repository: Repository;
  readonly bulkhead: Bulkhead;
  readonly paths: readonly ContendedPath[];
  readonly waiting: ReturnType<Bulkhead['waiting']>;
  readonly nameOf: (session: SessionRef) => string;
}

interface Followed {
  readonly repository: Repository;
  readonly bulkhead: Bulkhead;
  readonly monitor: ContentionMonitor;
  names: ReadonlyMap<SessionRef, string>;
}

/**
 * Silent while all is well. Warns when sessions change the same file, and tells who is waited for; in the window of a
 * session it shows that session's name.
 */
export class ContentionStatusBar implements Disposable {
  readonly #item: vscode.StatusBarItem;
  readonly #errors: ErrorDisplay;
  readonly #owned = new DisposableStore();
  readonly #drawn = new vscode.EventEmitter<void>();
  /** After every drawing, also when the item was hidden. */
  readonly onDidDraw = this.#drawn.event;
  #followedOwned = new DisposableStore();
  #followed: readonly Followed[] = [];

  constructor(repositories: Repositories, errors: ErrorDisplay) {
    this.#errors = errors;
    this.#item = this.#owned.add(
      vscode.window.createStatusBarItem('bulkhead.status', vscode.StatusBarAlignment.Left, 10),
    );
    this.#owned.add(this.#drawn);
    this.#item.name = vscode.l10n.t('Bulkhead');
    this.#owned.add({
      dispose: () => {
        this.#followedOwned.dispose();
      },
    });
    this.#owned.add(
      repositories.onDidChange(() => {
        this.#follow(repositories.all);
      }),
    );
    this.#follow(repositories.all);
  }

  dispose(): void {
    this.#owned.dispose();
  }

  get statuses(): readonly RepositoryStatus[] {
    return this.#followed.map(({ repository, bulkhead, monitor, names }) => ({
      repository,
      bulkhead,
      paths: monitor.paths,
      waiting: bulkhead.waiting(),
      nameOf: (session) => sessionName(localizer, { id: session, name: names.get(session) ?? session }),
    }));
  }

  /** What is shown now; null while the item is hidden. */
  get shown(): Status | null {
    return statusOf(localizer, this.#facts());
  }

  #follow(repositories: readonly Repository[]): void {
    this.#followedOwned.dispose();
    this.#followedOwned = new DisposableStore();
    this.#followed = repositories.flatMap((repository) =>
      repository.bulkhead === null ? [] : [this.#followOne(repository, repository.bulkhead)],
    );
    this.#draw();
  }

  #followOne(repository: Repository, bulkhead: Bulkhead): Followed {
    const owned = this.#followedOwned;
    const monitor = owned.add(
      new ContentionMonitor({
        source: bulkhead,
        clock: systemClock,
        onError: (error) => {
          this.#errors.log('Cannot look for contention.', error);
        },
      }),
    );
    const followed: Followed = { repository, bulkhead, monitor, names: new Map() };
    const names = owned.add(
      new Coalescer<'names'>({
        clock: systemClock,
        delayMs: NAMES_DELAY_MS,
        work: async () => {
          const sessions = await bulkhead.sessions({ all: true });
          followed.names = new Map(sessions.map((session) => [session.id, session.name]));
          this.#draw();
        },
        onError: (error) => {
          this.#errors.log('Cannot read the names of the sessions.', error);
        },
      }),
    );
    const onSessions = (): void => {
      monitor.touch();
      names.touch('names');
    };
    owned.add(monitor.onDidChange(() => this.#draw()));
    owned.add(bulkhead.onDidChangeWaiting(() => this.#draw()));
    owned.add(bulkhead.onDidChangeSnapshots(() => monitor.touch()));
    owned.add(bulkhead.onDidChangeSessions(onSessions));
    onSessions();
    return followed;
  }

  #facts(): Parameters<typeof statusOf>[1] {
    const statuses = this.statuses;
    return {
      own: statuses.flatMap(({ repository, nameOf }) =>
        [...repository.own].filter((ref) => ref !== WORKSPACE).map(nameOf),
      ),
      contended: statuses.flatMap(({ paths, nameOf }) => paths.map((path) => contentionLine(localizer, path, nameOf))),
      waiting: statuses.flatMap(({ waiting, nameOf }) =>
        waiting.map((entry) => ({ name: nameOf(entry.session), holder: shownInLine(entry.holder) })),
      ),
    };
  }

  #draw(): void {
    const status = this.shown;
    if (status === null) {
      this.#item.hide();
    } else {
      this.#item.text = status.text;
      this.#item.tooltip = status.tooltip;
      this.#item.accessibilityInformation = { label: status.tooltip, role: 'button' };
      this.#item.backgroundColor = status.warning
        ? new vscode.ThemeColor('statusBarItem.warningBackground')
        : undefined;
      this.#item.command = COMMANDS[status.leadsTo];
      this.#item.show();
    }
    this.#drawn.fire();
  }
}

const COMMANDS: Readonly<Record<Status['leadsTo'], CommandId>> = {
  actions: 'bulkhead.showSessionActions',
  contention: 'bulkhead.showContention',
  locks: 'bulkhead.showLockHolders',
};
