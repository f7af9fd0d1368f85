import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { checkpoint, cloneOf, EngineWorld, fsck, write } from './world';

describe('branches of a clone', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let session: Session;
  let clone: string;

  beforeEach('a session whose branches are known', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
    session = await bulkhead.createSession({ name: 'Branches', from: { kind: 'head' } });
    clone = cloneOf(session);
    write(clone, 'a.txt', 'committed\n');
    git(['commit', '--quiet', '--all', '--message', 'work'], clone);
    git(['branch', 'side'], clone);
    await record();
  });

  afterEach(async () => {
    fsck(world.store);
    await world.close();
  });

  /** An apply looks at them; each makes a branch of its own. */
  const record = async (): Promise<void> => {
    write(clone, 'b.txt', `${String(Math.random())}\n`);
    await checkpoint(bulkhead, session);
    await bulkhead.apply({ session: session.id, mode: 'branch' });
  };
  const ref = (kind: 'heads' | 'lost', name: string): string =>
    gitLine(['for-each-ref', '--format=%(objectname)', `refs/bulkhead/${kind}/${session.id}/${name}`], world.store);

  it('that an agent deletes or moves by force stay in the store', async () => {
    const tip = ref('heads', 'side');
    assert.equal(tip, gitLine(['rev-parse', 'side'], clone));
    git(['branch', '--force', 'side', 'HEAD^'], clone);
    await record();
    assert.deepEqual([ref('heads', 'side'), ref('lost', tip)], [gitLine(['rev-parse', 'HEAD^'], clone), tip]);
    git(['branch', '--quiet', '--delete', '--force', 'side'], clone);
    const moved = ref('heads', 'side');
    await record();
    assert.deepEqual([ref('heads', 'side'), ref('lost', moved)], ['', moved]);
  });

  it('are not let go of while what is lost cannot be kept elsewhere', async () => {
    const tip = ref('heads', 'side');
    git(['branch', '--force', 'side', 'HEAD^'], clone);
    // As a git leaves it that was killed.
    const lockFile = join(world.store, 'refs', 'bulkhead', 'lost', session.id, `${tip}.lock`);
    mkdirSync(dirname(lockFile), { recursive: true });
    writeFileSync(lockFile, '');
    await assert.rejects(record(), { code: 'ref-locked' });
    assert.deepEqual([ref('heads', 'side'), ref('lost', tip)], [tip, '']);
    rmSync(lockFile);
    await record();
    assert.deepEqual([ref('heads', 'side'), ref('lost', tip)], [gitLine(['rev-parse', 'HEAD^'], clone), tip]);
  });
});
