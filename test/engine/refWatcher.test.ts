import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type RefChanges, RefWatcher } from '../../src/session/refWatcher';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { openInnerStore } from './innerStore';
import { EngineWorld, fsck } from './world';

describe('refWatcher', () => {
  useOwnHome();
  const ends: (() => Promise<void> | void)[] = [];

  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) {
      await end();
    }
  });

  it('goes on telling what others do after git removed the folders of the refs and made them again', async function () {
    this.timeout(60_000);
    const world = new EngineWorld();
    ends.push(() => world.close());
    const { id } = await (await world.open()).createSession({ from: { kind: 'head' } });
    const record = `refs/bulkhead/records/${id}`;
    const shadow = `refs/bulkhead/sessions/${id}`;
    const oids = new Map([record, shadow].map((ref) => [ref, gitLine(['rev-parse', ref], world.store)]));
    const { host, store } = await openInnerStore(world);
    ends.push(() => store.stop());
    let tell: (changes: RefChanges) => void = () => undefined;
    const watcher = new RefWatcher(host, store, (changes) => {
      tell(changes);
    });
    ends.push(() => {
      watcher.dispose();
    });
    const seen = async (isSeen: (changes: RefChanges) => boolean, act: () => void): Promise<void> => {
      const done = new Promise<void>((resolve) => {
        tell = (changes) => {
          if (isSeen(changes)) {
            resolve();
          }
        };
      });
      act();
      await done;
    };
    const remove = (ref: string) => (): void => {
      git(['update-ref', '-d', ref], world.store);
    };
    const put = (ref: string) => (): void => {
      git(['update-ref', ref, oids.get(ref) ?? ''], world.store);
    };
    // Only the folder itself tells of this one: the one above tells when the folder comes and goes.
    const change = (ref: string) => (): void => {
      git(['update-ref', ref, gitLine(['rev-parse', `refs/bulkhead/bases/${id}`], world.store)], world.store);
    };
    const records = (changes: RefChanges): boolean => changes.records;
    const snapshots = (changes: RefChanges): boolean => changes.snapshots.has(id);
    await watcher.start();
    for (let round = 0; round < 3; round++) {
      await seen(records, remove(record));
      await seen(records, put(record));
      await seen(records, change(record));
      await seen(snapshots, remove(shadow));
      await seen(snapshots, put(shadow));
      await seen(snapshots, change(shadow));
    }
    // Without a moment for the watcher in between.
    await seen(records, () => {
      remove(record)();
      rmSync(join(world.store, 'refs', 'bulkhead', 'records'), { recursive: true, force: true });
      put(record)();
      remove(record)();
    });
    await seen(records, put(record));
    await seen(records, change(record));
    assert.ok(existsSync(join(world.store, record)));
    fsck(world.store);
  });
});
