import assert from 'node:assert/strict';
import { LONGEST_SAVE_MS } from '../../../src/core/saveNotice';
import { PendingSaves } from '../../../src/ui/pendingSaves';
import { ManualClock } from './manualClock';

function setUp() {
  const clock = new ManualClock();
  const told: string[] = [];
  const saves = new PendingSaves(clock);
  return { clock, told, saves, hold: (path: string) => saves.hold(path, () => told.push(path)) };
}

describe('PendingSaves', () => {
  it('holds back only what is told of a file that is being saved', () => {
    const { saves, hold } = setUp();
    saves.begin('a');
    assert.equal(hold('a'), true);
    assert.equal(hold('b'), false);
  });

  it('forgets what was held back when the save comes', () => {
    const { clock, told, saves, hold } = setUp();
    saves.begin('a');
    hold('a');
    saves.end('a');
    clock.advance(60_000);
    assert.deepEqual(told, []);
    assert.equal(hold('a'), false);
  });

  it('tells once what was held back when the save never comes', () => {
    const { clock, told, saves, hold } = setUp();
    saves.begin('a');
    hold('a');
    hold('a');
    clock.advance(LONGEST_SAVE_MS);
    assert.deepEqual(told, ['a']);
    assert.equal(hold('a'), false);
  });

  it('waits anew for a second save of the same file, and keeps what it holds', () => {
    const { clock, told, saves, hold } = setUp();
    saves.begin('a');
    hold('a');
    clock.advance(LONGEST_SAVE_MS - 1_000);
    saves.begin('a');
    clock.advance(LONGEST_SAVE_MS - 1_000);
    assert.deepEqual(told, []);
    clock.advance(1_000);
    assert.deepEqual(told, ['a']);
  });
});
