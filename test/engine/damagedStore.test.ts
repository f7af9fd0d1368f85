// Objects of the snapshot store that are gone, empty, cut short or overwritten, with real files.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock';
import { silentLog } from '../../src/base/log';
import { LooseObjects } from '../../src/git/looseObjects';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { createHost } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { ShiftedClock } from '../support/shiftedClock';
import { contentAt, treeOf } from '../support/snapshotTree';
import { checkpoint, cloneOf, EngineWorld, fsck, restoreAll, snapshotOf, write } from './world';

type Harm = (file: string) => void;

/** A new file each time: that of a base commit is shared with the person's own repository. */
function replaceWith(change: (bytes: Buffer) => Buffer | string): Harm {
  return (file) => {
    const bytes = change(readFileSync(file));
    unlinkSync(file);
    writeFileSync(file, bytes);
  };
}

const HARMS: readonly (readonly [string, Harm])[] = [
  ['missing', unlinkSync],
  ['empty', replaceWith(() => '')],
  ['cut short', replaceWith((bytes) => bytes.subarray(0, Math.floor(bytes.length * 0.6)))],
  ['overwritten', replaceWith(() => 'no object at all')],
];

describe('a damaged store', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let session: Session;
  let other: Session;
  let whole: string;
  let newest: string;

  const object = (oid: string): string => join(world.store, 'objects', oid.slice(0, 2), oid.slice(2));
  const line = (...args: string[]): string => gitLine(args, world.store);
  const reopen = async (): Promise<void> => {
    await world.close();
    bulkhead = await world.open();
  };
  const oidsOf = async (of: Session): Promise<string[]> =>
    (await bulkhead.snapshots({ session: of.id })).map(({ oid }) => oid);

  beforeEach('two sessions, one of which has two snapshots', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
    session = await bulkhead.createSession({ name: 'Damaged', from: { kind: 'head' } });
    other = await bulkhead.createSession({ name: 'Other', from: { kind: 'head' } });
    write(cloneOf(session), 'folder/deep/old.txt', 'old\n');
    whole = await snapshotOf(bulkhead, session);
    write(cloneOf(session), 'folder/deep/new.txt', 'new\n');
    newest = await snapshotOf(bulkhead, session);
  });

  afterEach(async () => {
    await world.close();
  });

  const PARTS: readonly (readonly [string, string])[] = [
    ['commit', ''],
    ['root tree', '^{tree}'],
    ['subtree', ':folder/deep'],
    ['file', ':folder/deep/new.txt'],
  ];

  for (const [part, suffix] of PARTS) {
    for (const [harm, damage] of HARMS) {
      it(`shows and records a session on whose newest ${part} is ${harm}, and loses nothing else`, async () => {
        await world.close();
        damage(object(line('rev-parse', `${newest}${suffix}`)));
        bulkhead = await world.open();
        const listed = await oidsOf(session);
        assert.deepEqual(listed.slice(part === 'commit' ? 0 : 1), [whole, session.newest]);
        const shown = (await bulkhead.sessions()).find(({ id }) => id === session.id) ?? assert.fail('it is listed');
        assert.deepEqual([shown.state, shown.newest, shown.snapshots], ['ready', whole, 2]);
        assert.match(shown.damage ?? '', new RegExp(`${newest.slice(0, 10)} is damaged`));
        assert.equal(world.warnings.filter((text) => text.includes(`${newest.slice(0, 10)} is damaged`)).length, 1);
        const untouched = await bulkhead.session(other.id);
        assert.deepEqual([untouched.state, untouched.newest, untouched.damage], ['ready', other.newest, null]);

        // What it held is on the disk no more, so it cannot be brought back.
        write(cloneOf(session), 'folder/deep/new.txt', 'newer\n');
        const next = await snapshotOf(bulkhead, session, 'folder/deep/new.txt');
        assert.equal(line('rev-parse', `${next}^`), whole);
        assert.equal(line('rev-parse', session.shadowRef), next);
        assert.equal(contentAt(world.store, next, 'folder/deep/new.txt').toString(), 'newer\n');
        assert.ok(world.warnings.some((text) => text.includes(newest) && text.includes('left behind')));
        assert.deepEqual(await oidsOf(session), [next, whole, session.newest]);
        assert.equal((await bulkhead.session(session.id)).damage, null);
        line('rev-list', '--objects', '--all', '--quiet');
        await restoreAll(bulkhead, session, whole);
        assert.ok(!existsSync(join(cloneOf(session), 'folder/deep/new.txt')));
      });
    }
  }

  PARTS.slice(1).forEach(([part, suffix], index) => {
    const [harm, damage] = HARMS[index] ?? ['missing', unlinkSync];
    it(`makes the newest snapshot whole again when its ${part} is ${harm} and the work tree still has it`, async () => {
      await world.close();
      damage(object(line('rev-parse', `${newest}${suffix}`)));
      bulkhead = await world.open();
      await oidsOf(session);
      const { snapshot, newest: current } = await checkpoint(bulkhead, session);
      assert.deepEqual([snapshot, current], [null, newest]);
      fsck(world.store);
      assert.deepEqual(await oidsOf(session), [newest, whole, session.newest]);
      assert.equal((await bulkhead.session(session.id)).damage, null);
    });
  });

  it('finds the newest whole snapshot in the chain before when the first of a new chain is lost', async () => {
    // The first snapshot of the next chain: a clock a day ahead.
    const host = await createHost({
      log: silentLog,
      product: 'test',
      environment: world.environment,
      clock: { ...systemClock, now: () => Date.now() + 90_000_000 },
    });
    const later = await openBulkhead(host, { repository: world.repo.dir, storage: world.storage, create: true });
    write(cloneOf(session), 'a.txt', 'next chain\n');
    const first = await snapshotOf(later, session);
    await later.shutdown();
    assert.equal(line('rev-parse', `refs/bulkhead/closed/${session.id}/1`), newest);
    await world.close();
    unlinkSync(object(first));
    bulkhead = await world.open();
    assert.deepEqual(await oidsOf(session), [newest, whole, session.newest]);
    write(cloneOf(session), 'a.txt', 'after it\n');
    const next = await snapshotOf(bulkhead, session);
    assert.deepEqual(await oidsOf(session), [next, newest, whole, session.newest]);
    fsck(world.store);
  });

  it('lists what is before and after a lost snapshot in the middle of a chain', async () => {
    write(cloneOf(session), 'a.txt', 'third\n');
    const third = await snapshotOf(bulkhead, session);
    await world.close();
    unlinkSync(object(newest));
    bulkhead = await world.open();
    const listed = await bulkhead.snapshots({ session: session.id });
    assert.deepEqual(
      listed.map(({ oid }) => oid),
      [third, whole, session.newest],
    );
    assert.deepEqual(
      listed.map(({ damage }) => damage !== null),
      [true, false, false],
    );
    assert.equal((await bulkhead.resolveSnapshot(whole, session.id)).oid, whole);
    assert.equal((await bulkhead.snapshots({ session: session.id, after: third }))[0]?.oid, whole);
  });

  it('takes no commit of an agent for a snapshot when the newest one is lost', async () => {
    const message = gitLine(['log', '-1', '--format=%B', newest], world.store).replace(
      /^(Bulkhead-Chain: \d+) \d+/m,
      '$1 4000',
    );
    git(['commit', '--quiet', '--allow-empty', '--cleanup=verbatim', '--file=-'], cloneOf(session), { input: message });
    write(cloneOf(session), 'a.txt', 'after the commit\n');
    const last = await snapshotOf(bulkhead, session);
    await world.close();
    unlinkSync(object(last));
    bulkhead = await world.open();
    assert.equal((await bulkhead.session(session.id)).newest, newest);
  });

  it('goes on when the newest snapshot is damaged while it is recorded', async () => {
    write(cloneOf(session), 'folder/deep/new.txt', 'seen by nobody\n');
    unlinkSync(object(newest));
    const next = await snapshotOf(bulkhead, session);
    assert.equal(contentAt(world.store, next, 'folder/deep/new.txt').toString(), 'seen by nobody\n');
    await reopen();
    assert.deepEqual(await oidsOf(session), [next, whole, session.newest]);
    assert.equal(treeOf(world.store, session.shadowRef), line('rev-parse', `${next}^{tree}`));
  });

  describe('an object that is written again', () => {
    const loose = (): LooseObjects =>
      new LooseObjects({
        objectsFolder: join(world.store, 'objects'),
        format: 'sha1',
        fsync: false,
        clock: new ShiftedClock(),
      });

    for (const [harm, damage] of HARMS) {
      it(`is whole afterwards when its file is ${harm}`, () => {
        const oid = loose().write('blob', Buffer.from('content of some length\n'.repeat(20)));
        damage(object(oid));
        assert.notEqual(loose().check(oid).kind, 'whole');
        assert.equal(loose().write('blob', Buffer.from('content of some length\n'.repeat(20))), oid);
        assert.equal(loose().check(oid).kind, 'whole');
      });
    }

    it('is whole afterwards also when it is large, once damage was seen', () => {
      const content = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7919) % 251));
      const oid = loose().write('blob', content);
      replaceWith((bytes) => Buffer.alloc(bytes.length, 1))(object(oid));
      const objects = loose();
      objects.distrust();
      objects.write('blob', content);
      assert.equal(objects.check(oid).kind, 'whole');
    });

    it('becomes fresh, so that no maintenance takes it for old', () => {
      const oid = loose().write('blob', Buffer.from('used again\n'));
      utimesSync(object(oid), 1, 1);
      loose().write('blob', Buffer.from('used again\n'));
      line('prune', '--expire=1.day.ago');
      assert.equal(loose().check(oid).kind, 'whole');
    });
  });
});
