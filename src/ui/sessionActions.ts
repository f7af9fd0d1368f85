import * as vscode from 'vscode';
import { BulkheadError } from '../base/errors';
import type { CommandId } from './commandIds';
import { sessionName } from './labels';
import { opened, type Targets } from './targets';
import { localizer } from './textContext';
import { sessionRow } from './treeNodes';

/** What can be done with the session of this window: the answer to a click on its name in the status bar. */
export async function showSessionActions(targets: Targets): Promise<void> {
  const own = targets.ownSession();
  if (own === undefined) {
    throw new BulkheadError(
      'notFound',
      'no-own-session',
      vscode.l10n.t('This window does not show a session. Open one with "Open Session".'),
    );
  }
  const session = await opened(own.repository).session(own.session);
  const rows: (vscode.QuickPickItem & { readonly command: CommandId | 'workbench.view.extension.bulkhead' })[] = [
    {
      command: 'bulkhead.checkpointNow',
      label: vscode.l10n.t('Checkpoint Now'),
      iconPath: new vscode.ThemeIcon('bookmark'),
    },
    {
      command: 'bulkhead.compareWithBase',
      label: vscode.l10n.t('Compare with Base'),
      iconPath: new vscode.ThemeIcon('diff-multiple'),
    },
    {
      command: 'bulkhead.restoreSnapshot',
      label: vscode.l10n.t('Restore Snapshot…'),
      iconPath: new vscode.ThemeIcon('history'),
    },
    {
      command: 'bulkhead.undoRestore',
      label: vscode.l10n.t('Undo Restore'),
      iconPath: new vscode.ThemeIcon('discard'),
    },
    {
      command: 'bulkhead.applyAsBranch',
      label: vscode.l10n.t('Apply as Branch…'),
      iconPath: new vscode.ThemeIcon('git-branch'),
    },
    {
      command: 'bulkhead.renameSession',
      label: vscode.l10n.t('Rename Session…'),
      iconPath: new vscode.ThemeIcon('edit'),
    },
    {
      command: 'bulkhead.resetSession',
      label: vscode.l10n.t('Reset Session…'),
      iconPath: new vscode.ThemeIcon('debug-restart'),
    },
    {
      command: 'workbench.view.extension.bulkhead',
      label: vscode.l10n.t('Show Sessions'),
      iconPath: new vscode.ThemeIcon('list-tree'),
    },
  ];
  const chosen = await vscode.window.showQuickPick(rows, {
    title: sessionName(localizer, session),
    placeHolder: vscode.l10n.t('What to do?'),
  });
  if (chosen !== undefined) {
    const node = sessionRow(own.repository, session);
    await vscode.commands.executeCommand(
      chosen.command,
      ...(chosen.command === 'workbench.view.extension.bulkhead' ? [] : [node]),
    );
  }
}
