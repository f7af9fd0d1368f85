import assert from 'node:assert/strict';
import { systemClock } from '../../src/base/clock';
import { silentLog } from '../../src/base/log';
import { createHost } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';
import { cloneOf, EngineWorld, pathOf, write } from './world';

describe('the list of all snapshots', () => {
  it('goes by id within one second, and no page repeats or misses a row', async () => {
    const world = new EngineWorld();
    const host = await createHost({
      log: silentLog,
      product: 'test',
      environment: world.environment,
      clock: { ...systemClock, now: () => 1_790_000_000_000 },
    });
    const bulkhead = await openBulkhead(host, { repository: world.repo.dir, storage: world.storage, create: true });
    try {
      for (const name of ['One', 'Two', 'Three']) {
        const session = await bulkhead.createSession({ name, from: { kind: 'head' } });
        for (const content of ['a', 'b', 'c', 'd']) {
          write(cloneOf(session), 'a.txt', `${name} ${content}\n`);
          const paths = [pathOf('a.txt')];
          await bulkhead.checkpoint({ session: session.id, trigger: 'manual', agent: 'user', paths });
        }
      }
      const whole = (await bulkhead.snapshots({})).map(({ oid }) => oid);
      assert.equal(whole.length, 15);
      assert.deepEqual(whole, [...whole].sort());
      for (const limit of [1, 2, 4]) {
        const paged: string[] = [];
        for (;;) {
          const last = paged.at(-1);
          const page = await bulkhead.snapshots({ limit, ...(last === undefined ? {} : { after: last }) });
          if (page.length === 0) {
            break;
          }
          paged.push(...page.map(({ oid }) => oid));
        }
        assert.deepEqual(paged, whole, `pages of ${String(limit)}`);
      }
    } finally {
      await bulkhead.shutdown();
    }
  });
});
