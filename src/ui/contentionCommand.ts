import * as vscode from 'vscode';
import { visiblePath, type RepoPath } from '../core/repoPath';
import type { ContendedPair, ContendedPath, SessionRef } from '../session/api';
import type { ContentionStatusBar, RepositoryStatus } from './contentionStatusBar';
import { pairText, pathParts } from './labels';
import { tell } from './messages';
import { withoutIcons } from './safeText';
import { snapshotUri } from './snapshotContent';
import { localizer } from './textContext';

interface ContentionRow extends vscode.QuickPickItem {
  readonly status?: RepositoryStatus;
  readonly contended?: ContendedPath;
}

/** Path, then pair of sessions, then the difference between the two. */
export async function showContention(statusBar: ContentionStatusBar): Promise<void> {
  const rows = statusBar.statuses.flatMap((status) => rowsOf(status));
  if (rows.length === 0) {
    void tell(vscode.l10n.t('No file is changed in two sessions, and nobody waits.'));
    return;
  }
  const title = vscode.l10n.t('Contention');
  const chosen = await vscode.window.showQuickPick(rows, {
    title,
    placeHolder: vscode.l10n.t('Which file?'),
    matchOnDescription: true,
  });
  if (chosen?.status === undefined || chosen.contended === undefined) {
    return;
  }
  const { status, contended } = chosen;
  const pair = contended.pairs.length > 1 ? await pickPair(status, contended) : contended.pairs[0];
  if (pair !== undefined) {
    await showPair(status, contended.path, pair);
  }
}

function rowsOf(status: RepositoryStatus): readonly ContentionRow[] {
  const waiting = status.waiting.map((entry): ContentionRow => ({
    label: withoutIcons(vscode.l10n.t('{0} waits', status.nameOf(entry.session))),
    description: withoutIcons(entry.holder),
    iconPath: new vscode.ThemeIcon('lock'),
  }));
  const contended = status.paths.map((path): ContentionRow => {
    const parts = pathParts(visiblePath(path.path));
    return {
      label: withoutIcons(parts.name),
      description: withoutIcons(
        [parts.folder, path.sessions.map(status.nameOf).join(', ')].filter((part) => part !== '').join(' · '),
      ),
      iconPath: new vscode.ThemeIcon(path.merge === 'clean' ? 'git-merge' : 'warning'),
      status,
      contended: path,
    };
  });
  return [...waiting, ...contended];
}

async function pickPair(status: RepositoryStatus, contended: ContendedPath): Promise<ContendedPair | undefined> {
  const chosen = await vscode.window.showQuickPick(
    contended.pairs.map((pair) => ({
      label: withoutIcons(pairText(localizer, pair, status.nameOf)),
      iconPath: new vscode.ThemeIcon('diff'),
      pair,
    })),
    { title: visiblePath(contended.path), placeHolder: vscode.l10n.t('Which two?') },
  );
  return chosen?.pair;
}

async function showPair(status: RepositoryStatus, path: RepoPath, pair: ContendedPair): Promise<void> {
  const { bulkhead, repository } = status;
  const uriOf = async (ref: SessionRef): Promise<vscode.Uri> => {
    const tree = await bulkhead.treeOf({ kind: 'newest', session: ref });
    const entry = await bulkhead.entry(tree, path);
    return snapshotUri(repository.key, entry === undefined ? null : tree, path);
  };
  const [left, right, base] = await Promise.all([uriOf(pair.a), uriOf(pair.b), baseText(status, pair)]);
  const title = `${pathParts(visiblePath(path)).name}: ${pairText(localizer, pair, status.nameOf)}${base}`;
  await vscode.commands.executeCommand('vscode.diff', left, right, title, {
    preview: true,
  } satisfies vscode.TextDocumentShowOptions);
}

/** Which commits the two started from; your own checkout counts from the session's base. */
async function baseText({ bulkhead }: RepositoryStatus, pair: ContendedPair): Promise<string> {
  const sessions = await Promise.all(
    [pair.a, pair.b].filter((ref) => ref !== 'workspace').map((ref) => bulkhead.session(ref)),
  );
  const commits = [
    ...new Set(sessions.map((session) => session.base?.commit?.slice(0, 7)).filter((commit) => commit !== undefined)),
  ];
  if (commits.length === 0) {
    return '';
  }
  return ` · ${commits.length === 1 ? vscode.l10n.t('base {0}', commits[0] ?? '') : vscode.l10n.t('bases {0}', commits.join(', '))}`;
}
