import * as vscode from 'vscode';
import { BulkheadError } from '../base/errors';
import { DisposableStore } from '../base/disposable';
import { visiblePath, type RepoPath } from '../core/repoPath';
import type { RestorePlan, RestoreResult, Session } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import { showFileDiff, workTreeUri, type Comparison } from './comparison';
import { sessionName } from './labels';
import { ask, tell } from './messages';
import { canPreview, planSections, planSummary, planSummaryText, type PlanRow } from './planList';
import { withProgress } from './prompts';
import { withoutIcons } from './safeText';
import { localizer } from './textContext';
import type { SessionTarget } from './targets';
import { sessionRow } from './treeNodes';

type Consent = 'safe' | 'all';

/** A restore, an undo or a redo: they differ only in what they ask of the engine. */
export interface RestoreWork {
  readonly target: SessionTarget;
  readonly title: string;
  /** Title of the progress notification. */
  readonly doing: string;
  /** What the person is told afterwards, before the counts. */
  readonly done: string;
  /** Do it without showing the plan, unless there is something to decide. */
  readonly quiet: boolean;
  /** The command that takes it back, and its button. */
  readonly reverse: { readonly command: 'bulkhead.undoRestore' | 'bulkhead.redoRestore'; readonly label: string };
  /** What would happen; writes nothing. */
  plan(): Promise<RestorePlan>;
  run(consent: 'ask' | Consent, signal: AbortSignal): Promise<RestoreResult>;
  /** Shows what a row of the plan would change; null where the other side is unknown. */
  readonly preview: Comparison | null;
}

/** Shows the plan, asks about unsaved editors, restores, and offers to take it back. */
export class RestoreFlow {
  /** The newest snapshot that a restore of this window made, by session: a button of an older one must not take back another. */
  readonly #newest = new Map<string, string | null>();

  async run(work: RestoreWork): Promise<void> {
    let plan = await work.plan();
    let { quiet } = work;
    while (true) {
      if (planSummary(plan).empty) {
        void tell(vscode.l10n.t('Nothing to restore: the files already are as they were then.'));
        return;
      }
      const consent = quiet ? 'ask' : await askConsent(work, plan);
      if (consent === undefined || !(await settleUnsaved(work.target.session, plan))) {
        return;
      }
      try {
        // She saw a plan without doubtful files: then nothing doubtful that came up since may be written without asking again.
        const asked = planSummary(plan).unsafe === 0 ? 'ask' : consent;
        const result = await withProgress(work.doing, (_progress, signal) => work.run(asked, signal));
        this.#tell(work, result);
        return;
      } catch (error) {
        if (!(error instanceof BulkheadError && error.code === 'needs-consent')) {
          throw error;
        }
        plan = await work.plan();
        quiet = false;
      }
    }
  }

  #tell(work: RestoreWork, result: RestoreResult): void {
    const { repository, session } = work.target;
    const meanwhile = result.plan.keep.filter(({ reason }) => reason === 'touched-meanwhile').length;
    const text = [
      `${work.done} ${planSummaryText(localizer, planSummary(result.plan))}.`,
      ...(meanwhile === 0
        ? []
        : meanwhile === 1
          ? [vscode.l10n.t('One file was changed while this ran, and is left as it is.')]
          : [vscode.l10n.t('{0} files were changed while this ran, and are left as they are.', meanwhile)]),
    ].join(' ');
    this.#newest.set(session.id, result.snapshot);
    void tell(text, ...(result.undo === null ? [] : [work.reverse.label])).then(async (choice) => {
      if (choice === undefined) {
        return;
      }
      if (this.#newest.get(session.id) === result.snapshot) {
        await vscode.commands.executeCommand(work.reverse.command, sessionRow(repository, session));
      } else {
        void tell(vscode.l10n.t('Something newer was restored since. Use "Undo Restore" to go back step by step.'));
      }
    });
  }
}

interface PlanItem extends vscode.QuickPickItem {
  readonly consent?: Consent | 'cancel';
  readonly row?: PlanRow;
}

/** The plan as a list with the decisions on top. A click on a file shows its difference and leaves the list open. */
async function askConsent(work: RestoreWork, plan: RestorePlan): Promise<Consent | undefined> {
  const owned = new DisposableStore();
  const picker = owned.add(vscode.window.createQuickPick<PlanItem>());
  picker.title = work.title;
  picker.placeholder = vscode.l10n.t('Choose what to do, or a file to see its changes');
  picker.matchOnDescription = true;
  picker.ignoreFocusOut = true;
  picker.items = planItems(plan);
  const preview = previewer(work, plan);
  try {
    picker.show();
    return await new Promise<Consent | undefined>((resolve, reject) => {
      owned.add(
        picker.onDidAccept(() => {
          const item = picker.selectedItems[0];
          if (item?.row !== undefined) {
            preview(item.row).catch(reject);
          } else if (item?.consent !== undefined) {
            resolve(item.consent === 'cancel' ? undefined : item.consent);
          }
        }),
      );
      owned.add(
        picker.onDidHide(() => {
          resolve(undefined);
        }),
      );
    });
  } finally {
    owned.dispose();
  }
}

