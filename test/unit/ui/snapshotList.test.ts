import assert from 'node:assert/strict';
import type { Snapshot } from '../../../src/session/api';
import { PAGE_SIZE, SnapshotList } from '../../../src/ui/snapshotList';
import { snapshot } from './fixtures';

const MINUTE = 60_000;

/** Numbered from old to new; given newest first, as the engine does. */
function history(...minutes: number[]): readonly Snapshot[] {
  return minutes.map((minute, index) => snapshot(index + 1, { time: minute * MINUTE })).reverse();
}

function shown(list: SnapshotList): readonly (string | readonly string[])[] {
  const number = (one: Snapshot) => String(Number.parseInt(one.oid, 16));
  return list
    .entries()
    .map((entry) => (entry.kind === 'snapshot' ? number(entry.snapshot) : entry.snapshots.map(number)));
}

function groupIds(list: SnapshotList): readonly number[] {
  return list.entries().flatMap((entry) => (entry.kind === 'group' ? [Number.parseInt(entry.id, 16)] : []));
}

describe('SnapshotList', () => {
  it('shows no groups while there is only one', () => {
    const list = new SnapshotList();
    list.takeNewest(history(1, 1, 1));
    assert.deepEqual(shown(list), ['3', '2', '1']);
  });

  it('groups between pauses, and leaves a lone snapshot alone', () => {
    const list = new SnapshotList();
    list.takeNewest(history(1, 1, 10, 20, 20));
    assert.deepEqual(shown(list), [['5', '4'], '3', ['2', '1']]);
  });

  it('keeps the id of a group that grows', () => {
    const list = new SnapshotList();
    const all = history(1, 1, 10, 10, 10);
    list.takeNewest(all.slice(1));
    const before = groupIds(list);
    list.takeNewest(all);
    assert.deepEqual(shown(list), [
      ['5', '4', '3'],
      ['2', '1'],
    ]);
    assert.deepEqual(groupIds(list), before);
  });

  it('keeps the id of a group that an older page continues', () => {
    const list = new SnapshotList();
    const all = history(...Array.from({ length: PAGE_SIZE + 2 }, () => 1), 20, 20);
    list.takeNewest(all.slice(0, PAGE_SIZE));
    assert.equal(list.more, true);
    const before = groupIds(list);
    list.takeOlder(all.slice(PAGE_SIZE));
    assert.equal(list.more, false);
    assert.deepEqual(groupIds(list), before);
    assert.equal(list.snapshots.length, all.length);
  });

  it('keeps older pages when new snapshots come', () => {
    const list = new SnapshotList();
    const all = history(...Array.from({ length: PAGE_SIZE * 2 }, (_, index) => index));
    list.takeNewest(all.slice(1, PAGE_SIZE + 1));
    list.takeOlder(all.slice(PAGE_SIZE + 1));
    list.takeNewest(all.slice(0, PAGE_SIZE));
    assert.equal(list.snapshots.length, all.length);
    assert.deepEqual(list.snapshots, all);
  });

  it('starts over when the newest page does not reach what is known', () => {
    const list = new SnapshotList();
    list.takeNewest(history(1, 2, 3));
    const page = Array.from({ length: PAGE_SIZE }, (_, index) => snapshot(1_000 - index));
    list.takeNewest(page);
    assert.deepEqual(list.snapshots, page);
    assert.equal(list.more, true);
  });

  it('does not promise more below the first snapshot', () => {
    const list = new SnapshotList();
    list.takeNewest(history(...Array.from({ length: PAGE_SIZE }, () => 1)));
    assert.equal(list.more, false);
  });
});
