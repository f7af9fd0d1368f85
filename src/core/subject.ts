import { type RepoPath, baseName, parentPath, uncheckedRepoPath, visiblePath } from './repoPath';
import type { Trigger } from './snapshotMessage';
import { cutCodePoints, showUnseen, toOneLine } from './visibleText';

export interface SubjectChange {
  readonly path: RepoPath;
  readonly status: 'added' | 'modified' | 'deleted' | 'renamed' | 'type-changed';
  /** The name before, of a renamed file. */
  readonly oldPath?: RepoPath;
}

export interface SubjectOptions {
  /** What a restore, undo, redo or revert is about: a time or another snapshot's subject. */
  readonly target?: string;
}

const PATH_LIMIT = 80;
const TARGET_LIMIT = 100;

/** One short line for people: what happened, with visible characters only. */
export function subjectFor(trigger: Trigger, changes: readonly SubjectChange[], options: SubjectOptions = {}): string {
  const target =
    options.target === undefined ? '' : cutCodePoints(showUnseen(toOneLine(options.target)), TARGET_LIMIT).trim();
  switch (trigger) {
    case 'start':
      return 'Start of session';
    case 'final':
      return 'Final state';
    case 'before-restore':
      return 'Before restore';
    case 'before-apply':
      return 'Before apply';
    case 'restore':
      return target === '' ? 'Restore' : `Restore to ${target}`;
    case 'undo':
      return target === '' ? 'Undo restore' : `Undo: ${target}`;
    case 'redo':
      return target === '' ? 'Redo restore' : `Redo: ${target}`;
    case 'revert':
      return target === '' ? 'Revert' : `Revert: ${target}`;
    case 'apply':
      return 'Apply to the checkout';
    case 'update':
      return 'Update from the base';
    case 'turn-start':
      return describeChanges(changes) ?? 'Start of turn';
    case 'turn-end':
      return describeChanges(changes) ?? 'End of turn';
    case 'subagent-end':
      return describeChanges(changes) ?? 'End of subagent';
    case 'save':
    case 'external':
    case 'manual':
    case 'reconcile':
      return describeChanges(changes) ?? 'No files changed';
  }
}

function describeChanges(changes: readonly SubjectChange[]): string | undefined {
  const [first] = changes;
  if (first === undefined) {
    return undefined;
  }
  if (changes.length === 1) {
    return describeOne(first);
  }
  const count = `${String(changes.length)} files`;
  const folder = commonFolder(changes.map((change) => change.path));
  if (folder === '') {
    return `${count} changed (${shortPath(first.path)}, …)`;
  }
  const verb = changes.every((change) => change.status === first.status) ? VERBS[first.status] : 'Change';
  return `${verb} ${count} in ${shortPath(folder)}`;
}

const VERBS: Readonly<Record<SubjectChange['status'], string>> = {
  added: 'Add',
  modified: 'Edit',
  deleted: 'Delete',
  renamed: 'Rename',
  'type-changed': 'Change the type of',
};

function describeOne(change: SubjectChange): string {
  const path = shortPath(change.path);
  return change.status === 'renamed' && change.oldPath !== undefined
    ? `Rename ${shortPath(change.oldPath)} → ${path}`
    : `${VERBS[change.status]} ${path}`;
}

/** The folder that holds all of them, at any depth; `''` for the root. */
function commonFolder(paths: readonly RepoPath[]): RepoPath | '' {
  const [first, ...others] = paths.map((path) => parentPath(path).split('/'));
  if (first === undefined) {
    return '';
  }
  const shared = others.reduce((length, parts) => {
    const end = parts.slice(0, length).findIndex((part, i) => part !== first[i]);
    return end === -1 ? Math.min(length, parts.length) : end;
  }, first.length);
  const folder = first.slice(0, shared).join('/');
  return folder === '' ? '' : uncheckedRepoPath(folder);
}

/** Long paths keep their end: the name says more than the folders. */
function shortPath(path: RepoPath): string {
  const whole = visiblePath(path);
  if (whole.length <= PATH_LIMIT) {
    return whole;
  }
  const name = visiblePath(uncheckedRepoPath(baseName(path)));
  return `…/${name.length <= PATH_LIMIT ? name : `${cutCodePoints(name, PATH_LIMIT)}…`}`;
}
