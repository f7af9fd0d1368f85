import * as vscode from 'vscode';
import type { Session } from './session/api';
import { systemClock } from './base/clock';
import { Captures } from './ui/captures';
import { checkStore } from './ui/checkStoreCommand';
import { registerCommands } from './ui/commands';
import { showContention } from './ui/contentionCommand';
import { ContentionStatusBar } from './ui/contentionStatusBar';
import { setContextKey } from './ui/contextKeys';
import { fileDecorations } from './ui/fileDecorations';
import { showLockHolders } from './ui/lockCommand';
import { createLogChannel } from './ui/logChannel';
import { MaintenanceSchedule } from './ui/maintenanceSchedule';
import { ReportDocuments } from './ui/reportDocuments';
import { Repositories } from './ui/repositories';
import type { Repository } from './ui/repository';
import { listenToSaves } from './ui/saveListener';
import { showSessionActions } from './ui/sessionActions';
import { shown, withoutLinks } from './ui/safeText';
import { sessionCommands } from './ui/sessionCommands';
import { SessionTree } from './ui/sessionTree';
import { affectsSettings } from './ui/settings';
import { ErrorDisplay } from './ui/showError';
import { snapshotCommands } from './ui/snapshotCommands';
import { SnapshotContent } from './ui/snapshotContent';
import { SNAPSHOT_SCHEME } from './ui/snapshotUri';
import { SuccessorOffer } from './ui/successorOffer';
import { Targets } from './ui/targets';
import type { TestApi } from './ui/testApi';
import type { TreeNode } from './ui/treeNodes';
import { watchForRepository } from './ui/watchForRepository';

let shutdown: () => Promise<void> = () => Promise.resolve();

export function activate(context: vscode.ExtensionContext): TestApi | undefined {
  const log = createLogChannel();
  const errors = new ErrorDisplay(log);
  const repositories = new Repositories({
    log,
    storageUri: context.storageUri,
    globalStorageUri: context.globalStorageUri,
  });
  const captures = new Captures(repositories, errors);
  const tree = new SessionTree(repositories, errors);
  const view = vscode.window.createTreeView('bulkhead.sessions', { treeDataProvider: tree, showCollapseAll: true });
  const statusBar = new ContentionStatusBar(repositories, errors);
  const targets = new Targets(repositories);
  const documents = new ReportDocuments();
  const maintenance = new MaintenanceSchedule({
    clock: systemClock,
    log,
    mayWrite: () => vscode.workspace.isTrusted,
  });
  const open = (): void => {
    void repositories.open();
  };

  const commands = registerCommands(
    {
      ...sessionCommands({
        repositories,
        targets,
        reveal: (repository, session) => revealSession({ tree, view, errors }, repository, session),
      }),
      ...snapshotCommands(targets),
      'bulkhead.showContention': {
        failure: vscode.l10n.t('Cannot show the contention.'),
        run: () => showContention(statusBar),
      },
      'bulkhead.showLockHolders': {
        failure: vscode.l10n.t('Cannot show who holds locks.'),
        run: () => showLockHolders(repositories),
      },
      'bulkhead.checkStore': {
        failure: vscode.l10n.t('Cannot check the snapshot store.'),
        run: (node) => checkStore({ repositories, targets, documents }, node),
      },
      'bulkhead.showSessionActions': {
        failure: vscode.l10n.t('Cannot show the actions.'),
        run: () => showSessionActions(targets),
      },
      'bulkhead.refresh': {
        failure: vscode.l10n.t('Cannot refresh.'),
        run: () => (repositories.state === 'ready' ? tree.refresh() : repositories.open()),
      },
      'bulkhead.showLog': {
        failure: vscode.l10n.t('Cannot show the log.'),
        run: async () => {
          log.show();
        },
      },
      'bulkhead.showMore': {
        failure: vscode.l10n.t('Cannot show more.'),
        run: async (node) => {
          if (node?.kind === 'more') {
            await tree.showMore(node);
          }
        },
      },
    },
    { log, errors },
  );

  context.subscriptions.push(
    log,
    view,
    tree,
    statusBar,
    new SuccessorOffer(repositories, errors),
    documents,
    maintenance,
    commands,
    listenToSaves(captures, errors),
    watchForRepository(repositories),
    vscode.window.registerFileDecorationProvider(fileDecorations),
    vscode.workspace.registerFileSystemProvider(SNAPSHOT_SCHEME, new SnapshotContent(repositories), {
      isCaseSensitive: true,
      isReadonly: true,
    }),
    vscode.workspace.onDidChangeWorkspaceFolders(open),
    vscode.workspace.onDidGrantWorkspaceTrust(open),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (affectsSettings(event)) {
        open();
      }
    }),
    repositories.onDidChange(() => {
      void setContextKey('bulkhead.state', repositories.state);
      // Without trust nothing runs but listing and viewing.
      const stores = vscode.workspace.isTrusted ? repositories.all : [];
      maintenance.follow(stores.flatMap(({ bulkhead }) => (bulkhead === null ? [] : [bulkhead])));
      view.message = repositories.state === 'failed' ? withoutLinks(shown(repositories.reason ?? '')) : '';
    }),
  );
  shutdown = async () => {
    maintenance.dispose();
    await captures.shutdown();
    await repositories.shutdown();
  };
  open();
  return context.extensionMode === vscode.ExtensionMode.Test ? { repositories, captures, tree, statusBar } : undefined;
}

/** Selects the row of a new session; a view that is not shown, or has another opinion, is left as it is. */
async function revealSession(
  {
    tree,
    view,
    errors,
  }: { readonly tree: SessionTree; readonly view: vscode.TreeView<TreeNode>; readonly errors: ErrorDisplay },
  repository: Repository,
  session: Session,
): Promise<void> {
  try {
    const node = view.visible ? await tree.sessionNode(repository.key, session.id) : undefined;
    if (node !== undefined) {
      await view.reveal(node, { select: true });
    }
  } catch (error) {
    errors.log('Cannot select the new session.', error);
  }
}

/** Waits until every pending snapshot is written and no child process is left. */
export async function deactivate(): Promise<void> {
  await shutdown();
}
