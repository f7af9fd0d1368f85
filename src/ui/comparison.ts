import { join } from 'node:path';
import * as vscode from 'vscode';
import { displayPath, isUtf8Path, visiblePath, type RepoPath } from '../core/repoPath';
import type { DiffResult, DiffSide, FileDiff } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import { pathParts } from './labels';
import { tell } from './messages';
import type { Repository } from './repository';
import { snapshotUri } from './snapshotContent';

/** The multi-file editor gets slow beyond this; the tree lists the rest. */
const MOST_FILES = 1_000;

/** One side of a comparison and what it is called in titles. */
export interface NamedSide {
  readonly side: DiffSide;
  readonly name: string;
}

export interface Comparison {
  readonly repository: Repository;
  readonly bulkhead: Bulkhead;
  readonly left: NamedSide;
  readonly right: NamedSide;
  /** Folder of the right side, when that is a live work tree: then its files are open for editing. */
  readonly liveRoot?: string;
}

/** Opens all changed files of a comparison in one editor; says so when there are none. */
export async function showChanges(comparison: Comparison, title: string): Promise<void> {
  const diff = await comparison.bulkhead.diff(comparison.left.side, comparison.right.side);
  if (diff.files.length === 0) {
    void tell(vscode.l10n.t('No file differs between {0} and {1}.', comparison.left.name, comparison.right.name));
    return;
  }
  const shown = diff.files.slice(0, MOST_FILES);
  if (shown.length < diff.files.length) {
    void tell(vscode.l10n.t('{0} files differ; the first {1} are shown.', diff.files.length, shown.length));
  }
  const resources = shown.map((file): [vscode.Uri, vscode.Uri | undefined, vscode.Uri | undefined] => {
    const { left, right } = urisOf(comparison, diff, file);
    return [right ?? left ?? snapshotUri(comparison.repository.key, null, file.path), left, right];
  });
  await vscode.commands.executeCommand('vscode.changes', title, resources);
}

/** Opens the two sides of one file. */
export async function showFileDiff(
  comparison: Comparison,
  diff: DiffResult,
  file: FileDiff,
  options: { readonly preserveFocus?: boolean } = {},
): Promise<void> {
  const { left, right } = urisOf(comparison, diff, file);
  const empty = snapshotUri(comparison.repository.key, null, file.path);
  const title = `${pathParts(visiblePath(file.path)).name} (${comparison.left.name} ↔ ${comparison.right.name})`;
  await vscode.commands.executeCommand('vscode.diff', left ?? empty, right ?? empty, title, {
    preview: true,
    preserveFocus: options.preserveFocus ?? false,
  } satisfies vscode.TextDocumentShowOptions);
}

function urisOf(
  { repository, liveRoot }: Comparison,
  diff: DiffResult,
  file: FileDiff,
): { readonly left: vscode.Uri | undefined; readonly right: vscode.Uri | undefined } {
  const left = file.oldOid === null ? undefined : snapshotUri(repository.key, diff.from, file.oldPath ?? file.path);
  if (file.newOid === null) {
    return { left, right: undefined };
  }
  const regular = file.newMode === '100644' || file.newMode === '100755';
  const live = liveRoot !== undefined && regular ? workTreeUri(liveRoot, file.path) : undefined;
  return { left, right: live ?? snapshotUri(repository.key, diff.to, file.path) };
}

/** Where a file of a work tree is; undefined for a name that text cannot hold. */
export function workTreeUri(root: string, path: RepoPath): vscode.Uri | undefined {
  return isUtf8Path(path) ? vscode.Uri.file(join(root, ...displayPath(path).split('/'))) : undefined;
}
