import assert from 'node:assert/strict';
import type { Trigger } from '../../../src/core/snapshotMessage';
import { type UndoStep, undoState } from '../../../src/core/undoStack';

/** `R1 restore`, `U1 undo R1`: id, trigger, and what it takes back. */
function history(...lines: string[]): UndoStep[] {
  let previous: string | null = null;
  return lines.map((line) => {
    const [oid = '', trigger = '', reverses = null] = line.split(' ');
    const step = { oid, previous, trigger: trigger as Trigger, reverses };
    previous = oid;
    return step;
  });
}

const table: readonly {
  readonly what: string;
  readonly lines: readonly string[];
  readonly undo: string | null;
  readonly redo: string | null;
}[] = [
  { what: 'nothing', lines: [], undo: null, redo: null },
  { what: 'only saves', lines: ['A start', 'B save', 'C turn-end', 'D before-restore'], undo: null, redo: null },
  { what: 'a restore', lines: ['A start', 'B before-restore', 'R1 restore'], undo: 'R1', redo: null },
  { what: 'a revert', lines: ['V1 revert'], undo: 'V1', redo: null },
  { what: 'an undo', lines: ['R1 restore', 'U1 undo R1'], undo: null, redo: 'U1' },
  { what: 'undo again is one further back', lines: ['R1 restore', 'R2 restore', 'U2 undo R2'], undo: 'R1', redo: 'U2' },
  { what: 'two undos', lines: ['R1 restore', 'R2 restore', 'U2 undo R2', 'U1 undo R1'], undo: null, redo: 'U1' },
  { what: 'a redo', lines: ['R1 restore', 'U1 undo R1', 'D1 redo U1'], undo: 'D1', redo: null },
  {
    what: 'redo takes back the newest undo first',
    lines: ['R1 restore', 'R2 restore', 'U2 undo R2', 'U1 undo R1', 'D1 redo U1'],
    undo: 'D1',
    redo: 'U2',
  },
  {
    what: 'everything redone',
    lines: ['R1 restore', 'R2 restore', 'U2 undo R2', 'U1 undo R1', 'D1 redo U1', 'D2 redo U2'],
    undo: 'D2',
    redo: null,
  },
  {
    what: 'the undo of a redo',
    lines: ['R1 restore', 'U1 undo R1', 'D1 redo U1', 'U3 undo D1'],
    undo: null,
    redo: 'U3',
  },
  {
    what: 'a restore after an undo clears redo',
    lines: ['R1 restore', 'U1 undo R1', 'R2 restore'],
    undo: 'R2',
    redo: null,
  },
  {
    what: 'and the restores before stay',
    lines: ['R1 restore', 'R2 restore', 'U2 undo R2', 'R3 restore', 'U3 undo R3'],
    undo: 'R1',
    redo: 'U3',
  },
  {
    what: 'saves in between change nothing',
    lines: ['R1 restore', 'S save', 'U1 undo R1', 'T save'],
    undo: null,
    redo: 'U1',
  },
  { what: 'what an undo took back was forgotten', lines: ['R2 restore', 'U1 undo R1'], undo: 'R2', redo: 'U1' },
  { what: 'an undo that names nothing', lines: ['R1 restore', 'R2 restore', 'U undo'], undo: 'R1', redo: 'U' },
];

describe('undoStack', () => {
  for (const { what, lines, undo, redo } of table) {
    it(what, () => {
      assert.deepEqual(undoState(history(...lines)), { undo, redo });
    });
  }
});
