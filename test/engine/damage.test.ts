import assert from 'node:assert/strict';
import { existsSync, readdirSync, renameSync, rmSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BulkheadError } from '../../src/base/errors';
import { displayPath } from '../../src/core/repoPath';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { WorkTree } from '../../src/session/workTree';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { headTreeOf, Oracle } from '../support/oracle';
import { runCli } from '../support/runCli';
import { SeededRandom } from '../support/seededRandom';
import { contentAt, treeOf } from '../support/snapshotTree';
import { sample, seed } from '../support/soak';
import { checkpoint, cloneOf, EngineWorld, filesIn, fsck, read, restoreAll, snapshotOf, write } from './world';

const KILLS = sample(10, 100);

describe('damage', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;

  beforeEach('a repository of its own, because the store gets damaged', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
  });

  afterEach(async () => {
    await world.close();
  });

  const newSession = (name: string): Promise<Session> => bulkhead.createSession({ name, from: { kind: 'head' } });
  const failure = async (work: Promise<unknown>): Promise<BulkheadError> => {
    const error = await work.then(
      () => assert.fail('it has to fail'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof BulkheadError, `not one of our errors: ${String(error)}`);
    return error;
  };
  const ref = (name: string): string => gitLine(['rev-parse', name], world.store);
  const putBlob = (text: string): string => gitLine(['hash-object', '-w', '--stdin'], world.store, { input: text });

  it('never deletes a foreign ref that clashes with a name of ours, and lets it stop nothing else', async () => {
    const [session, other] = [await newSession('Clash'), await newSession('Other')];
    const foreign = `refs/bulkhead/claims/${session.id}/foreign`;
    git(['update-ref', foreign, ref(session.shadowRef)], world.store);
    write(cloneOf(session), 'a.txt', 'changed\n');
    const present = filesIn(cloneOf(session));
    assert.equal((await failure(restoreAll(bulkhead, session, session.newest ?? ''))).code, 'ref-name-clash');
    assert.deepEqual(filesIn(cloneOf(session)), present);
    assert.equal(ref(foreign), ref(session.shadowRef));
    write(cloneOf(other), 'a.txt', 'changed\n');
    await snapshotOf(bulkhead, other);
    await restoreAll(bulkhead, other, other.newest ?? '');
    git(['update-ref', '-d', foreign], world.store);
    await restoreAll(bulkhead, session, session.newest ?? '');
  });

  it('keeps a branch of the clone whose name stands where a ref of ours is', async () => {
    const session = await newSession('Branch names');
    git(['commit', '--quiet', '--allow-empty', '--message', 'work'], cloneOf(session));
    git(['branch', 'HEAD/x'], cloneOf(session));
    const tip = gitLine(['rev-parse', 'refs/heads/HEAD/x'], cloneOf(session));
    await bulkhead.removeSession(session.id, { force: true });
    assert.equal(ref(`refs/bulkhead/lost/${session.id}/${tip}`), tip);
  });

  it('leaves a whole store and the old or the new snapshot when a checkpoint is killed at any moment', async function () {
    this.timeout(sample(120_000, 1_200_000));
    const random = new SeededRandom(seed());
    const session = await newSession('Killed');
    const clone = cloneOf(session);
    const args = ['checkpoint', '--storage', world.storage, '--session', session.id];
    let longest = 0;
    let killed = 0;
    for (let round = 0; round <= KILLS; round++) {
      for (let file = 0; file < 5; file++) {
        write(clone, `folder ${String(file)}/${String(round)}.txt`, `${String(round)}\n`);
      }
      const before = ref(session.shadowRef);
      const started = performance.now();
      const run = await runCli(args, {
        cwd: world.repo.dir,
        env: world.environment,
        onStart: (child) => {
          // The first run tells how long one takes.
          if (round > 0) {
            setTimeout(() => child.kill('SIGKILL'), random.fraction() * longest * 1.3);
          }
        },
      });
      longest = Math.max(longest, performance.now() - started);
      killed += run.signal === 'SIGKILL' ? 1 : 0;
      const after = ref(session.shadowRef);
      if (after !== before) {
        assert.equal(ref(`${after}^`), before, `round ${String(round)}: the snapshot follows the one before`);
        assert.equal(contentAt(world.store, after, `folder 4/${String(round)}.txt`).toString(), `${String(round)}\n`);
      }
      fsck(world.store);
    }
    console.log(`      ${String(killed)} of ${String(KILLS)} were killed before their end`);
    const run = await runCli(args, { cwd: world.repo.dir, env: world.environment });
    assert.equal(run.code, 0, run.story);
    const oracle = new Oracle({ objects: [join(world.store, 'objects')] });
    const expected = oracle.tree({ workTree: clone, baseTree: session.base?.tree ?? '', headTree: headTreeOf(clone) });
    assert.equal(treeOf(world.store, session.shadowRef), expected);
    fsck(world.store);
  });

  it('leaves no half of a session when its making is killed, and makes the next one', async function () {
    this.timeout(sample(60_000, 600_000));
    const random = new SeededRandom(seed());
    for (let round = 0; round < sample(4, 40); round++) {
      await runCli(['session', 'new', '--storage', world.storage, '--name', `Killed ${String(round)}`], {
        cwd: world.repo.dir,
        env: world.environment,
        onStart: (child) => {
          setTimeout(() => child.kill('SIGKILL'), 100 + random.fraction() * 600);
        },
      });
      for (const session of await bulkhead.sessions({ all: true })) {
        assert.equal(session.state, 'ready');
        assert.ok(session.snapshots > 0);
        assert.equal(gitLine(['status', '--porcelain'], cloneOf(session)), '');
      }
    }
    await newSession('After all');
    fsck(world.store);
  });

  describe('of a record', () => {
    const cases: readonly (readonly [string, (session: Session, stored: string) => string, string])[] = [
      ['corrupt', () => 'no JSON at all', 'damaged'],
      ['truncated', (_session, stored) => stored.slice(0, stored.length / 2), 'damaged'],
      ['of a later version', (_session, stored) => stored.replace('"format": 1', '"format": 99'), 'newer'],
      ['of another session', (session, stored) => stored.replace(session.id, 'aaaaaaaaaaaa'), 'damaged'],
    ];
    for (const [name, damage, state] of cases) {
      it(`shows a session whose record is ${name} as ${state}, lists its snapshots, and deletes nothing`, async () => {
        const [session, other] = [await newSession('Damaged'), await newSession('Whole')];
        write(cloneOf(session), 'a.txt', 'changed\n');
        const snapshot = await snapshotOf(bulkhead, session);
        const record = `refs/bulkhead/records/${session.id}`;
        const present = filesIn(cloneOf(session));
        git(
          ['update-ref', record, putBlob(damage(session, git(['cat-file', 'blob', record], world.store).toString()))],
          world.store,
        );
        const damaged = ref(record);
        const shown = await bulkhead.session(session.id);
        assert.deepEqual([shown.state, shown.newest, shown.snapshots], [state, snapshot, 2]);
        assert.notEqual(shown.reason, null);
        assert.deepEqual((await bulkhead.sessions()).map(({ id }) => id).sort(), [session.id, other.id].sort());
        assert.deepEqual(
          (await bulkhead.snapshots({ session: session.id })).map(({ oid }) => oid),
          [snapshot, session.newest],
        );
        const attempts = [
          () => checkpoint(bulkhead, session),
          () => restoreAll(bulkhead, session, snapshot),
          () => bulkhead.removeSession(session.id, { force: state === 'newer' }),
          () => bulkhead.renameSession(session.id, 'New'),
        ];
        for (const attempt of attempts) {
          assert.ok(['damaged', 'notFound', 'refused'].includes((await failure(attempt())).kind));
        }
        assert.equal(ref(record), damaged);
        const told = world.warnings.filter((warning) => warning.includes('newer version'));
        assert.equal(told.length, state === 'newer' ? 1 : 0, 'once, not at each list');
        assert.match(told[0] ?? session.id, new RegExp(`${session.id}(.*Update Bulkhead|$)`));
        assert.deepEqual(filesIn(cloneOf(session)), present);
        write(cloneOf(other), 'a.txt', 'changed\n');
        await snapshotOf(bulkhead, other);
        const rescued = await bulkhead.createSession({
          name: 'Rescued',
          from: { kind: 'session', session: session.id },
        });
        assert.equal(read(cloneOf(rescued), 'a.txt'), 'changed\n');
        if (state === 'damaged') {
          // Told twice, she gets rid of it: the folder as it is goes to the trash, and nothing else.
          const { trashed } = await bulkhead.removeSession(session.id, { force: true });
          assert.equal((await bulkhead.session(session.id)).state, 'trashed');
          assert.deepEqual(filesIn(join(world.storage, 'trash', trashed ?? '', basename(cloneOf(session)))), present);
          assert.equal(ref(session.shadowRef), snapshot);
          assert.equal(ref(`refs/bulkhead/lost/${session.id}/${damaged}`), damaged, 'the damaged record is kept');
        }
      });
    }
  });

  it('keeps a session that nobody touched for eight days', async () => {
    const session = await newSession('Idle');
    const old = Date.now() / 1000 - 8 * 86_400;
    utimesSync(dirname(cloneOf(session)), old, old);
    assert.equal((await bulkhead.session(session.id)).state, 'ready');
  });

  it('shows what is missing as what it is, lists the snapshots, and cleans a session without a folder', async () => {
    const [gone, orphan, whole] = [await newSession('Gone'), await newSession('Orphan'), await newSession('Whole')];
    write(cloneOf(gone), 'a.txt', 'only in a snapshot\n');
    const snapshot = await snapshotOf(bulkhead, gone);
    rmSync(cloneOf(gone), { recursive: true });
    const orphanFolder = dirname(cloneOf(orphan));
    for (const kind of ['records', 'sessions', 'bases']) {
      git(['update-ref', '-d', `refs/bulkhead/${kind}/${orphan.id}`], world.store);
    }
    assert.deepEqual(
      (await bulkhead.sessions()).map(({ id }) => id).sort(),
      [gone.id, whole.id].sort(),
      'a young folder may be one that is being made',
    );
    const old = Date.now() / 1000 - 2 * 3600;
    utimesSync(orphanFolder, old, old);
    const states = new Map((await bulkhead.sessions()).map(({ id, state }) => [id, state]));
    assert.deepEqual(
      [states.get(gone.id), states.get(orphan.id), states.get(whole.id)],
      ['missing', 'orphaned', 'ready'],
    );
    for (const session of [gone, orphan]) {
      assert.equal((await failure(checkpoint(bulkhead, session))).kind, 'notFound');
    }
    const rescued = await bulkhead.createSession({ name: 'Rescued', from: { kind: 'snapshot', oid: snapshot } });
    assert.equal(read(cloneOf(rescued), 'a.txt'), 'only in a snapshot\n');
    await bulkhead.removeSession(gone.id, { force: false });
    assert.equal((await bulkhead.session(gone.id)).state, 'trashed');
    assert.equal(ref(gone.shadowRef), snapshot);
    assert.ok(existsSync(orphanFolder));
    assert.equal((await failure(bulkhead.removeSession(orphan.id, { force: false }))).code, 'would-lose');
    const { trashed } = await bulkhead.removeSession(orphan.id, { force: true });
    assert.equal(existsSync(orphanFolder), false);
    assert.equal(
      read(join(world.storage, 'trash', trashed ?? '', basename(cloneOf(orphan))), 'a.txt'),
      'one\ntwo\nthree\n',
    );
    assert.deepEqual((await bulkhead.sessions()).map(({ name }) => name).sort(), ['Rescued', 'Whole']);
  });

  it('does not delete the last session, or one with work in it, without being told twice', async () => {
    const session = await newSession('Last');
    assert.equal((await failure(bulkhead.removeSession(session.id, { force: false }))).code, 'would-lose');
    await newSession('Another');
    write(cloneOf(session), 'a.txt', 'work\n');
    assert.equal((await failure(bulkhead.removeSession(session.id, { force: false }))).code, 'would-lose');
    assert.ok(existsSync(cloneOf(session)));
    const { snapshot } = await bulkhead.removeSession(session.id, { force: true });
    assert.equal(contentAt(world.store, snapshot ?? '', 'a.txt').toString(), 'work\n');
    assert.equal(readdirSync(join(world.storage, 'trash')).length, 1);
  });

  it('leaves a session as it is when its folder cannot be moved to the trash', async () => {
    const session = await newSession('Stuck');
    rmSync(join(world.storage, 'trash'), { recursive: true });
    writeFileSync(join(world.storage, 'trash'), 'in the way');
    assert.equal((await failure(bulkhead.removeSession(session.id, { force: true }))).kind, 'io');
    const shown = await bulkhead.session(session.id);
    assert.equal(shown.state, 'ready');
    write(cloneOf(shown), 'a.txt', 'goes on\n');
    await snapshotOf(bulkhead, session);
  });

  it('stops and says so when a shadow ref cannot be read', async () => {
    const session = await newSession('Torn');
    await world.close();
    writeFileSync(join(world.store, session.shadowRef), '');
    bulkhead = await world.open();
    write(cloneOf(session), 'a.txt', 'again\n');
    assert.equal((await failure(checkpoint(bulkhead, session))).kind, 'damaged');
    assert.equal(read(join(world.store), session.shadowRef), '');
  });

  it('records nothing of a work tree that is gone while it is looked at', async () => {
    const session = await newSession('Vanished');
    const clone = cloneOf(session);
    await checkpoint(bulkhead, session, 'a.txt');
    const before = ref(session.shadowRef);
    renameSync(clone, `${clone} away`);
    assert.equal((await failure(checkpoint(bulkhead, session, 'a.txt'))).kind, 'notFound');
    renameSync(`${clone} away`, clone);
    // The folder goes away after it was found to be there.
    // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called with its own object
    const look = WorkTree.prototype.look;
    WorkTree.prototype.look = function (path) {
      if (existsSync(clone)) {
        renameSync(clone, `${clone} away`);
      }
      return look.call(this, path);
    };
    try {
      assert.equal((await failure(checkpoint(bulkhead, session, 'a.txt', 'src'))).code, 'work-tree-gone');
    } finally {
      WorkTree.prototype.look = look;
      renameSync(`${clone} away`, clone);
    }
    assert.equal(ref(session.shadowRef), before);
    assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
  });

  it('goes on recording when the agent has deleted .git, and keeps what was tracked tracked', async () => {
    const session = await newSession('No git');
    const clone = cloneOf(session);
    write(clone, '.gitignore', '*.log\n');
    write(clone, 'kept.log', 'tracked although ignored\n');
    git(['add', '--all', '--force'], clone);
    git(['commit', '--quiet', '--message', 'by the agent'], clone);
    const commit = gitLine(['rev-parse', 'HEAD'], clone);
    const before = await snapshotOf(bulkhead, session);
    rmSync(join(clone, '.git'), { recursive: true });
    write(clone, 'a.txt', 'without git\n');
    const after = await snapshotOf(bulkhead, session);
    assert.equal(contentAt(world.store, after, 'a.txt').toString(), 'without git\n');
    assert.equal(contentAt(world.store, after, 'kept.log').toString(), 'tracked although ignored\n');
    write(clone, 'kept.log', 'saved alone\n');
    assert.equal(
      contentAt(world.store, await snapshotOf(bulkhead, session, 'kept.log'), 'kept.log').toString(),
      'saved alone\n',
    );
    assert.equal(tryGit(['cat-file', '-e', commit], world.store).code, 0, 'the commit of the agent is safe');
    await restoreAll(bulkhead, session, before);
    assert.equal(read(clone, 'kept.log'), 'tracked although ignored\n');
    const preflight = await bulkhead.preflightRemoval(session.id);
    assert.notEqual(preflight.doubt, null);
    await bulkhead.removeSession(session.id, { force: true });
  });

  it('goes on when commits of the agent cannot be fetched, and refuses to delete without force', async () => {
    const session = await newSession('Corrupt');
    const clone = cloneOf(session);
    write(clone, 'a.txt', 'committed\n');
    git(['commit', '--quiet', '--all', '--message', 'by the agent'], clone);
    const tree = gitLine(['rev-parse', 'HEAD^{tree}'], clone);
    unlinkSync(join(clone, '.git', 'objects', tree.slice(0, 2), tree.slice(2)));
    const snapshot = await snapshotOf(bulkhead, session);
    assert.equal(contentAt(world.store, snapshot, 'a.txt').toString(), 'committed\n');
    assert.notEqual((await bulkhead.preflightRemoval(session.id)).doubt, null);
    await bulkhead.removeSession(session.id, { force: true });
    fsck(world.store);
  });

  it('skips a file that vanishes while it is read, and records the others', async () => {
    const session = await newSession('Vanishing');
    const clone = cloneOf(session);
    write(clone, 'stays.txt', 'stays\n');
    write(clone, 'vanishes.txt', 'vanishes\n');
    // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called with its own object
    const original = WorkTree.prototype.read;
    WorkTree.prototype.read = function (path, maxBytes) {
      rmSync(join(clone, displayPath(path)), { force: path !== 'vanishes.txt', recursive: false });
      write(clone, 'stays.txt', 'stays\n');
      return original.call(this, path, maxBytes);
    };
    try {
      const { skipped, changed } = await checkpoint(bulkhead, session);
      assert.deepEqual(skipped, [{ path: 'vanishes.txt', reason: 'vanished' }]);
      assert.deepEqual(
        changed.map(({ path }) => path),
        ['stays.txt'],
      );
    } finally {
      WorkTree.prototype.read = original;
    }
  });

  it('survives any number of files that git cannot convert, and records those that vanish meanwhile as they were read', async () => {
    const session = await newSession('Converted');
    const clone = cloneOf(session);
    write(clone, '.gitattributes', '*.u16 text working-tree-encoding=UTF-16\n');
    await checkpoint(bulkhead, session);
    for (let file = 0; file < 40; file++) {
      write(clone, `${String(file)}.u16`, 'abc');
    }
    const { skipped, snapshot } = await checkpoint(bulkhead, session);
    assert.deepEqual([skipped.length, snapshot], [40, null]);

    const { HashObject } = await import('../../src/git/workTreeQueries');
    const { prototype } = HashObject;
    // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called with its own object
    const original = prototype.write;
    prototype.write = function (path) {
      rmSync(join(clone, displayPath(path)), { force: true });
      return original.call(this, path);
    };
    write(clone, 'last.u16', Buffer.from('\ufefflast\n', 'utf16le'));
    try {
      const oid = await snapshotOf(bulkhead, session, 'last.u16');
      assert.equal(contentAt(world.store, oid, 'last.u16').toString(), 'last\n');
    } finally {
      prototype.write = original;
    }
  });
});
