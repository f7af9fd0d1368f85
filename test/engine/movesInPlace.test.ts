import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock';
import { silentLog } from '../../src/base/log';
import { LooseRefs } from '../../src/git/looseRefs';
import type { RefMove, RefUpdateResult } from '../../src/git/updateRef';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { readOnly, skipWithoutMounts, unmountAll } from '../support/mounts';
import { repo } from '../support/repo';
import { ShiftedClock } from '../support/shiftedClock';
import { sample } from '../support/soak';
import { temporaryFolder } from '../support/temporary';

const REF = 'refs/bulkhead/sessions/one';

/** A ref that has a file of its own is moved by us, in git's own way; git does whatever is not as plain as that. */
describe('moves of a ref in place', () => {
  useOwnHome();
  let store: string;
  let refs: LooseRefs;
  let first: string;
  let second: string;

  beforeEach('a store with one ref', () => {
    const folder = join(temporaryFolder('refs'), 'repo');
    const made = repo(folder).file('a.txt', 'one\n').commit('first').file('a.txt', 'two\n').commit('second');
    store = join(folder, '.git');
    first = made.resolve('HEAD^');
    second = made.resolve('HEAD');
    git(['update-ref', REF, first], store);
    refs = new LooseRefs({ gitDir: store, fsync: false, clock: systemClock, log: silentLog });
  });

  afterEach(async () => {
    await refs.stop();
    unmountAll();
    assert.equal(existsSync(join(store, `${REF}.lock`)), false, 'no lock file stays');
    assert.deepEqual(standing(), [], 'nothing stands by any more');
  });

  const move = (from: string, to: string): Promise<RefUpdateResult | undefined> => refs.move([{ ref: REF, from, to }]);
  const standing = (): string[] => readdirSync(join(store, 'objects')).filter((name) => name.startsWith('tmp_'));
  const now = (): string => gitLine(['rev-parse', REF], store);

  it('are read by git, and tell where the ref stands when it stands elsewhere', async () => {
    assert.deepEqual(await move(first, second), { kind: 'done' });
    assert.equal(readFileSync(join(store, REF), 'latin1'), `${second}\n`);
    assert.equal(now(), second);
    assert.deepEqual(await move(first, second), { kind: 'moved', ref: REF, actual: second });
    assert.equal(now(), second);
  });

  it('use a file that stands by, and leave no second name of it', async () => {
    const clock = new ShiftedClock();
    refs = new LooseRefs({ gitDir: store, fsync: false, clock, log: silentLog });
    assert.deepEqual(await move(first, second), { kind: 'done' });
    clock.pass(1000);
    await refs.idle();
    const { ino } = statSync(join(store, 'objects', standing()[0] ?? ''));
    assert.deepEqual(await move(second, first), { kind: 'done' });
    const after = statSync(join(store, REF));
    assert.deepEqual([after.ino, after.nlink], [ino, 1]);
    assert.equal(now(), first);
  });

  it('wait for a lock file that is there for a moment only', async () => {
    const lockFile = join(store, `${REF}.lock`);
    writeFileSync(lockFile, '');
    const moving = move(first, second);
    void setImmediate().then(() => {
      rmSync(lockFile);
    });
    assert.deepEqual(await moving, { kind: 'done' });
  });

  it('leave a lock file alone that somebody else holds, and let git tell of it', async () => {
    const lockFile = join(store, `${REF}.lock`);
    writeFileSync(lockFile, `${second}\n`);
    utimesSync(lockFile, 1000, 1000);
    assert.equal(await move(first, second), undefined);
    assert.equal(readFileSync(lockFile, 'latin1'), `${second}\n`);
    assert.equal(now(), first);
    rmSync(lockFile);
  });

  const gits: readonly (readonly [string, () => unknown, ((move: RefMove) => RefMove)?])[] = [
    ['the ref is packed', () => git(['pack-refs', '--all', '--prune'], store)],
    ['the object is in a pack only', () => git(['repack', '-a', '-d', '-q'], store)],
    ['the file holds no oid', () => writeFileSync(join(store, REF), `${first.slice(0, 20)}\n`)],
    ['the ref is to be made', () => git(['update-ref', '-d', REF], store), (wanted) => ({ ...wanted, from: null })],
    ['the ref is to be deleted', () => undefined, (wanted) => ({ ...wanted, to: null })],
    ['the ref is only to be checked', () => undefined, (wanted) => ({ ...wanted, to: wanted.from })],
    ['the object is not there', () => undefined, (wanted) => ({ ...wanted, to: '1'.repeat(40) })],
  ];
  for (const [what, arrange, change = (wanted: RefMove) => wanted] of gits) {
    it(`are git's where ${what}`, async () => {
      arrange();
      const before = spawnSync('git', ['show-ref'], { cwd: store }).stdout.toString();
      assert.equal(await refs.move([change({ ref: REF, from: first, to: second })]), undefined);
      assert.equal(spawnSync('git', ['show-ref'], { cwd: store }).stdout.toString(), before);
    });
  }

  it('are for git where nothing can be written: it tells why', async function () {
    const writable = readOnly(store) ?? skipWithoutMounts(this);
    assert.equal(await move(first, second), undefined);
    writable();
    assert.deepEqual(await move(first, second), { kind: 'done' });
  });

  it('do not follow a symbolic ref to what it names', async () => {
    const other = 'refs/bulkhead/sessions/other';
    git(['update-ref', other, first], store);
    for (const link of [
      () => git(['symbolic-ref', REF, other], store),
      () => {
        rmSync(join(store, REF));
        symlinkSync('other', join(store, REF));
      },
    ]) {
      link();
      assert.equal(await move(first, second), undefined);
      assert.equal(gitLine(['rev-parse', other], store), first);
    }
  });

  it('lose nothing while git packs the refs again and again', async function () {
    this.timeout(sample(60_000, 600_000));
    const folder = temporaryFolder('packing');
    const packing = spawn(
      'sh',
      [
        '-c',
        `while kill -0 $PPID && [ ! -e '${folder}/stop' ]; do git pack-refs --all --prune && echo >> '${folder}/packed'; done`,
      ],
      { cwd: store, stdio: 'ignore' },
    );
    const ended = once(packing, 'exit');
    let moves = 0;
    let stands = first;
    for (; moves < sample(400, 10_000) || !existsSync(join(folder, 'packed')); moves++) {
      const next = stands === first ? second : first;
      const result = await move(stands, next);
      if (result === undefined) {
        // By a new process each time: one that lives on does not notice that the packed refs were packed twice in a second.
        const { status, stderr } = spawnSync('git', ['update-ref', REF, next, stands], { cwd: store });
        if (/\.lock': File exists/.test(stderr.toString())) continue;
        assert.equal(status, 0, `move ${String(moves)}: ${stderr.toString()}`);
      } else {
        assert.deepEqual(result, { kind: 'done' }, `move ${String(moves)}`);
      }
      stands = next;
    }
    writeFileSync(join(folder, 'stop'), '');
    await ended;
    assert.equal(now(), stands);
    const packed = readFileSync(join(folder, 'packed'), 'utf8').length;
    console.log(`      ${String(moves)} moves beside ${String(packed)} times of packing`);
  });
});
