import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock';
import { BulkheadError } from '../../src/base/errors';
import { silentLog } from '../../src/base/log';
import { CatFile } from '../../src/git/catFile';
import { findGit, type Git } from '../../src/git/git';
import { type RefMove, type RefUpdateResult, UpdateRef } from '../../src/git/updateRef';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { fillDisk, readOnly, skipWithoutMounts, smallDisk, unmountAll } from '../support/mounts';
import { repo } from '../support/repo';
import { temporaryFolder } from '../support/temporary';
import { cloneOf, EngineWorld, snapshotOf, write } from './world';

/** Each failure of a ref's move, provoked with a real git, is told from the others by facts: it decides what happens next. */
describe('faults of refs', () => {
  useOwnHome();
  const REF = 'refs/bulkhead/sessions/one';
  let program: Git;
  let store: string;
  let first: string;
  let second: string;
  let third: string;
  const used: { stop(): Promise<void> }[] = [];

  before(async () => {
    program = await findGit({
      path: null,
      forbidden: [],
      environment: process.env,
      clock: systemClock,
      log: silentLog,
    });
  });

  const makeStore = (folder: string): void => {
    const made = repo(folder).file('a.txt', 'one\n').commit('first').file('a.txt', 'two\n').commit('second');
    store = join(folder, '.git');
    first = made.resolve('HEAD^');
    second = made.resolve('HEAD');
    third = made.commitStaged('third').resolve('HEAD');
    git(['update-ref', REF, first], store);
  };

  beforeEach('a store with one ref', () => {
    makeStore(join(temporaryFolder('refs'), 'repo'));
  });

  afterEach(async () => {
    await Promise.all(used.splice(0).map((each) => each.stop()));
    unmountAll();
  });

  const move = (...moves: RefMove[]): Promise<RefUpdateResult> => {
    const reader = new CatFile(program, store);
    const refs = new UpdateRef(program, store, 'sha1', reader);
    used.push(reader, refs);
    return refs.move(moves);
  };
  const failure = async (work: Promise<unknown>): Promise<BulkheadError> => {
    const error = await work.then(
      (value) => assert.fail(`it has to fail, and gave ${JSON.stringify(value)}`),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof BulkheadError, String(error));
    return error;
  };
  const now = (ref = REF): string => gitLine(['rev-parse', ref], store);

  it('a lost race: moved by another, made by another, removed by another', async () => {
    assert.deepEqual(await move({ ref: REF, from: third, to: second }), { kind: 'moved', ref: REF, actual: first });
    assert.deepEqual(await move({ ref: REF, from: null, to: second }), { kind: 'moved', ref: REF, actual: first });
    git(['update-ref', '-d', REF], store);
    assert.deepEqual(await move({ ref: REF, from: first, to: second }), { kind: 'moved', ref: REF, actual: null });
  });

  it('a foreign lock file, fresh and old: its path and age are told, and it is left alone', async () => {
    const lockFile = join(store, `${REF}.lock`);
    for (const age of [0, 7200]) {
      writeFileSync(lockFile, '');
      const time = Date.now() / 1000 - age;
      utimesSync(lockFile, time, time);
      const result = await move({ ref: REF, from: first, to: second });
      assert.ok(result.kind === 'locked');
      assert.deepEqual([result.ref, result.lockFile], [REF, lockFile]);
      assert.ok(Math.abs(result.ageMs - age * 1000) < 60_000);
    }
    rmSync(lockFile);
    assert.deepEqual(await move({ ref: REF, from: first, to: second }), { kind: 'done' });
  });

  it('the lock file of the packed refs, which every deletion takes, is told by its own name', async () => {
    const lockFile = join(store, 'packed-refs.lock');
    writeFileSync(lockFile, '');
    const result = await move({ ref: REF, from: first, to: null });
    assert.ok(result.kind === 'locked');
    assert.deepEqual([result.ref, result.lockFile], ['packed-refs', lockFile]);
    assert.equal(now(), first);
  });

  it('a ref where a folder would be, and a folder of refs where a ref would be: a name clash that names the other one', async () => {
    git(['update-ref', 'refs/bulkhead/claims/one/deeper', first], store);
    const above = await failure(move({ ref: 'refs/bulkhead/claims/one', from: null, to: first }));
    const below = await failure(move({ ref: `${REF}/deeper`, from: null, to: first }));
    assert.deepEqual([above.code, below.code], ['ref-name-clash', 'ref-name-clash']);
    assert.ok(above.message.includes('refs/bulkhead/claims/one/deeper'), above.message);
    assert.ok(below.message.includes(REF), below.message);
    // Leftover empty folders are no clash.
    mkdirSync(join(store, 'refs/bulkhead/sessions/two/x'), { recursive: true });
    assert.deepEqual(await move({ ref: 'refs/bulkhead/sessions/two', from: null, to: first }), { kind: 'done' });
  });

  it('an object that the store does not have', async () => {
    const error = await failure(move({ ref: REF, from: first, to: '1'.repeat(40) }));
    assert.deepEqual([error.kind, error.code], ['git', 'object-missing']);
    assert.equal(now(), first);
  });

  it('a ref whose file holds no oid is damage, and not absence', async () => {
    for (const content of ['', 'no oid at all\n', `${first.slice(0, 20)}\n`]) {
      writeFileSync(join(store, REF), content);
      for (const from of [null, first]) {
        const error = await failure(move({ ref: REF, from, to: second }));
        assert.deepEqual(
          [error.kind, error.code],
          ['damaged', 'ref-damaged'],
          `${JSON.stringify(content)}: ${error.message}`,
        );
      }
    }
  });

  it('a full disk', async function () {
    const disk = smallDisk(2) ?? skipWithoutMounts(this);
    makeStore(join(disk, 'repo'));
    const free = fillDisk(disk);
    const error = await failure(move({ ref: REF, from: first, to: second }));
    assert.deepEqual([error.kind, error.code], ['io', 'io-enospc'], error.message);
    assert.equal(now(), first);
    free();
    assert.deepEqual(await move({ ref: REF, from: first, to: second }), { kind: 'done' });
  });

  it('a disk that is read-only', async function () {
    const writable = readOnly(store) ?? skipWithoutMounts(this);
    const error = await failure(move({ ref: REF, from: first, to: second }));
    assert.deepEqual([error.kind, error.code], ['io', 'io-eacces'], error.message);
    writable();
    assert.deepEqual(await move({ ref: REF, from: first, to: second }), { kind: 'done' });
  });

  it('no permission', async function () {
    const isRoot = process.getuid?.() === 0;
    if (isRoot && spawnSync('setpriv', ['--version']).status !== 0) {
      console.log('      skipped: root ignores permissions, and there is no setpriv to be somebody else');
      this.skip();
    }
    const asOther = join(temporaryFolder('other'), 'git');
    writeFileSync(
      asOther,
      // Only what writes runs as somebody else; the store is not hers, which git would refuse for another reason.
      `#!/bin/sh
case " $* " in *update-ref*) exec ${isRoot ? 'setpriv --reuid=65534 --clear-groups' : ''} git -c safe.directory='*' "$@";; esac
exec git "$@"
`,
    );
    chmodSync(asOther, 0o755);
    for (const folder of [join(store, '..', '..'), join(store, '..')]) {
      chmodSync(folder, 0o755);
    }
    chmodSync(join(store, 'refs', 'bulkhead', 'sessions'), 0o555);
    const before = program;
    try {
      program = await findGit({
        path: asOther,
        forbidden: [],
        environment: process.env,
        clock: systemClock,
        log: silentLog,
      });
      const error = await failure(move({ ref: REF, from: first, to: second }));
      assert.deepEqual([error.kind, error.code], ['io', 'io-eacces'], error.message);
      assert.equal(now(), first);
    } finally {
      program = before;
      chmodSync(join(store, 'refs', 'bulkhead', 'sessions'), 0o755);
    }
  });

  it("the lock of the packed refs in somebody else's hands when a restore ends: the claim goes as soon as it can", async function () {
    this.timeout(60_000);
    const world = new EngineWorld();
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Packed', from: { kind: 'head' } });
    write(cloneOf(session), 'a.txt', 'changed\n');
    await snapshotOf(bulkhead, session);
    const lockFile = join(world.store, 'packed-refs.lock');
    writeFileSync(lockFile, '');
    const { prototype } = UpdateRef;
    // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called with its own object
    const original = prototype.move;
    let refused = 0;
    prototype.move = async function (wanted) {
      const result = await original.call(this, wanted);
      if (result.kind === 'locked' && ++refused === 2) {
        rmSync(lockFile);
      }
      return result;
    };
    try {
      await bulkhead.restore({ session: session.id, target: session.newest ?? '', consent: 'all' });
    } finally {
      prototype.move = original;
    }
    assert.equal(refused, 2);
    assert.equal(gitLine(['for-each-ref', 'refs/bulkhead/claims'], world.store), '');
    write(cloneOf(session), 'a.txt', 'goes on\n');
    await snapshotOf(bulkhead, session, 'a.txt');
    assert.deepEqual(world.warnings, []);
    await world.close();
  });

  it('a hook that forbids every move of a ref, named in the configuration for all repositories, is not asked', async () => {
    const world = new EngineWorld();
    const hooks = join(world.home.home, 'hooks');
    mkdirSync(hooks);
    writeFileSync(join(hooks, 'reference-transaction'), `#!/bin/sh\necho asked >> '${hooks}/asked'\nexit 1\n`, {
      mode: 0o755,
    });
    writeFileSync(join(world.home.home, '.gitconfig'), `[core]\n\thooksPath = ${hooks}\n`);
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Hooked', from: { kind: 'head' } });
    rmSync(join(hooks, 'asked'), { force: true });
    write(cloneOf(session), 'a.txt', 'changed\n');
    await snapshotOf(bulkhead, session);
    write(cloneOf(session), 'a.txt', 'changed again\n');
    await snapshotOf(bulkhead, session, 'a.txt');
    await bulkhead.restore({ session: session.id, target: session.newest ?? '', consent: 'all' });
    assert.equal(spawnSync('cat', [join(hooks, 'asked')]).stdout.toString(), '');
    // The hook works: plain git asks it.
    const plain = spawnSync('git', ['update-ref', 'refs/heads/x', 'HEAD'], {
      cwd: world.repo.dir,
      env: world.environment,
    });
    assert.notEqual(plain.status, 0);
    await world.close();
  });
});
