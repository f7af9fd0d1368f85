import * as vscode from 'vscode';
import type { StartPoint } from '../session/api';
import { pickSnapshot } from './prompts';
import type { Repository } from './repository';
import { shownInLine, withoutIcons } from './safeText';

export interface Start {
  readonly from: StartPoint;
  readonly carryUncommitted: boolean;
}

type Choice = 'head' | 'uncommitted' | 'branch' | 'snapshot';

/** Asks where a new session starts. */
export async function askStart(repository: Repository, title: string): Promise<Start | undefined> {
  const rows: (vscode.QuickPickItem & { readonly choice: Choice })[] = [
    {
      choice: 'head',
      label: vscode.l10n.t('HEAD'),
      description: vscode.l10n.t('the last commit'),
      iconPath: new vscode.ThemeIcon('git-commit'),
    },
    {
      choice: 'uncommitted',
      label: vscode.l10n.t('HEAD with uncommitted work'),
      description: vscode.l10n.t('your checkout as it is now'),
      iconPath: new vscode.ThemeIcon('edit'),
    },
    { choice: 'branch', label: vscode.l10n.t('A branch…'), iconPath: new vscode.ThemeIcon('git-branch') },
    ...(repository.bulkhead === null
      ? []
      : [
          {
            choice: 'snapshot' as const,
            label: vscode.l10n.t('A snapshot…'),
            iconPath: new vscode.ThemeIcon('history'),
          },
        ]),
  ];
  const chosen = await vscode.window.showQuickPick(rows, {
    title,
    placeHolder: vscode.l10n.t('Where does the session start?'),
    ignoreFocusOut: true,
  });
  switch (chosen?.choice) {
    case undefined:
      return undefined;
    case 'head':
      return { from: { kind: 'head' }, carryUncommitted: false };
    case 'uncommitted':
      return { from: { kind: 'head' }, carryUncommitted: true };
    case 'branch': {
      const revision = await askRevision(repository, title);
      return revision === undefined ? undefined : { from: { kind: 'revision', revision }, carryUncommitted: false };
    }
    case 'snapshot': {
      const snapshot = repository.bulkhead === null ? undefined : await pickSnapshot(repository.bulkhead, title);
      return snapshot === undefined
        ? undefined
        : { from: { kind: 'snapshot', oid: snapshot.oid }, carryUncommitted: false };
    }
  }
}

/** The part of the built-in git extension's API that is used here; its types are not published as a package. */
interface GitExtension {
  getAPI(version: 1): { getRepository(uri: vscode.Uri): GitRepository | null };
}

interface GitRepository {
  getBranches(query: {
    readonly remote?: boolean;
    readonly count?: number;
  }): Promise<readonly { readonly name?: string; readonly commit?: string }[]>;
}

/** Lists the branches that the built-in git extension knows; without it she types one. */
async function askRevision(repository: Repository, title: string): Promise<string | undefined> {
  const names = await branchesOf(repository);
  if (names.length > 0) {
    const chosen = await vscode.window.showQuickPick(
      names.map((name) => ({
        label: withoutIcons(shownInLine(name)),
        iconPath: new vscode.ThemeIcon('git-branch'),
        name,
      })),
      { title, placeHolder: vscode.l10n.t('Which branch?'), ignoreFocusOut: true },
    );
    return chosen?.name;
  }
  const text = await vscode.window.showInputBox({
    title,
    prompt: vscode.l10n.t('A branch, tag or commit of your repository'),
    ignoreFocusOut: true,
    validateInput: (value) =>
      value.trim() === '' || value.startsWith('-')
        ? vscode.l10n.t('Type the name of a branch, tag or commit.')
        : undefined,
  });
  return text?.trim();
}

async function branchesOf(repository: Repository): Promise<readonly string[]> {
  try {
    const extension = vscode.extensions.getExtension<GitExtension>('vscode.git');
    const git = (await extension?.activate())?.getAPI(1).getRepository(vscode.Uri.file(repository.root));
    const branches = (await git?.getBranches({ remote: true })) ?? [];
    return branches.map((branch) => branch.name).filter((name) => name !== undefined);
  } catch {
    // Expected: the git extension is switched off, or does not know this repository.
    return [];
  }
}
