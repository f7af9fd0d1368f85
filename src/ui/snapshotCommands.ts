import * as vscode from 'vscode';
import { sideBefore } from './snapshotDiff';
import type { CommandHandlers } from './commandIds';
import { showChanges, showFileDiff, type NamedSide } from './comparison';
import { sessionName, subjectText } from './labels';
import { pickSnapshot } from './prompts';
import { RestoreFlow, restoredText, type RestoreWork } from './restoreFlow';
import { shortened } from './safeText';
import { snapshotUri } from './snapshotContent';
import type { FileTarget, SessionTarget, SnapshotTarget, Targets } from './targets';
import { localizer, textContext } from './textContext';
import { clockText } from './timeText';
import type { Snapshot } from '../session/api';
import type { TreeNode } from './treeNodes';

const TITLE_LENGTH = 60;

type SnapshotCommand =
  | 'bulkhead.showSnapshotChanges'
  | 'bulkhead.compareWithBase'
  | 'bulkhead.compareWithWorkTree'
  | 'bulkhead.compareWithSnapshot'
  | 'bulkhead.openFileAtSnapshot'
  | 'bulkhead.openFileChanges'
  | 'bulkhead.restoreSnapshot'
  | 'bulkhead.restoreFile'
  | 'bulkhead.undoRestore'
  | 'bulkhead.redoRestore'
  | 'bulkhead.copySnapshotId';

export function snapshotCommands(targets: Targets): Pick<CommandHandlers, SnapshotCommand> {
  const onSnapshot =
    (title: string, run: (target: SnapshotTarget) => Promise<void>, writable = false) =>
    async (node: TreeNode | undefined) => {
      const target = await targets.snapshotOf(node, { title, writable });
      if (target !== undefined) {
        await run(target);
      }
    };
  const onFile =
    (
      title: string,
      options: { readonly readable?: boolean; readonly writable?: boolean },
      run: (target: FileTarget) => Promise<void>,
    ) =>
    async (node: TreeNode | undefined) => {
      const target = await targets.fileOf(node, { title, ...options });
      if (target !== undefined) {
        await run(target);
      }
    };
  const flow = new RestoreFlow();
  const cannotCompare = vscode.l10n.t('Cannot compare.');
  const cannotRestore = vscode.l10n.t('Cannot restore.');
  return {
    'bulkhead.showSnapshotChanges': {
      failure: vscode.l10n.t('Cannot show the changes.'),
      run: onSnapshot(vscode.l10n.t('Show Changes of Snapshot'), showSnapshotChanges),
    },
    'bulkhead.compareWithBase': { failure: cannotCompare, run: (node) => compareWithBase(targets, node) },
    'bulkhead.compareWithWorkTree': {
      failure: cannotCompare,
      run: onSnapshot(vscode.l10n.t('Compare with Work Tree'), compareWithWorkTree, true),
    },
    'bulkhead.compareWithSnapshot': {
      failure: cannotCompare,
      run: onSnapshot(vscode.l10n.t('Compare with Another Snapshot'), compareWithSnapshot),
    },
    'bulkhead.openFileAtSnapshot': {
      failure: vscode.l10n.t('Cannot open the file.'),
      run: onFile(vscode.l10n.t('Open File at Snapshot'), { readable: true }, openFileAtSnapshot),
    },
    'bulkhead.openFileChanges': {
      failure: vscode.l10n.t('Cannot show the changes of the file.'),
      run: onFile(vscode.l10n.t('Open File Changes'), {}, openFileChanges),
    },
    'bulkhead.restoreSnapshot': {
      failure: cannotRestore,
      run: onSnapshot(vscode.l10n.t('Restore Snapshot'), (target) => restore(flow, target, null), true),
    },
    'bulkhead.restoreFile': {
      failure: cannotRestore,
      run: onFile(vscode.l10n.t('Restore File'), { writable: true }, (target) => restore(flow, target, target)),
    },
    'bulkhead.undoRestore': {
      failure: vscode.l10n.t('Cannot undo the restore.'),
      run: (node) => takeBack(flow, targets, node, { redo: false }),
    },
    'bulkhead.redoRestore': {
      failure: vscode.l10n.t('Cannot redo the restore.'),
      run: (node) => takeBack(flow, targets, node, { redo: true }),
    },
    'bulkhead.copySnapshotId': {
      failure: vscode.l10n.t('Cannot copy the id.'),
      run: onSnapshot(vscode.l10n.t('Copy Snapshot Id'), async ({ snapshot }) => {
        await vscode.env.clipboard.writeText(snapshot.oid);
      }),
    },
  };
}

