import * as vscode from 'vscode';
import { visiblePath } from '../core/repoPath';
import { WORKSPACE, type SessionState } from '../session/api';
import { rowUri } from './fileDecorations';
import {
  agentsText,
  fileDescription,
  fileSpoken,
  groupLabel,
  pathParts,
  sessionDescription,
  sessionName,
  sessionSpoken,
  sessionTooltip,
  snapshotDescription,
  snapshotLabel,
  snapshotSpoken,
  snapshotTooltip,
  statusText,
  type TextContext,
} from './labels';
import { shown, shownInLine } from './safeText';
import { textContext } from './textContext';
import type { FileNode, GroupNode, MoreNode, ReasonNode, SessionNode, SnapshotNode, TreeNode } from './treeNodes';

const { None, Collapsed, Expanded } = vscode.TreeItemCollapsibleState;

/** The row of a node. Tooltips are plain strings: names and subjects come from agents. */
export function treeItemOf(node: TreeNode): vscode.TreeItem {
  const context = textContext();
  switch (node.kind) {
    case 'repository': {
      const item = row(node, shownInLine(node.repository.name), Expanded);
      item.iconPath = new vscode.ThemeIcon('repo');
      item.tooltip = shownInLine(node.repository.root);
      item.accessibilityInformation = { label: vscode.l10n.t('Repository {0}', shownInLine(node.repository.name)) };
      return item;
    }
    case 'session':
      return sessionItem(context, node);
    case 'group':
      return groupItem(context, node);
    case 'snapshot':
      return snapshotItem(context, node);
    case 'file':
      return fileItem(context, node);
    case 'more':
      return moreItem(node);
    case 'invite': {
      const item = row(node, vscode.l10n.t('Start a session…'), None);
      item.iconPath = new vscode.ThemeIcon('add');
      item.tooltip = vscode.l10n.t('A session is a clone of this repository for one line of agent work.');
      item.command = { command: 'bulkhead.newSession', title: vscode.l10n.t('New Session'), arguments: [node] };
      item.accessibilityInformation = { label: vscode.l10n.t('Start a new session') };
      return item;
    }
    case 'reason':
      return reasonItem(node);
  }
}

function row(node: TreeNode, label: string, state: vscode.TreeItemCollapsibleState): vscode.TreeItem {
  const item = new vscode.TreeItem(label, state);
  item.id = node.id;
  item.contextValue = node.kind;
  return item;
}

function sessionItem(context: TextContext, node: SessionNode): vscode.TreeItem {
  const { session } = node;
  const explained = session.reason !== null || session.damage !== null || node.waiting !== null;
  const item = row(node, sessionName(context.l10n, session), session.snapshots > 0 || explained ? Collapsed : None);
  item.description = sessionDescription(context, node);
  item.tooltip = sessionTooltip(context, node);
  item.iconPath = sessionIcon(node);
  item.contextValue = sessionContextValue(node);
  item.accessibilityInformation = { label: sessionSpoken(context, node) };
  return item;
}

/** `workspace` or `session`, then words that menus test for with `viewItem =~ /\bword\b/`. */
function sessionContextValue(node: SessionNode): string {
  const { session } = node;
  return [
    session.id === WORKSPACE ? 'workspace' : 'session',
    session.state,
    ...(session.path !== null && session.state === 'ready' ? ['writable'] : []),
    ...(node.own ? ['here'] : []),
  ].join(' ');
}

function sessionIcon(node: SessionNode): vscode.ThemeIcon {
  if (node.session.state === 'ready') {
    const color = node.own && node.session.id !== WORKSPACE ? new vscode.ThemeColor('charts.green') : undefined;
    if (node.session.damage !== null) {
      return new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground'));
    }
    if (node.waiting !== null) {
      return new vscode.ThemeIcon('lock', new vscode.ThemeColor('list.warningForeground'));
    }
    return node.session.id === WORKSPACE
      ? new vscode.ThemeIcon('root-folder')
      : new vscode.ThemeIcon('repo-clone', color);
  }
  const icons: Readonly<Record<Exclude<SessionState, 'ready'>, readonly [icon: string, color?: string]>> = {
    creating: ['loading~spin'],
    missing: ['warning', 'list.warningForeground'],
    damaged: ['error', 'list.errorForeground'],
    newer: ['versions', 'list.warningForeground'],
    orphaned: ['question', 'list.warningForeground'],
    trashed: ['trash'],
  };
  const [icon, color] = icons[node.session.state];
  return new vscode.ThemeIcon(icon, color === undefined ? undefined : new vscode.ThemeColor(color));
}

