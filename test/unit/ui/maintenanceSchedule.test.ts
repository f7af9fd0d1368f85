import assert from 'node:assert/strict';
import { BulkheadError } from '../../../src/base/errors';
import { Emitter } from '../../../src/base/event';
import { silentLog } from '../../../src/base/log';
import type { MaintenanceResult } from '../../../src/session/api';
import { MaintenanceSchedule, type TidiedStore } from '../../../src/ui/maintenanceSchedule';
import { ManualClock } from './manualClock';

const MINUTE = 60_000;
const SIZE = { loose: 0, looseBytes: 0, packs: 0, packed: 0, packBytes: 0 };
const RESULT: MaintenanceResult = {
  time: 0,
  before: SIZE,
  after: SIZE,
  full: false,
  pruned: 0,
  swept: { files: 0, bytes: 0 },
  closedRefs: 0,
  skipped: [],
};

class FakeStore implements TidiedStore {
  readonly snapshots = new Emitter<string>(() => undefined);
  runs = 0;
  isDue = true;
  failure: Error | undefined;

  get onDidChangeSnapshots(): TidiedStore['onDidChangeSnapshots'] {
    return this.snapshots.event;
  }

  maintenanceIsDue(): Promise<boolean> {
    return Promise.resolve(this.isDue);
  }

  maintain(): Promise<MaintenanceResult> {
    this.runs++;
    return this.failure === undefined ? Promise.resolve(RESULT) : Promise.reject(this.failure);
  }
}

describe('the schedule of maintenance', () => {
  let clock: ManualClock;
  let store: FakeStore;
  let isTrusted: boolean;
  let schedule: MaintenanceSchedule;
  const pass = async (minutes: number): Promise<void> => {
    for (let minute = 0; minute < minutes; minute++) {
      clock.advance(MINUTE);
      await schedule.settled();
      await Promise.resolve();
    }
  };

  beforeEach(() => {
    clock = new ManualClock();
    store = new FakeStore();
    isTrusted = true;
    schedule = new MaintenanceSchedule({ clock, log: silentLog, mayWrite: () => isTrusted });
    schedule.follow([store]);
  });

  afterEach(() => {
    schedule.dispose();
  });

  it('tidies up what is due while nobody makes snapshots', async () => {
    await pass(10);
    assert.equal(store.runs, 1);
    store.isDue = false;
    await pass(30);
    assert.equal(store.runs, 1);
  });

  it('waits while snapshots are made in this window', async () => {
    for (let round = 0; round < 10; round++) {
      await pass(4);
      store.snapshots.fire('a session');
    }
    assert.equal(store.runs, 0);
    await pass(10);
    assert.equal(store.runs, 1);
  });

  it('does nothing in a workspace that is not trusted', async () => {
    isTrusted = false;
    await pass(30);
    assert.equal(store.runs, 0);
  });

  it('goes on after a run that failed, and with the stores beside it', async () => {
    const other = new FakeStore();
    store.failure = new BulkheadError('busy', 'claimed', 'Held by another window.');
    schedule.follow([store, other]);
    await pass(20);
    assert.deepEqual([store.runs, other.runs], [2, 2]);
  });

  it('does nothing once it is disposed', async () => {
    schedule.dispose();
    await pass(30);
    assert.equal(store.runs, 0);
  });
});