function planItems(plan: RestorePlan): readonly PlanItem[] {
  const summary = planSummary(plan);
  const separator = (label: string): PlanItem => ({ label, kind: vscode.QuickPickItemKind.Separator });
  return [
    {
      label: vscode.l10n.t('Restore All'),
      description: planSummaryText(localizer, summary),
      iconPath: new vscode.ThemeIcon('history'),
      alwaysShow: true,
      consent: 'all',
    },
    ...(summary.unsafe === 0
      ? []
      : [
          {
            label: vscode.l10n.t('Restore Only Safe'),
            description:
              summary.unsafe === 1
                ? vscode.l10n.t('leaves out the first file below')
                : vscode.l10n.t('leaves out the first {0} files below', summary.unsafe),
            iconPath: new vscode.ThemeIcon('shield'),
            alwaysShow: true,
            consent: 'safe' as const,
          },
        ]),
    { label: vscode.l10n.t('Cancel'), iconPath: new vscode.ThemeIcon('close'), alwaysShow: true, consent: 'cancel' },
    ...planSections(localizer, plan).flatMap((section) => [
      separator(`${section.title} (${section.rows.length})`),
      ...section.rows.map((row) => ({
        label: withoutIcons(visiblePath(row.path)),
        description: withoutIcons(row.note),
        iconPath: new vscode.ThemeIcon(
          row.action === 'write' ? 'edit' : row.action === 'delete' ? 'trash' : 'circle-slash',
        ),
        row,
      })),
    ]),
  ];
}

/** The difference is asked for once, for all paths of the plan. */
function previewer(work: RestoreWork, plan: RestorePlan): (row: PlanRow) => Promise<void> {
  const { preview } = work;
  let diff: ReturnType<Bulkhead['diff']> | undefined;
  return async (row) => {
    if (preview === null || !canPreview(row)) {
      return;
    }
    diff ??= preview.bulkhead.diff(preview.left.side, preview.right.side, { paths: [...plan.write, ...plan.delete] });
    const result = await diff;
    const file = result.files.find((candidate) => candidate.path === row.path || candidate.oldPath === row.path);
    if (file !== undefined) {
      await showFileDiff(preview, result, file, { preserveFocus: true });
    }
  };
}

/** Unsaved text of affected files is saved or thrown away before anything is written; false when she cancelled. */
async function settleUnsaved(session: Session, plan: RestorePlan): Promise<boolean> {
  const dirty = dirtyEditors(session, [...plan.write, ...plan.delete]);
  if (dirty.length === 0) {
    return true;
  }
  const save = dirty.length === 1 ? vscode.l10n.t('Save') : vscode.l10n.t('Save All');
  const discard = vscode.l10n.t('Discard and Restore');
  const choice = await ask(
    {
      warning: true,
      message:
        dirty.length === 1
          ? vscode.l10n.t('One file to be restored has unsaved changes.')
          : vscode.l10n.t('{0} files to be restored have unsaved changes.', dirty.length),
      detail: `${dirty.map(({ path }) => visiblePath(path)).join('\n')}\n\n${vscode.l10n.t('Saved changes go into a snapshot before the restore. Discarded ones are gone.')}`,
    },
    save,
    discard,
  );
  if (choice === undefined) {
    return false;
  }
  for (const { uri } of dirty) {
    await (choice === save ? saveEditor(uri) : discardEditor(uri));
  }
  return true;
}

function dirtyEditors(
  session: Session,
  paths: readonly RepoPath[],
): readonly { readonly uri: vscode.Uri; readonly path: RepoPath }[] {
  const root = session.path;
  if (root === null) {
    return [];
  }
  const documents: readonly { readonly uri: vscode.Uri; readonly isDirty: boolean }[] = [
    ...vscode.workspace.textDocuments,
    ...vscode.workspace.notebookDocuments,
  ];
  const dirty = new Map(
    documents.filter((document) => document.isDirty).map((document) => [document.uri.toString(), document.uri]),
  );
  return dirty.size === 0
    ? []
    : paths.flatMap((path) => {
        const uri = dirty.get(workTreeUri(root, path)?.toString() ?? '');
        return uri === undefined ? [] : [{ uri, path }];
      });
}

async function saveEditor(uri: vscode.Uri): Promise<void> {
  if ((await vscode.workspace.save(uri)) === undefined) {
    throw new BulkheadError(
      'io',
      'save-failed',
      vscode.l10n.t('{0} could not be saved. Nothing was restored.', uri.fsPath),
    );
  }
}

/** The editor offers no way to revert a document but through the active editor. */
async function discardEditor(uri: vscode.Uri): Promise<void> {
  const notebook = vscode.workspace.notebookDocuments.find((document) => document.uri.toString() === uri.toString());
  await (notebook === undefined
    ? vscode.window.showTextDocument(uri, { preview: false })
    : vscode.window.showNotebookDocument(notebook, { preview: false }));
  await vscode.commands.executeCommand('workbench.action.files.revert');
}

/** "Restored “Alpha” to 14:03:12." */
export function restoredText(session: Session, to: string): string {
  return vscode.l10n.t('Restored {0} to {1}:', sessionName(localizer, session), to);
}
