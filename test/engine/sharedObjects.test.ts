import assert from 'node:assert/strict';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
  rmSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { silentLog } from '../../src/base/log';
import { encodeLoose } from '../../src/core/looseObject';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { createHost } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { repo } from '../support/repo';
import {
  checkpoint,
  cloneOf,
  contents,
  EngineWorld,
  fsck,
  leaveRestore,
  read,
  restoreAll,
  sharedFiles,
  snapshotOf,
  write,
} from './world';

/** Overwrites a file in place, through whatever protects it, as an agent could. */
function patch(file: string, bytes: Buffer, at = 0): void {
  chmodSync(file, 0o644);
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, at);
  closeSync(descriptor);
}

function objectFiles(gitDir: string): string[] {
  return readdirSync(join(gitDir, 'objects'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Of RFC 1950. */
function adler32(bytes: Buffer): number {
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return ((b << 16) | a) >>> 0;
}

const GOOD = 'run: the good program\n';
const EVIL = 'run: an evil  program\n';

describe('objects that clones share', function () {
  this.timeout(120_000);
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;

  beforeEach(() => {
    world = new EngineWorld((folder) =>
      repo(folder).file('a.txt', 'one\n').file('Makefile', GOOD).commit('first').branch('other').switch('main'),
    );
  });

  afterEach(async () => {
    await world.close();
  });

  const donor = (): string => join(world.storage, 'donor.git');
  const newSession = (): Promise<Session> => bulkhead.createSession({ from: { kind: 'head' } });

  /** Neither the user's repository nor the store has anything of what was patched, and the next clone is as it should be. */
  async function nobodyElseIsPoisoned(): Promise<void> {
    fsck(world.repo.dir);
    fsck(world.store);
    for (const from of [{ kind: 'head' }, { kind: 'revision', revision: 'other' }] as const) {
      const next = await bulkhead.createSession({ from });
      assert.equal(read(cloneOf(next), 'Makefile'), GOOD);
      git(['fsck', '--full', '--strict'], cloneOf(next));
      assert.equal((await checkpoint(bulkhead, next)).snapshot, null);
    }
    fsck(donor());
    assert.ok(
      world.warnings.some((text) => text.includes('copied anew')),
      world.warnings.join('\n'),
    );
  }

  it('do not poison the next clone when an agent patches one that is loose', async () => {
    bulkhead = await world.open();
    const session = await newSession();
    const oid = gitLine(['hash-object', '--stdin'], world.repo.dir, { input: GOOD });
    const file = join('objects', oid.slice(0, 2), oid.slice(2));
    patch(join(cloneOf(session), '.git', file), encodeLoose('blob', Buffer.from(EVIL)));
    // That is what has to be prevented: git checks no hash when it checks out.
    assert.equal(gitLine(['cat-file', 'blob', oid], donor()), EVIL.trim());
    await nobodyElseIsPoisoned();
  });

  it('do not poison the next clone when an agent patches a pack so that no sum tells', async () => {
    world.repo.git('-c', 'core.compression=0', '-c', 'pack.compression=0', 'repack', '-adfq');
    bulkhead = await world.open();
    const session = await newSession();
    const packs = join(cloneOf(session), '.git', 'objects', 'pack');
    const pack = join(packs, readdirSync(packs).find((name) => name.endsWith('.pack')) ?? assert.fail('no pack'));
    const at = readFileSync(pack).indexOf(GOOD);
    assert.notEqual(at, -1);
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(adler32(Buffer.from(EVIL)));
    patch(pack, Buffer.concat([Buffer.from(EVIL), sum]), at);
    assert.equal(gitLine(['cat-file', 'blob', 'main:Makefile'], donor()), EVIL.trim());
    await nobodyElseIsPoisoned();
  });

  it('do not poison the next clone when the seal is gone as well', async () => {
    world.repo.git('repack', '-adq');
    bulkhead = await world.open();
    const session = await newSession();
    rmSync(join(donor(), 'bulkhead-seal.json'));
    await newSession();
    assert.deepEqual(world.warnings, [], 'what proves itself is believed');
    rmSync(join(donor(), 'bulkhead-seal.json'));
    for (const file of objectFiles(join(cloneOf(session), '.git')).filter((name) => name.endsWith('.idx'))) {
      patch(file, Buffer.alloc(64), 1100);
    }
    await nobodyElseIsPoisoned();
  });

  it('are left alone when a newer version sealed them: no session is made from them, and those that are there go on', async () => {
    bulkhead = await world.open();
    const session = await newSession();
    const text = '{"format":2,"later":true}\n';
    writeFileSync(join(donor(), 'bulkhead-seal.json'), text);
    world.repo.file('a.txt', 'two\n').commit('second');
    const before = contents(donor());
    const makings = [
      () => newSession(),
      () => bulkhead.createSession({ from: { kind: 'session', session: session.id } }),
      () => bulkhead.resetSession(session.id, { force: true }),
    ];
    for (const make of makings) {
      await assert.rejects(make(), { code: 'donor-newer', message: /Nothing was made.*Update Bulkhead/ });
    }
    assert.deepEqual(contents(donor()), before);
    assert.deepEqual(
      (await bulkhead.sessions({ all: true })).map(({ id, state }) => [id, state]),
      [[session.id, 'ready']],
    );
    assert.deepEqual(readdirSync(join(world.storage, 'creating')), []);
    write(cloneOf(session), 'a.txt', 'saved all the same\n');
    await snapshotOf(bulkhead, session);
    await restoreAll(bulkhead, session, session.newest ?? '');
  });

  it('keep the seal of a newer version that came while they were being looked at', async () => {
    world.repo.git('repack', '-adq');
    bulkhead = await world.open();
    await newSession();
    const seal = join(donor(), 'bulkhead-seal.json');
    rmSync(seal);
    // Packs that were linked before they were sealed have to prove themselves: then it comes.
    const [real, fake] = [gitLine(['--exec-path'], world.folder), join(world.folder, 'git')];
    writeFileSync(
      fake,
      `#!/bin/sh\ncase "$*" in *index-pack*) echo '{"format":2}' >'${seal}';; esac\nexec "${real}/git" "$@"\n`,
      { mode: 0o755 },
    );
    const host = await createHost({ log: silentLog, product: 'test', environment: world.environment, gitPath: fake });
    const window = await openBulkhead(host, { repository: world.repo.dir, storage: world.storage, create: true });
    await assert.rejects(window.createSession({ from: { kind: 'head' } }), { code: 'donor-newer' });
    await window.shutdown();
    assert.equal(readFileSync(seal, 'utf8'), '{"format":2}\n');
  });

  it('do not poison the submodules of the next clone either', async () => {
    const library = repo(join(world.folder, 'library')).file('Makefile', GOOD).commit('library');
    world.repo.submodule('lib', library.dir).commit('with a submodule');
    bulkhead = await world.open();
    const session = await newSession();
    const oid = gitLine(['hash-object', '--stdin'], world.repo.dir, { input: GOOD });
    const file = join('objects', oid.slice(0, 2), oid.slice(2));
    patch(join(cloneOf(session), '.git', 'modules', 'lib', file), encodeLoose('blob', Buffer.from(EVIL)));
    const shared = join(donor(), 'modules', 'lib');
    assert.equal(gitLine(['cat-file', 'blob', oid], shared), EVIL.trim());
    const next = await newSession();
    assert.equal(read(cloneOf(next), 'lib/Makefile'), GOOD);
    fsck(shared);
    fsck(join(cloneOf(next), '.git', 'modules', 'lib'));
    fsck(join(world.repo.dir, '.git', 'modules', 'lib'));
    assert.ok(
      world.warnings.some((text) => text.includes('copied anew')),
      world.warnings.join('\n'),
    );
  });

  it('are copied although a rival has left a folder in their place that holds none', async () => {
    bulkhead = await world.open();
    mkdirSync(join(donor(), 'modules'), { recursive: true });
    assert.equal(read(cloneOf(await newSession()), 'Makefile'), GOOD);
    fsck(donor());
  });

  it('may be overwritten in a clone, all of them, and nobody loses a snapshot', async () => {
    bulkhead = await world.open();
    const [session, other] = [await newSession(), await newSession()];
    write(cloneOf(other), 'a.txt', 'work of the other\n');
    const snapshot = await snapshotOf(bulkhead, other);
    for (const file of objectFiles(join(cloneOf(session), '.git'))) {
      patch(file, Buffer.alloc(lstatSync(file).size, 0x5a));
    }
    fsck(world.repo.dir);
    fsck(world.store);
    write(cloneOf(session), 'a.txt', 'saved all the same\n');
    assert.notEqual((await checkpoint(bulkhead, session)).snapshot, null);
    write(cloneOf(other), 'a.txt', 'later work of the other\n');
    assert.notEqual((await checkpoint(bulkhead, other)).snapshot, null);
    await restoreAll(bulkhead, other, snapshot);
    assert.equal(read(cloneOf(other), 'a.txt'), 'work of the other\n');
    const { branch } = await bulkhead.apply({ session: other.id, mode: 'branch' });
    assert.equal(gitLine(['show', `${branch ?? ''}:a.txt`], world.repo.dir), 'work of the other');
    await nobodyElseIsPoisoned();
  });

  for (const cloneObjects of ['hardlink', 'copy'] as const) {
    it(`are no files of the user or the store after any operation, with bulkhead.clone.objects: ${cloneObjects}`, async () => {
      world.repo.git('repack', '-adq').file('a.txt', 'uncommitted\n');
      bulkhead = await world.open({ cloneObjects });
      const safe = [world.repo.dir, world.store, ...(cloneObjects === 'copy' ? [donor()] : [])];
      const check = (when: string): void => {
        for (const place of safe) {
          for (const folder of ['sessions', 'trash']) {
            assert.deepEqual(sharedFiles(join(world.storage, folder), place), [], `${place} after ${when}`);
          }
        }
      };
      const session = await newSession();
      check('a start from HEAD');
      write(cloneOf(session), 'a.txt', 'work\n');
      git(['commit', '--quiet', '--all', '--message', 'work'], cloneOf(session));
      const snapshot = await snapshotOf(bulkhead, session, 'a.txt');
      check('a save');
      await checkpoint(bulkhead, session);
      check('a look at everything');
      await bulkhead.checkpoint({ session: 'workspace', trigger: 'manual' });
      check('a look at the checkout');
      const lost = [world.repo.resolve('HEAD:Makefile'), gitLine(['rev-parse', 'HEAD'], cloneOf(session))];
      // What was fetched came as packs.
      rmSync(join(world.store, 'objects', 'pack'), { recursive: true });
      // The git of this window may still have them open.
      const { repairs } = await (await world.open({ cloneObjects })).checkStore({ repair: true });
      assert.deepEqual(
        lost.map((oid) => dirname(repairs.find(({ subject }) => subject === oid)?.what ?? '')),
        [world.repo.dir, cloneOf(session)].map((place) => `Brought back from ${join(place, '.git')}`),
      );
      check('a repair with objects of the user and of a clone');
      await restoreAll(bulkhead, session, session.newest ?? '');
      check('a restore');
      await bulkhead.undo({ session: session.id, consent: 'all' });
      await bulkhead.undo({ session: session.id, consent: 'all', redo: true });
      await bulkhead.undo({ session: session.id, consent: 'all' });
      check('undo and redo');
      await bulkhead.createSession({ from: { kind: 'revision', revision: 'other' } });
      check('a start from a branch');
      await bulkhead.createSession({ from: { kind: 'head' }, carryUncommitted: true });
      check('a start with uncommitted work');
      await bulkhead.createSession({ from: { kind: 'snapshot', oid: snapshot } });
      check('a start from a snapshot');
      await bulkhead.createSession({ from: { kind: 'session', session: session.id } });
      check('a fork');
      await bulkhead.apply({ session: session.id, mode: 'branch' });
      check('an apply');
      await bulkhead.renameSession(session.id, 'Renamed');
      await bulkhead.contention('live');
      await bulkhead.preflightRemoval(session.id);
      write(cloneOf(session), 'a.txt', 'before the restore\n');
      leaveRestore(world, session, { undo: await snapshotOf(bulkhead, session), to: snapshot });
      await bulkhead.recover({ sweep: true });
      assert.equal(read(cloneOf(session), 'a.txt'), 'work\n');
      check('the recovery of a restore that was cut off');
      await bulkhead.maintain();
      check('maintenance');
      await bulkhead.resetSession(session.id, { force: true });
      check('a reset');
      await bulkhead.removeSession((await newSession()).id, { force: true });
      check('a removal');
      // Patched bytes of what is left change nothing where it matters.
      for (const left of await bulkhead.sessions()) {
        for (const file of objectFiles(join(cloneOf(left), '.git'))) {
          patch(file, Buffer.from('patched'));
        }
      }
      fsck(world.repo.dir);
      fsck(world.store);
    });
  }

  it('give a clone no way to push or fetch from anything but the remotes of the user', async () => {
    const remotes = ['origin', 'second'].map((name) => {
      const { dir } = repo(join(world.folder, `${name}.git`), { bare: true });
      world.repo.git('remote', 'add', name, dir).git('push', '--quiet', name, 'main', 'other');
      return dir;
    });
    world.repo.git('branch', '--set-upstream-to=origin/main', 'main').git('tag', 'v1');
    bulkhead = await world.open();
    const session = await newSession();
    const clone = cloneOf(session);
    write(clone, 'a.txt', 'work\n');
    git(['commit', '--quiet', '--all', '--message', 'work'], clone);
    await checkpoint(bulkhead, session);
    const mine = (): unknown => [world.repo.dir, donor(), world.store].map((place) => contents(place));
    const before = mine();
    const pushes = [
      ['push'], ['push', '--all', 'origin'], ['push', '--all', 'second'], ['push', '--tags'], ['push', '--force', 'origin', 'HEAD:main'],
      ['push', '--mirror', 'origin'], ['push', '--mirror', '--force', 'second'], ['push', '--delete', 'second', 'other'], ['push', '--prune', 'second'],
      ['push', 'local'], ['push', 'local', '--all', '--force'], ['push', '--repo=local', '--mirror'], ['fetch', '--all', '--prune', '--tags'], ['remote', 'update'],
      ['pull', '--rebase', 'origin', 'main'], ['remote', 'prune', 'origin'], ['gc', '--quiet', '--prune=now'], ['submodule', 'update', '--init'],
    ]; // prettier-ignore
    for (const args of pushes) {
      tryGit(args, clone);
      assert.deepEqual(mine(), before, `git ${args.join(' ')}`);
    }
    assert.notEqual(
      tryGit(['rev-parse', '--verify', 'refs/heads/other'], remotes[1] ?? '').code,
      0,
      'pushes do reach the remotes',
    );
    const told = [
      ['remote', '-v'], ['config', '--list', '--show-origin'], ['reflog', 'show', '--all'], ['for-each-ref'], ['branch', '-avv'],
      ['status', '--branch', '--porcelain=v2'], ['log', '--all', '--format=%H %an %ae %cn %ce %D %B'], ['remote', 'show', '-n', 'origin'],
    ].map((args) => tryGit(args, clone).stdout.toString()); // prettier-ignore
    const files = ['FETCH_HEAD', 'ORIG_HEAD', 'packed-refs', 'config', 'description', 'logs/HEAD'].map((name) => {
      return readdirSync(join(clone, '.git')).includes(name.split('/')[0] ?? '') ? read(join(clone, '.git'), name) : '';
    });
    for (const place of [world.repo.dir, donor(), world.store, 'donor.git', 'snapshots.git']) {
      assert.deepEqual(
        [...told, ...files].filter((text) => text.includes(`${place}\n`) || text.includes(place + ' ')),
        [],
        place,
      );
    }
  });
});
