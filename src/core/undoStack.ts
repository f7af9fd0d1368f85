import type { Oid } from './objectId';
import type { SnapshotMeta } from './snapshotMessage';

/** What the stack needs to know of a snapshot. */
export interface UndoStep extends Pick<SnapshotMeta, 'trigger' | 'reverses'> {
  readonly oid: Oid;
  /** The snapshot before it. */
  readonly previous: Oid | null;
}

export interface UndoState {
  /** The restore, revert or redo that an undo takes back now. */
  readonly undo: Oid | null;
  /** The undo that a redo takes back now. */
  readonly redo: Oid | null;
}

/**
 * Reads both stacks from the history, oldest first: nothing else is stored, so the answer is the same in every window and survives
 * a crash. Saves in between change nothing: the safety snapshot keeps them.
 */
export function undoState(history: readonly UndoStep[]): UndoState {
  const done: Oid[] = [];
  const undone: Oid[] = [];
  for (const step of history) {
    switch (step.trigger) {
      case 'restore':
      case 'revert':
        done.push(step.oid);
        // Going somewhere new leaves the way forward behind.
        undone.length = 0;
        break;
      case 'undo':
        takeBack(done, step.reverses);
        undone.push(step.oid);
        break;
      case 'redo':
        takeBack(undone, step.reverses);
        done.push(step.oid);
        break;
      case 'start':
      case 'save':
      case 'external':
      case 'turn-start':
      case 'turn-end':
      case 'subagent-end':
      case 'manual':
      case 'reconcile':
      case 'before-restore':
      case 'before-apply':
      case 'apply':
      case 'update':
      case 'final':
        break;
    }
  }
  return { undo: done.at(-1) ?? null, redo: undone.at(-1) ?? null };
}

/** The step that is named, else the newest one. A named step that is no longer in the history (retention) leaves the others alone. */
function takeBack(stack: Oid[], oid: Oid | null): void {
  if (oid === null) {
    stack.pop();
    return;
  }
  const at = stack.lastIndexOf(oid);
  if (at !== -1) {
    stack.splice(at, 1);
  }
}
