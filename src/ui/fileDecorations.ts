import * as vscode from 'vscode';
import type { FileDiff } from '../session/api';
import { displayPath } from '../core/repoPath';
import { statusLetter } from './labels';

/** Only rows of our trees have this scheme, so that nobody else decorates them, and we decorate nothing else. */
const ROW_SCHEME = 'bulkhead-row';

/** The resource of a file's row: its icon comes from the name, its badge from the status. */
export function rowUri(file: FileDiff): vscode.Uri {
  return vscode.Uri.from({ scheme: ROW_SCHEME, path: `/${displayPath(file.path)}`, query: statusLetter(file.status) });
}

const COLORS: Readonly<Record<string, string>> = {
  A: 'gitDecoration.addedResourceForeground',
  M: 'gitDecoration.modifiedResourceForeground',
  D: 'gitDecoration.deletedResourceForeground',
  R: 'gitDecoration.renamedResourceForeground',
  T: 'gitDecoration.modifiedResourceForeground',
};

export const fileDecorations: vscode.FileDecorationProvider = {
  provideFileDecoration(uri) {
    const color = uri.scheme === ROW_SCHEME ? COLORS[uri.query] : undefined;
    return color === undefined
      ? undefined
      : new vscode.FileDecoration(uri.query, tooltipOf(uri.query), new vscode.ThemeColor(color));
  },
};

function tooltipOf(letter: string): string {
  switch (letter) {
    case 'A':
      return vscode.l10n.t('Added');
    case 'D':
      return vscode.l10n.t('Deleted');
    case 'R':
      return vscode.l10n.t('Renamed');
    case 'T':
      return vscode.l10n.t('Type changed');
    default:
      return vscode.l10n.t('Modified');
  }
}
