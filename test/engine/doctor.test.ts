// The doctor: damage with real files, what it says before a repair, what the repair does, and what is left after it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { silentLog } from '../../src/base/log';
import type { Session, StoreReport } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { examineStorage, repairStorage } from '../../src/session/examine';
import { createHost, type Host } from '../../src/session/host';
import { indexFile } from '../../src/session/repositoryIndex';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { ShiftedClock } from '../support/shiftedClock';
import { contentAt } from '../support/snapshotTree';
import { cloneOf, contents, EngineWorld, fsck, snapshotOf, write } from './world';

describe('the doctor', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let host: Host;
  let session: Session;
  let newest: string;

  beforeEach('a session with one snapshot', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
    host = await createHost({ log: silentLog, product: 'test', environment: world.environment });
    session = await bulkhead.createSession({ name: 'Patient', from: { kind: 'head' } });
    write(cloneOf(session), 'folder/new.txt', 'new\n');
    newest = await snapshotOf(bulkhead, session);
  });

  afterEach(async () => {
    await world.close();
  });

  const object = (oid: string): string => join(world.store, 'objects', oid.slice(0, 2), oid.slice(2));
  const line = (...args: string[]): string => gitLine(args, world.store);
  const where = (): { repository: string; storage: string } => ({
    repository: world.repo.dir,
    storage: world.storage,
  });
  const examine = async (): Promise<StoreReport> =>
    (await examineStorage(host, where())) ?? assert.fail('there is a storage');
  const repair = async (): Promise<StoreReport> =>
    (await repairStorage(host, where())) ?? assert.fail('there is a storage');
  /** Codes of the problems, without what depends on the disk of this machine. */
  const problems = ({ findings }: StoreReport): string[] => [
    ...new Set(
      findings.filter(({ severity, code }) => severity !== 'info' && code !== 'disk-low').map(({ code }) => code),
    ),
  ];
  const makeOld = (path: string): void => {
    utimesSync(path, 1, 1);
  };
  const damage = (oid: string, bytes = ''): void => {
    unlinkSync(object(oid));
    writeFileSync(object(oid), bytes);
  };

  it('finds a fresh storage healthy, and writes nothing to see that', async () => {
    await world.close();
    const before = [contents(world.storage), contents(dirname(indexFile(world.environment)))];
    assert.deepEqual(problems(await examine()), []);
    assert.deepEqual([contents(world.storage), contents(dirname(indexFile(world.environment)))], before);
    bulkhead = await world.open();
    const report = await repair();
    assert.deepEqual([problems(report), report.repairs, report.reportFile], [[], [], null]);
  });

  it('says that there is none when there is none', async () => {
    assert.equal(
      await examineStorage(host, { repository: world.repo.dir, storage: join(world.folder, 'nowhere') }),
      null,
    );
  });

  it('writes nothing while it looks at a store that is damaged', async () => {
    await world.close();
    damage(line('rev-parse', `${newest}:folder/new.txt`), 'no object');
    writeFileSync(join(world.storage, 'storage.json'), 'no JSON');
    const before = contents(world.storage);
    assert.deepEqual(problems(await examine()).sort(), ['object-corrupt', 'snapshot-damaged', 'storage-damaged']);
    assert.deepEqual(contents(world.storage), before);
  });

  it('brings a file of the base back from the repository of the person', async () => {
    const blob = line('rev-parse', `${newest}:a.txt`);
    const bytes = 'damaged bytes';
    damage(blob, bytes);
    assert.deepEqual(problems(await examine()).sort(), ['object-corrupt', 'snapshot-damaged']);
    const report = await repair();
    assert.deepEqual(problems(report), []);
    assert.ok(report.repairs.some(({ subject, what }) => subject === blob && what.startsWith('Brought back from')));
    assert.equal(readFileSync(join(world.storage, 'damaged', blob), 'utf8'), bytes, 'the damaged file is kept');
    assert.ok(existsSync(report.reportFile ?? ''));
    assert.equal(line('rev-parse', session.shadowRef), newest);
    fsck(world.store);
  });

  it('brings a whole base back, commit and trees, when its objects are gone', async () => {
    const [commit, tree, folder] = ['', '^{tree}', ':src'].map((suffix) =>
      line('rev-parse', `refs/bulkhead/bases/${session.id}${suffix}`),
    );
    for (const oid of [commit, tree, folder]) {
      unlinkSync(object(oid ?? ''));
    }
    assert.ok(problems(await examine()).includes('base-lost'));
    assert.deepEqual(problems(await repair()), []);
    fsck(world.store);
  });

  it('brings a commit of the agent back from its clone', async () => {
    git(['commit', '--quiet', '--allow-empty', '--message', 'work'], cloneOf(session));
    write(cloneOf(session), 'b.txt', 'after the commit\n');
    await snapshotOf(bulkhead, session);
    // What was fetched came as a pack.
    for (const name of readdirSync(join(world.store, 'objects', 'pack'))) {
      rmSync(join(world.store, 'objects', 'pack', name));
    }
    assert.ok(problems(await examine()).includes('ref-target-lost'));
    assert.deepEqual(problems(await repair()), []);
    fsck(world.store);
  });

  it('writes again from the work tree what nothing else has', async () => {
    const blob = line('rev-parse', `${newest}:folder/new.txt`);
    const tree = line('rev-parse', `${newest}:folder`);
    damage(blob);
    unlinkSync(object(tree));
    const report = await repair();
    assert.deepEqual(problems(report), []);
    assert.ok(report.repairs.some(({ subject, what }) => subject === blob && what.includes('work tree')));
    assert.equal(line('rev-parse', session.shadowRef), newest);
    assert.equal(contentAt(world.store, newest, 'folder/new.txt').toString(), 'new\n');
    fsck(world.store);
  });

  it('asks no clone in whose objects git would wait, and mends all the same', async () => {
    const blob = line('rev-parse', `${newest}:folder/new.txt`);
    unlinkSync(object(blob));
    const info = join(cloneOf(session), '.git', 'objects', 'info');
    mkdirSync(info, { recursive: true });
    execFileSync('mkfifo', [join(info, 'alternates')]);
    // No time passes by this clock: nothing ends a git that waits.
    host = await createHost({
      log: silentLog,
      product: 'test',
      environment: world.environment,
      clock: new ShiftedClock(),
    });
    assert.deepEqual(problems(await repair()), []);
    assert.equal(contentAt(world.store, newest, 'folder/new.txt').toString(), 'new\n');
  });

  it('puts a ref back to the newest whole snapshot when nothing has the lost one, and notes where it stood', async () => {
    write(cloneOf(session), 'folder/new.txt', 'newer\n');
    const lost = await snapshotOf(bulkhead, session);
    unlinkSync(object(lost));
    assert.deepEqual(problems(await examine()), ['object-missing', 'snapshot-damaged']);
    const report = await repair();
    assert.deepEqual(problems(report), []);
    assert.equal(line('rev-parse', session.shadowRef), newest);
    assert.ok(readFileSync(report.reportFile ?? '', 'utf8').includes(lost));
    fsck(world.store);
    await world.close();
    bulkhead = await world.open();
    assert.equal(contentAt(world.store, await snapshotOf(bulkhead, session), 'folder/new.txt').toString(), 'newer\n');
  });

  it('makes a shadow ref again whose file is torn or gone', async () => {
    await world.close();
    writeFileSync(join(world.store, session.shadowRef), '');
    assert.deepEqual(problems(await examine()), ['snapshot-damaged']);
    assert.deepEqual(problems(await repair()), []);
    assert.equal(line('rev-parse', session.shadowRef), newest);
    git(['update-ref', '-d', session.shadowRef], world.store);
    assert.deepEqual(problems(await examine()), ['shadow-ref-missing']);
    assert.deepEqual(problems(await repair()), []);
    assert.equal(line('rev-parse', session.shadowRef), newest);
    bulkhead = await world.open();
  });

  it('says what cannot be mended, and leaves it alone', async () => {
    const record = `refs/bulkhead/records/${session.id}`;
    const blob = gitLine(['hash-object', '-w', '--stdin'], world.store, { input: 'no record' });
    git(['update-ref', record, blob], world.store);
    const other = await bulkhead.createSession({ name: 'Foreign', from: { kind: 'head' } });
    const gone = await bulkhead.createSession({ name: 'Gone', from: { kind: 'head' } });
    writeFileSync(
      join(dirname(cloneOf(other)), 'session.json'),
      JSON.stringify({ format: 1, id: other.id, nonce: 'another' }),
    );
    rmSync(dirname(cloneOf(gone)), { recursive: true });
    const expected = ['record-damaged', 'session-folder-foreign', 'session-folder-missing'];
    assert.deepEqual(problems(await examine()).sort(), expected);
    const report = await repair();
    assert.deepEqual([problems(report).sort(), report.repairs], [expected, []]);
    assert.equal(line('rev-parse', record), blob);
    assert.ok(existsSync(cloneOf(other)));
  });

  it('gives bases and closed chains their refs back, and takes away claims of the dead', async () => {
    const base = line('rev-parse', `refs/bulkhead/bases/${session.id}`);
    git(['update-ref', '-d', `refs/bulkhead/bases/${session.id}`], world.store);
    const dead = { format: 1, host: (await import('node:os')).hostname(), pid: 2 ** 22 + 1, boot: null, started: null };
    const holder = { ...dead, thread: 0, agent: 'codex', nonce: 'aa', purpose: 'restore', time: Date.now() };
    const claim = gitLine(['hash-object', '-w', '--stdin'], world.store, { input: JSON.stringify(holder) });
    git(['update-ref', `refs/bulkhead/claims/${session.id}`, claim], world.store);
    assert.deepEqual(problems(await examine()).sort(), ['base-ref-missing', 'claim-left']);
    assert.deepEqual(problems(await repair()), []);
    assert.equal(line('rev-parse', `refs/bulkhead/bases/${session.id}`), base);
    assert.equal(tryGit(['rev-parse', '--verify', '-q', `refs/bulkhead/claims/${session.id}`], world.store).code, 1);
  });

  it('sweeps what killed processes left, and moves what belongs to nobody to the trash', async () => {
    const half = join(world.storage, 'creating', 'abc-123');
    const orphan = join(world.storage, 'sessions', 'aaaaaaaaaaaa');
    mkdirSync(half);
    mkdirSync(orphan);
    write(orphan, 'clone/file.txt', 'somebody wrote this\n');
    const pack = join(world.store, 'objects', 'pack', 'tmp_pack_left');
    const lock = join(world.storage, 'locks', 'left.lock');
    writeFileSync(pack, 'half');
    mkdirSync(lock);
    for (const path of [half, orphan, pack, lock]) {
      makeOld(path);
    }
    const expected = ['half-made-folder', 'lock-left', 'session-folder-orphaned', 'temporary-files'];
    assert.deepEqual(problems(await examine()).sort(), expected);
    assert.deepEqual(problems(await repair()), []);
    for (const path of [half, orphan, pack, lock]) {
      assert.ok(!existsSync(path), path);
    }
    const trash = readdirSync(join(world.storage, 'trash'));
    assert.equal(trash.length, 2);
    const kept = trash.find((name) => name.startsWith('aaaaaaaaaaaa-')) ?? assert.fail('it is in the trash');
    assert.equal(readFileSync(join(world.storage, 'trash', kept, 'clone/file.txt'), 'utf8'), 'somebody wrote this\n');
  });

  it('mends the file that says whose the storage is, permissions, and the list of storages, and keeps the old file', async () => {
    const file = join(world.storage, 'storage.json');
    const content = readFileSync(file, 'utf8');
    await world.close();
    writeFileSync(file, '{ torn');
    chmodSync(world.storage, 0o755);
    assert.deepEqual(problems(await examine()).sort(), ['storage-damaged', 'storage-permissions']);
    assert.deepEqual(problems(await repair()), []);
    assert.deepEqual(
      [readFileSync(file, 'utf8'), readFileSync(join(world.storage, 'damaged', 'storage.json'), 'utf8')],
      [content, '{ torn'],
    );
    unlinkSync(indexFile(world.environment));
    assert.deepEqual(problems(await examine()), ['index-entry']);
    writeFileSync(file, '{ torn');
    const unknown = await examine();
    assert.ok(
      unknown.findings.some(({ code, repairable }) => code === 'storage-damaged' && !repairable),
      'nobody says whose it is now, so nothing is guessed',
    );
    writeFileSync(file, content);
    assert.deepEqual(problems(await repair()), []);
    bulkhead = await world.open();
  });

  it('tells a store that is gone, and one whose configuration is torn', async () => {
    await world.close();
    writeFileSync(join(world.store, 'config'), '[core');
    assert.deepEqual(problems(await examine()), ['store-unreadable']);
    assert.deepEqual(problems(await repair()), []);
    renameSync(world.store, `${world.store} away`);
    assert.ok(problems(await examine()).includes('store-missing'));
    renameSync(`${world.store} away`, world.store);
    bulkhead = await world.open();
  });
});
