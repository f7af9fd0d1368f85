import type { TreeChange } from '../core/treeDiff';
import type { ChangeStatus, PathChange } from './api';

/** A difference between two trees as it is told to people and programs. */
export function pathChange(change: TreeChange): PathChange {
  return { path: change.path, status: statusOf(change) };
}

function statusOf(change: TreeChange): ChangeStatus {
  if (change.oldMode === null) {
    return 'added';
  }
  if (change.newMode === null) {
    return 'deleted';
  }
  const kind = (mode: string): string => mode.slice(0, 3);
  return kind(change.oldMode) === kind(change.newMode) ? 'modified' : 'type-changed';
}
