import assert from 'node:assert/strict';
import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { useOwnHome } from '../support/environment';
import { git } from '../support/git';
import { repo } from '../support/repo';
import { contentAt, filesOfTree, treeOf } from '../support/snapshotTree';
import { temporaryFolder } from '../support/temporary';
import { checkpoint, cloneOf, EngineWorld, fsck, read, restoreAll, snapshotOf, write } from './world';

/** Whether names that differ in capitals only are one file where tests have their folders. */
function tellsCasesApart(): boolean {
  const folder = temporaryFolder('case');
  writeFileSync(join(folder, 'a'), '');
  return !existsSync(join(folder, 'A'));
}

// macOS and Windows have such disks. On Linux: set TMPDIR to a folder on one.
describe('on a disk that does not tell capitals apart', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let session: Session;
  let clone: string;

  before(function () {
    if (tellsCasesApart()) {
      console.log('      skipped: this disk tells them apart');
      this.skip();
    }
  });

  beforeEach('a session', async () => {
    world = new EngineWorld((folder) =>
      repo(folder).file('README.md', 'committed\n').file('Docs/Guide.md', 'guide\n').commit('first'),
    );
    bulkhead = await world.open();
    session = await bulkhead.createSession({ name: 'Cases', from: { kind: 'head' } });
    clone = cloneOf(session);
  });

  afterEach(async () => {
    fsck(world.store);
    await world.close();
  });

  const recorded = async (): Promise<string[]> => {
    const { newest } = await bulkhead.session(session.id);
    return [...filesOfTree(world.store, treeOf(world.store, newest ?? '')).keys()].sort();
  };

  for (const [how, save] of [
    ['saved', () => snapshotOf(bulkhead, session, 'readme.md')],
    ['found', () => snapshotOf(bulkhead, session)],
  ] as const) {
    it(`a file that is renamed to other capitals and ${how} keeps the name that is tracked, and an undo does not lose it`, async () => {
      renameSync(join(clone, 'README.md'), join(clone, 'readme.md'));
      write(clone, 'readme.md', 'changed\n');
      const changed = await save();
      assert.deepEqual(await recorded(), ['Docs/Guide.md', 'README.md']);
      assert.equal(contentAt(world.store, changed, 'README.md').toString(), 'changed\n');
      assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
      await restoreAll(bulkhead, session, session.newest ?? '');
      assert.equal(read(clone, 'readme.md'), 'committed\n');
      await bulkhead.undo({ session: session.id, consent: 'all' });
      assert.equal(read(clone, 'readme.md'), 'changed\n');
      assert.equal(readdirSync(clone).filter((name) => /readme/i.test(name)).length, 1);
    });
  }

  it('a new file below a folder of other capitals belongs to the folder that is tracked', async () => {
    renameSync(join(clone, 'Docs'), join(clone, 'docs'));
    write(clone, 'docs/new.md', 'new\n');
    await snapshotOf(bulkhead, session, 'docs/new.md');
    assert.deepEqual(await recorded(), ['Docs/Guide.md', 'Docs/new.md', 'README.md']);
    assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
  });

  it('a commit that changes the capitals of a name changes them in the next snapshot, and both ways of a restore keep the file', async () => {
    const before = session.newest ?? '';
    git(['mv', 'README.md', 'readme.md'], clone);
    write(clone, 'readme.md', 'committed again\n');
    git(['commit', '--quiet', '--all', '--message', 'rename'], clone);
    await checkpoint(bulkhead, session);
    assert.deepEqual(await recorded(), ['Docs/Guide.md', 'readme.md']);
    await restoreAll(bulkhead, session, before);
    assert.equal(read(clone, 'README.md'), 'committed\n');
    await bulkhead.undo({ session: session.id, consent: 'all' });
    assert.equal(read(clone, 'readme.md'), 'committed again\n');
    assert.equal(readdirSync(clone).filter((name) => /readme/i.test(name)).length, 1);
  });

  it('a deletion by another name is recorded', async () => {
    rmSync(join(clone, 'readme.MD'));
    await snapshotOf(bulkhead, session, 'README.md');
    assert.deepEqual(await recorded(), ['Docs/Guide.md']);
  });
});
