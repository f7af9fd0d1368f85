import assert from 'node:assert/strict';
import { type Groupable, groupByPause } from '../../../src/core/snapshotGroups';

/** `90`, `80:t1`: seconds and turn. */
function groups(text: string, pauseMs?: number): string[] {
  const items: Groupable[] = text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => {
      const [time, turn] = word.split(':');
      return turn === undefined ? { time: Number(time) * 1000 } : { time: Number(time) * 1000, turn };
    });
  return groupByPause(items, pauseMs).map(
    (group) => `${group.items.length} ${group.from / 1000}-${group.to / 1000} ${group.turn ?? '-'}`,
  );
}

describe('snapshotGroups', () => {
  it('parts at pauses', () => {
    assert.deepEqual(groups(''), []);
    assert.deepEqual(groups('100'), ['1 100-100 -']);
    assert.deepEqual(groups('300 240 180 119 60'), ['3 180-300 -', '2 60-119 -']);
    assert.deepEqual(groups('30 20 10', 5000), ['1 30-30 -', '1 20-20 -', '1 10-10 -']);
  });

  it('keeps a turn together over pauses', () => {
    assert.deepEqual(groups('900:a 500:a 100:a'), ['3 100-900 a']);
  });

  it('keeps a turn apart from its neighbours', () => {
    assert.deepEqual(groups('100 95:a 90:a 85'), ['1 100-100 -', '2 90-95 a', '1 85-85 -']);
    assert.deepEqual(groups('100:b 95:b 90:a'), ['2 95-100 b', '1 90-90 a']);
  });

  it('takes the saves inside a turn along', () => {
    assert.deepEqual(groups('900:a 800 400 100:a 90'), ['4 100-900 a', '1 90-90 -']);
  });

  it('starts again where two turns interlock', () => {
    assert.deepEqual(groups('50:a 40:b 30:a'), ['1 50-50 a', '1 40-40 b', '1 30-30 a']);
  });

  it('takes null for no turn, and a clock that was set back for a pause', () => {
    const made = groupByPause([{ time: 5000, turn: null }, { time: 4000 }, { time: 900_000, turn: null }]);
    assert.deepEqual(
      made.map((group) => group.items.length),
      [2, 1],
    );
  });
});