function timeName(snapshot: Snapshot): string {
  const { time, now } = textContext();
  return clockText(time, snapshot.time, now, { seconds: true });
}

function asSide(snapshot: Snapshot): NamedSide {
  return { side: { kind: 'snapshot', oid: snapshot.oid }, name: timeName(snapshot) };
}

/** The snapshot against what was before it. */
function ownChanges({ repository, bulkhead, snapshot }: SnapshotTarget): Parameters<typeof showChanges>[0] {
  return {
    repository,
    bulkhead,
    left: {
      side: sideBefore(snapshot),
      name: snapshot.previous === null ? vscode.l10n.t('base') : vscode.l10n.t('before'),
    },
    right: asSide(snapshot),
  };
}

async function showSnapshotChanges(target: SnapshotTarget): Promise<void> {
  const { session, snapshot } = target;
  await showChanges(
    ownChanges(target),
    `${sessionName(localizer, session)} ${timeName(snapshot)} · ${shortened(subjectText(snapshot), TITLE_LENGTH)}`,
  );
}

/** A session's row compares its newest state, a snapshot's row that snapshot. */
async function compareWithBase(targets: Targets, node: TreeNode | undefined): Promise<void> {
  const title = vscode.l10n.t('Compare with Base');
  const onSnapshot = node?.kind === 'snapshot' || node?.kind === 'file';
  const snapshot = onSnapshot ? (await targets.snapshotOf(node, { title }))?.snapshot : undefined;
  const target = await targets.sessionOf(node, { title });
  if (target === undefined) {
    return;
  }
  const { repository, bulkhead, session } = target;
  const right: NamedSide =
    snapshot === undefined
      ? { side: { kind: 'newest', session: session.id }, name: vscode.l10n.t('newest snapshot') }
      : asSide(snapshot);
  const left: NamedSide = { side: { kind: 'base', session: session.id }, name: vscode.l10n.t('base') };
  await showChanges({ repository, bulkhead, left, right }, comparisonTitle(target, left, right));
}

function comparisonTitle({ session }: SessionTarget, left: NamedSide, right: NamedSide): string {
  return `${sessionName(localizer, session)}: ${left.name} ↔ ${right.name}`;
}

async function compareWithWorkTree(target: SnapshotTarget): Promise<void> {
  const { repository, bulkhead, session, snapshot } = target;
  const left = asSide(snapshot);
  const right: NamedSide = { side: { kind: 'worktree', session: session.id }, name: vscode.l10n.t('work tree') };
  await showChanges(
    { repository, bulkhead, left, right, ...(session.path === null ? {} : { liveRoot: session.path }) },
    comparisonTitle(target, left, right),
  );
}

