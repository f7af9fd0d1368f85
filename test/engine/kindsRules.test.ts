import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { contentAt } from '../support/snapshotTree';
import { repo } from '../support/repo';
import { checkpoint, cloneOf, EngineWorld, fsck, write } from './world';

describe('rules of conversion that change', function () {
  this.timeout(60_000);
  let world: EngineWorld;

  beforeEach(() => {
    world = new EngineWorld((folder) => repo(folder).file('a.txt', 'one\n').commit('first'));
  });

  afterEach(async () => {
    await world.close();
  });

  const cases: readonly (readonly [string, () => void])[] = [
    [
      'info/attributes',
      () => {
        mkdirSync(join(world.repo.dir, '.git', 'info'), { recursive: true });
        writeFileSync(join(world.repo.dir, '.git', 'info', 'attributes'), '*.txt text\n');
      },
    ],
    ['core.autocrlf', () => world.repo.config('core.autocrlf', 'input')],
    [
      'the attributes file of all her repositories',
      () => {
        const file = join(world.folder, 'attributes');
        writeFileSync(file, '*.txt text\n');
        world.repo.config('core.attributesFile', file);
      },
    ],
  ];
  for (const [name, change] of cases) {
    it(`record the files that did not change anew, once, after a change of ${name}`, async () => {
      const first = await world.open();
      const session = await first.createSession({ from: { kind: 'head' } });
      write(cloneOf(session), 'new.txt', 'a\r\nb\r\n');
      const before = await checkpoint(first, session);
      assert.equal(contentAt(world.store, before.tree, 'new.txt').toString(), 'a\r\nb\r\n');
      await world.close();

      change();
      const second = await world.open();
      const after = await checkpoint(second, session);
      assert.deepEqual(after.changed, [{ path: 'new.txt', status: 'modified' }]);
      assert.equal(contentAt(world.store, after.tree, 'new.txt').toString(), 'a\nb\n');
      assert.equal((await checkpoint(second, session)).snapshot, null);
      await world.close();

      const third = await world.open();
      assert.equal((await checkpoint(third, session)).snapshot, null);
      fsck(world.store);
    });
  }
});
