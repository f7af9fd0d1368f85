import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { BulkheadError } from '../../src/base/errors';
import { formatIntent, type Intent } from '../../src/core/intent';
import type { Recovered, Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { ownedName } from '../../src/session/ownedNames';
import { useOwnHome } from '../support/environment';
import { gitLine } from '../support/git';
import { runCli } from '../support/runCli';
import { treeOf } from '../support/snapshotTree';
import {
  checkpoint,
  cloneOf,
  EngineWorld,
  filesIn,
  fsck,
  leaveRestore,
  read,
  restoreAll,
  snapshotOf,
  write,
} from './world';

describe('an operation that was cut off', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let session: Session;
  let clone: string;
  let told: Recovered[];

  beforeEach('a session with two states', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
    session = await bulkhead.createSession({ name: 'Cut off', from: { kind: 'head' } });
    clone = cloneOf(session);
    told = [];
    bulkhead.onDidRecover((recovered) => told.push(recovered));
  });

  afterEach(async () => {
    await world.close();
  });

  const journal = (name: string): string => join(world.storage, 'journal', name);
  const ref = (name: string): string => gitLine(['rev-parse', name], world.store);
  const leave = (intent: Intent): void => {
    writeFileSync(journal(`${session.id}.json`), formatIntent(session.id, intent, null));
  };

  /** A restore from the present state to `to` that was cut off. */
  async function cutOffRestore(to: string): Promise<string> {
    const undo = await snapshotOf(bulkhead, session);
    leaveRestore(world, session, { undo, to });
    return undo;
  }

  it('is finished before the next save, so that half a restore is nobody’s write', async () => {
    const start = session.newest ?? '';
    write(clone, 'a.txt', 'changed\n');
    write(clone, 'new.txt', 'new\n');
    await cutOffRestore(start);
    write(clone, 'src/.bulkhead-tmp-0123456789ab', 'half');
    write(clone, '.bulkhead-tmp-0123456789ab', 'half');
    write(clone, '.bulkhead-tmp-notes', 'a file of hers');
    write(clone, 'saved.txt', 'saved\n');
    const saved = await snapshotOf(bulkhead, session, 'saved.txt');
    assert.deepEqual([read(clone, 'a.txt'), existsSync(join(clone, 'new.txt'))], ['one\ntwo\nthree\n', false]);
    const [last, before] = await bulkhead.snapshots({ session: session.id });
    assert.deepEqual([last?.oid, last?.files], [saved, 1]);
    assert.deepEqual([before?.trigger, before?.subject, before?.agent], ['restore', 'Restore to Start', 'user']);
    assert.deepEqual(
      readdirSync(clone).filter((name) => name.startsWith('.bulkhead-tmp')),
      ['.bulkhead-tmp-notes'],
    );
    assert.deepEqual([told.length, told[0]?.outcome, readdirSync(journal(''))], [1, 'finished', []]);
    await bulkhead.undo({ session: session.id, consent: 'all' });
    assert.deepEqual([read(clone, 'a.txt'), read(clone, 'new.txt')], ['changed\n', 'new\n']);
  });

  it('keeps what somebody touched since, says so, and records it as what it is', async () => {
    write(clone, 'a.txt', 'changed\n');
    write(clone, 'src/b.ts', 'changed\n');
    write(clone, 'gone', 'file\n');
    await cutOffRestore(session.newest ?? '');
    write(clone, 'a.txt', 'touched since\n');
    rmSync(join(clone, 'gone'));
    write(clone, 'gone/but/here.txt', 'a folder of hers');
    await bulkhead.recover({ sweep: false });
    assert.deepEqual(
      [read(clone, 'a.txt'), read(clone, 'src/b.ts'), read(clone, 'gone/but/here.txt')],
      ['touched since\n', 'export const b = 1;\n', 'a folder of hers'],
    );
    assert.match(told[0]?.message ?? '', /finished now.*touched since: a\.txt/);
    const [restored] = await bulkhead.snapshots({ session: session.id });
    assert.equal(restored?.trigger, 'restore');
    const { changed } = await checkpoint(bulkhead, session);
    assert.deepEqual(
      changed.map(({ path }) => path),
      ['a.txt', 'gone', 'gone/but/here.txt'],
    );
  });

  for (const left of ['deep/er/and', 'deep/er', 'deep']) {
    it(`removes the folders that it has left empty, cut off when ${left} was the last of them`, async () => {
      write(clone, 'deep/er/and/deeper.txt', 'new\n');
      await cutOffRestore(session.newest ?? '');
      rmSync(join(clone, 'deep'), { recursive: true });
      mkdirSync(join(clone, left), { recursive: true });
      await bulkhead.recover({ sweep: false });
      assert.equal(told[0]?.outcome, 'finished');
      assert.equal(existsSync(join(clone, 'deep')), false);
    });
  }

  it('is finished where a file has taken the place of a folder already', async () => {
    write(clone, 'place', 'a file\n');
    const target = await snapshotOf(bulkhead, session);
    rmSync(join(clone, 'place'));
    write(clone, 'place/deep/inside.txt', 'recorded\n');
    write(clone, 'a.txt', 'changed\n');
    await cutOffRestore(target);
    rmSync(join(clone, 'place'), { recursive: true });
    write(clone, 'place', 'a file\n');
    await bulkhead.recover({ sweep: false });
    assert.equal(told[0]?.outcome, 'finished');
    assert.deepEqual([read(clone, 'place'), read(clone, 'a.txt')], ['a file\n', 'one\ntwo\nthree\n']);
  });

  it('puts no folder or file of hers out of the way', async () => {
    write(clone, 'place', 'a file\n');
    const target = await snapshotOf(bulkhead, session);
    rmSync(join(clone, 'place'));
    write(clone, 'place/inside.txt', 'recorded\n');
    await cutOffRestore(target);
    write(clone, 'place/later.txt', 'in no snapshot\n');
    await bulkhead.recover({ sweep: false });
    assert.equal(read(clone, 'place/later.txt'), 'in no snapshot\n');
    assert.equal(told[0]?.outcome, 'finished');
    fsck(world.store);
  });

  it('makes no second snapshot when only its end was missing', async () => {
    write(clone, 'a.txt', 'changed\n');
    const undo = await cutOffRestore(session.newest ?? '');
    const intent = readFileSync(journal(`${session.id}.json`));
    await bulkhead.recover({ sweep: false });
    const newest = ref(session.shadowRef);
    assert.notEqual(newest, undo);
    writeFileSync(journal(`${session.id}.json`), intent);
    await bulkhead.recover({ sweep: false });
    assert.equal(ref(session.shadowRef), newest);
    assert.deepEqual(readdirSync(journal('')), []);
  });

  it('is told and left when what it needs is gone, and stands in nobody’s way after that', async () => {
    write(clone, 'a.txt', 'changed\n');
    const undo = await snapshotOf(bulkhead, session);
    leave({
      kind: 'restore',
      from: treeOf(world.store, undo),
      to: 'd'.repeat(40),
      undo,
      subject: 'Restore',
      agent: 'user',
      reverses: null,
    });
    await bulkhead.recover({ sweep: false });
    assert.equal(read(clone, 'a.txt'), 'changed\n');
    assert.equal(told[0]?.outcome, 'left');
    assert.match(told.map(({ message }) => message).join(), new RegExp(undo.slice(0, 10)));
    await restoreAll(bulkhead, session, session.newest ?? '');
  });

  it('of a newer version is left alone: warned of once, no operation goes over it, and saves go on', async () => {
    const file = journal(`${session.id}.json`);
    writeFileSync(file, '{"format":2}');
    await bulkhead.recover({ sweep: true });
    write(clone, 'a.txt', 'changed\n');
    await snapshotOf(bulkhead, session);
    await bulkhead.recover({ sweep: true });
    assert.equal(world.warnings.filter((line) => line.includes('newer version')).length, 1);
    const present = filesIn(clone);
    for (const attempt of [
      () => restoreAll(bulkhead, session, session.newest ?? ''),
      () => bulkhead.removeSession(session.id, { force: true }),
      () => bulkhead.apply({ session: session.id, mode: 'branch' }),
    ]) {
      await assert.rejects(
        attempt(),
        (error: BulkheadError) => error.code === 'cut-off-before' && error.kind === 'busy',
      );
    }
    assert.deepEqual([filesIn(clone), read(journal(''), basename(file))], [present, '{"format":2}']);
  });

  it('that cannot be read is reported, kept aside, and blocks nothing', async () => {
    writeFileSync(journal(`${session.id}.json`), '{"format":1,"session":');
    write(clone, 'a.txt', 'changed\n');
    await snapshotOf(bulkhead, session);
    assert.deepEqual([told.length, told[0]?.outcome], [1, 'left']);
    const [aside = ''] = readdirSync(journal(''));
    assert.match(aside, /\.damaged-/);
    assert.equal(read(journal(''), aside), '{"format":1,"session":');
    await restoreAll(bulkhead, session, session.newest ?? '');
    await bulkhead.recover({ sweep: true });
    assert.equal(told.length, 1, 'told once');
  });

  it('is told by the command line on stderr, and the answer stays what was asked for', async () => {
    write(clone, 'a.txt', 'changed\n');
    await cutOffRestore(session.newest ?? '');
    const run = await runCli(['snapshots', '--json', '--storage', world.storage, '--session', session.id], {
      cwd: world.repo.dir,
      env: world.environment,
    });
    assert.equal(run.code, 0, run.story);
    assert.match(run.stderr, /A restore of "Cut off" was cut off\. It is finished now\./);
    assert.equal((JSON.parse(run.stdout) as { trigger: string }[])[0]?.trigger, 'restore');
    assert.equal(read(clone, 'a.txt'), 'one\ntwo\nthree\n');
  });

  it('takes no lock file of git’s away that nobody is proven to have left', async () => {
    const other = await world.open();
    write(clone, 'a.txt', 'changed\n');
    await snapshotOf(other, session);
    const lock = join(world.store, `${session.shadowRef}.lock`);
    writeFileSync(lock, '');
    // Older than any dead process could need, and younger than the age at which it counts as left.
    const past = Date.now() / 1000 - 10;
    utimesSync(lock, past, past);
    write(clone, 'a.txt', 'again\n');
    await bulkhead.recover({ sweep: true });
    await assert.rejects(checkpoint(bulkhead, session), { code: 'ref-locked' });
    assert.ok(existsSync(lock));
    // The name of a process that is gone is no proof as long as another one lives.
    const [living = ''] = readdirSync(join(world.storage, 'locks')).filter((name) => name.startsWith('git-'));
    writeFileSync(join(world.storage, 'locks', living.replace(/-\d+-\d+-/, '-1-1-')), '');
    utimesSync(join(world.storage, 'locks', living.replace(/-\d+-\d+-/, '-1-1-')), past - 10, past - 10);
    await other.recover({ sweep: true });
    assert.ok(existsSync(lock));
    rmSync(lock);
    await snapshotOf(bulkhead, session);
  });

  it('removes no folder of a session but the one that was half made', async () => {
    const id = 'abcdefghij23';
    const folder = join(world.storage, 'sessions', id);
    const half = (nonce: string): void => {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'session.json'), JSON.stringify({ format: 1, id, nonce: 'fedcba9876543210' }));
      writeFileSync(journal(`${id}.json`), formatIntent(id, { kind: 'create', nonce }, null));
    };
    half('0123456789abcdef');
    await bulkhead.recover({ sweep: true });
    assert.ok(existsSync(folder), 'it has another nonce');
    half('fedcba9876543210');
    await bulkhead.recover({ sweep: true });
    assert.equal(existsSync(folder), false);
    assert.deepEqual(readdirSync(join(world.storage, 'creating')), []);
    // And a session that is there, though its making looks cut off.
    leave({ kind: 'create', nonce: '0123456789abcdef' });
    await bulkhead.recover({ sweep: true });
    assert.equal((await bulkhead.session(session.id)).state, 'ready');
  });

  it('leaves folders that something may be made in, until a day has passed', async () => {
    const [young, old] = ['abcdefghij23-01234567', 'zzzzzzghij23-01234567'].map((name) =>
      join(world.storage, 'creating', name),
    );
    for (const folder of [young, old]) {
      mkdirSync(join(folder ?? '', 'inside'), { recursive: true });
    }
    const yesterday = Date.now() / 1000 - 86_500;
    utimesSync(old ?? '', yesterday, yesterday);
    await bulkhead.recover({ sweep: true });
    assert.deepEqual(readdirSync(join(world.storage, 'creating')), [basename(young ?? '')]);
  });

  it('removes half-written files of the storage after a day', async () => {
    const folders = ['.', 'snapshots.git', 'snapshots.git/info', 'donor.git', 'locks'];
    const yesterday = Date.now() / 1000 - 86_500;
    for (const folder of folders) {
      writeFileSync(join(world.storage, folder, '.tmp-0123456789ab'), 'young');
      writeFileSync(join(world.storage, folder, '.tmp-ba9876543210'), 'old');
      utimesSync(join(world.storage, folder, '.tmp-ba9876543210'), yesterday, yesterday);
    }
    await bulkhead.recover({ sweep: true });
    for (const folder of folders) {
      const left = readdirSync(join(world.storage, folder)).filter((name) => name.startsWith('.tmp-'));
      assert.deepEqual(left, ['.tmp-0123456789ab'], folder);
    }
  });

  it('removes the copies of an index on which a killed process was at work, in every session, and those of no living one', async () => {
    const living = `.tmp-${await ownedName('index')}`;
    // The same process number, started at another time: that one is gone.
    const dead = living.replace(/-\d+-([0-9a-f]{8})$/, '-1-$1');
    const folders = [join(world.storage, 'workspace'), dirname(clone)];
    for (const folder of folders) {
      mkdirSync(folder, { recursive: true });
      for (const name of [living, dead, `${dead}.lock`]) {
        writeFileSync(join(folder, name), '');
      }
    }
    await bulkhead.recover({ sweep: true });
    for (const folder of folders) {
      assert.deepEqual(
        readdirSync(folder).filter((name) => name.startsWith('.tmp-')),
        [living],
      );
    }
  });

  it('finishes a deletion whose record says deleted, whoever began it', async () => {
    await bulkhead.createSession({ name: 'Other', from: { kind: 'head' } });
    const { trashed } = await bulkhead.removeSession(session.id, { force: true });
    const folder = dirname(clone);
    // As it is between the record and the rename.
    renameSync(join(world.storage, 'trash', trashed ?? ''), folder);
    await bulkhead.recover({ sweep: true });
    assert.equal(existsSync(folder), false);
    assert.deepEqual(readdirSync(join(world.storage, 'trash')), [trashed]);
    assert.match(told[0]?.message ?? '', /in the trash now/);
  });
});