/** Any two snapshots, also of two sessions; the older one is on the left. */
async function compareWithSnapshot(target: SnapshotTarget): Promise<void> {
  const { repository, bulkhead, snapshot } = target;
  const other = await pickSnapshot(bulkhead, vscode.l10n.t('Compare with Another Snapshot'), { except: snapshot.oid });
  if (other === undefined) {
    return;
  }
  const [older, newer] = other.time <= snapshot.time ? [other, snapshot] : [snapshot, other];
  const nameOf = async (one: Snapshot): Promise<NamedSide> => {
    const side = asSide(one);
    return older.session === newer.session
      ? side
      : { ...side, name: `${sessionName(localizer, await bulkhead.session(one.session))} ${side.name}` };
  };
  const [left, right] = await Promise.all([nameOf(older), nameOf(newer)]);
  const title = older.session === newer.session ? comparisonTitle(target, left, right) : `${left.name} ↔ ${right.name}`;
  await showChanges({ repository, bulkhead, left, right }, title);
}

async function openFileAtSnapshot({ repository, diff, file }: FileTarget): Promise<void> {
  await vscode.commands.executeCommand('vscode.open', snapshotUri(repository.key, diff.to, file.path), {
    preview: true,
  } satisfies vscode.TextDocumentShowOptions);
}

async function openFileChanges(target: FileTarget): Promise<void> {
  await showFileDiff(ownChanges(target), target.diff, target.file);
}

function undoButton(): RestoreWork['reverse'] {
  return { command: 'bulkhead.undoRestore', label: vscode.l10n.t('Undo') };
}

async function restore(flow: RestoreFlow, target: SnapshotTarget, file: FileTarget | null): Promise<void> {
  const { repository, bulkhead, session, snapshot } = target;
  const paths =
    file === null ? {} : { paths: file.file.oldPath === null ? [file.file.path] : [file.file.path, file.file.oldPath] };
  const request = { session: session.id, target: snapshot.oid, agent: 'user', ...paths };
  const what = `${shortened(subjectText(snapshot), TITLE_LENGTH)} (${timeName(snapshot)})`;
  await flow.run({
    target,
    title: vscode.l10n.t('Restore {0}: {1}', sessionName(localizer, session), what),
    doing: vscode.l10n.t('Restoring'),
    done: restoredText(session, what),
    quiet: false,
    reverse: undoButton(),
    plan: () => bulkhead.planRestore({ ...request, consent: 'all' }),
    run: (consent, signal) => bulkhead.restore({ ...request, consent, signal }),
    preview: {
      repository,
      bulkhead,
      left: { side: { kind: 'worktree', session: session.id }, name: vscode.l10n.t('now') },
      right: { side: { kind: 'snapshot', oid: snapshot.oid }, name: vscode.l10n.t('after the restore') },
    },
  });
}

async function takeBack(
  flow: RestoreFlow,
  targets: Targets,
  node: TreeNode | undefined,
  options: { readonly redo: boolean },
): Promise<void> {
  const title = options.redo ? vscode.l10n.t('Redo Restore') : vscode.l10n.t('Undo Restore');
  const target = await targets.sessionOf(node, { title, writable: true });
  if (target !== undefined) {
    await undo(flow, target, options);
  }
}

/** Asks nothing while the work tree is as the restore left it; else the plan is shown like that of a restore. */
async function undo(flow: RestoreFlow, target: SessionTarget, { redo }: { readonly redo: boolean }): Promise<void> {
  const { bulkhead, session } = target;
  const request = { session: session.id, redo, agent: 'user' };
  const name = sessionName(localizer, session);
  await flow.run({
    target,
    title: redo ? vscode.l10n.t('Redo Restore of {0}', name) : vscode.l10n.t('Undo Restore of {0}', name),
    doing: redo ? vscode.l10n.t('Redoing the restore') : vscode.l10n.t('Undoing the restore'),
    done: redo ? vscode.l10n.t('Restore of {0} done again:', name) : vscode.l10n.t('Restore of {0} undone:', name),
    quiet: true,
    reverse: redo ? undoButton() : { command: 'bulkhead.redoRestore', label: vscode.l10n.t('Redo') },
    plan: async () => (await bulkhead.undo({ ...request, consent: 'all', dryRun: true })).plan,
    run: (consent) => bulkhead.undo({ ...request, consent }),
    preview: null,
  });
}