function groupItem(context: TextContext, node: GroupNode): vscode.TreeItem {
  const label = groupLabel(context, { from: node.from, count: node.snapshots.length });
  const agents = agentsText(node.snapshots.map(({ snapshot }) => snapshot));
  const item = row(node, label, node.unfolded ? Expanded : Collapsed);
  item.description = agents;
  item.tooltip = agents === '' ? label : `${label}\n${agents}`;
  item.accessibilityInformation = { label: agents === '' ? label : vscode.l10n.t('{0} by {1}', label, agents) };
  return item;
}

function snapshotItem(context: TextContext, node: SnapshotNode): vscode.TreeItem {
  const { snapshot } = node;
  const item = row(node, snapshotLabel(snapshot), snapshot.files > 0 ? Collapsed : None);
  item.description = snapshotDescription(context, snapshot);
  item.tooltip = snapshotTooltip(context, snapshot);
  item.iconPath = snapshotIcon(snapshot);
  item.contextValue = node.parent.session.path === null ? 'snapshot' : 'snapshot writable';
  item.accessibilityInformation = { label: snapshotSpoken(context, snapshot) };
  if (snapshot.files > 0) {
    item.command = {
      command: 'bulkhead.showSnapshotChanges',
      title: vscode.l10n.t('Show Changes of Snapshot'),
      arguments: [node],
    };
  }
  return item;
}

function snapshotIcon({ damage, trigger }: SnapshotNode['snapshot']): vscode.ThemeIcon {
  return damage === null
    ? new vscode.ThemeIcon(triggerIcon(trigger))
    : new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground'));
}

function triggerIcon(trigger: SnapshotNode['snapshot']['trigger']): string {
  switch (trigger) {
    case 'start':
      return 'play-circle';
    case 'manual':
      return 'bookmark';
    case 'before-restore':
    case 'before-apply':
      return 'shield';
    case 'restore':
    case 'undo':
    case 'redo':
    case 'revert':
      return 'history';
    case 'final':
      return 'archive';
    default:
      return 'git-commit';
  }
}

function fileItem(context: TextContext, node: FileNode): vscode.TreeItem {
  const visible = visiblePath(node.file.path);
  const item = row(node, pathParts(visible).name, None);
  item.resourceUri = rowUri(node.file);
  item.description = fileDescription(context.l10n, node.file);
  item.tooltip = `${visible}\n${statusText(context.l10n, node.file.status)}`;
  item.iconPath = vscode.ThemeIcon.File;
  item.contextValue = [
    'file',
    ...(node.file.newOid === null ? [] : ['readable']),
    ...(node.parent.parent.session.path === null ? [] : ['writable']),
  ].join(' ');
  item.command = { command: 'bulkhead.openFileChanges', title: vscode.l10n.t('Open File Changes'), arguments: [node] };
  item.accessibilityInformation = { label: fileSpoken(context.l10n, node.file) };
  return item;
}

function moreItem(node: MoreNode): vscode.TreeItem {
  const item = row(node, vscode.l10n.t('Show more…'), None);
  item.iconPath = new vscode.ThemeIcon('ellipsis');
  item.command = { command: 'bulkhead.showMore', title: vscode.l10n.t('Show More'), arguments: [node] };
  item.accessibilityInformation = {
    label: node.parent.kind === 'session' ? vscode.l10n.t('Show more snapshots') : vscode.l10n.t('Show more files'),
  };
  return item;
}

function reasonItem(node: ReasonNode): vscode.TreeItem {
  const text = shown(node.text);
  const item = row(node, text, None);
  item.tooltip = text;
  item.iconPath = new vscode.ThemeIcon(
    node.severity,
    new vscode.ThemeColor(node.severity === 'warning' ? 'list.warningForeground' : 'disabledForeground'),
  );
  item.accessibilityInformation = { label: text };
  return item;
}
