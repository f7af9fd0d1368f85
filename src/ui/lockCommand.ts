import * as vscode from 'vscode';
import { lockRow } from './lockRows';
import { tell } from './messages';
import type { Repositories } from './repositories';
import { textContext } from './textContext';

interface LockItem extends vscode.QuickPickItem {
  readonly copied: string;
}

/** Who holds what, the oldest first; choosing a row copies what it says, to look for the process or to ask for help. */
export async function showLockHolders(repositories: Repositories): Promise<void> {
  await repositories.ready();
  const open = repositories.all.filter(({ bulkhead }) => bulkhead !== null);
  const context = textContext();
  const items: LockItem[] = [];
  for (const { name, bulkhead } of open) {
    for (const lock of (await bulkhead?.locks()) ?? []) {
      const row = lockRow(context, lock, open.length > 1 ? name : null);
      items.push({
        label: row.label,
        description: row.description,
        detail: row.detail,
        iconPath: new vscode.ThemeIcon(row.icon),
        copied: [row.label, row.description, row.detail, lock.place].join('\n'),
      });
    }
  }
  if (items.length === 0) {
    void tell(vscode.l10n.t('Nothing is locked.'));
    return;
  }
  const chosen = await vscode.window.showQuickPick(items, {
    title: vscode.l10n.t('Lock Holders'),
    placeHolder: vscode.l10n.t('Choose one to copy what is known of it'),
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (chosen !== undefined) {
    await vscode.env.clipboard.writeText(chosen.copied);
  }
}
