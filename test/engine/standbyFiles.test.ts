import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loosePath } from '../../src/core/looseObject';
import { LooseObjects } from '../../src/git/looseObjects';
import { useOwnHome } from '../support/environment';
import { git } from '../support/git';
import { fillDisk, skipWithoutMounts, smallDisk, unmountAll } from '../support/mounts';
import { ShiftedClock } from '../support/shiftedClock';
import { temporaryFolder } from '../support/temporary';

const QUIET = 20;
const HALF_AN_HOUR = 30 * 60_000;

describe('files that stand by for the next objects', () => {
  useOwnHome();
  let clock: ShiftedClock;
  let store: string;
  let objects: LooseObjects;

  const open = (folder: string): void => {
    store = join(folder, 'store.git');
    mkdirSync(store);
    git(['init', '--quiet', '--bare'], store);
    clock = new ShiftedClock();
    objects = new LooseObjects({ objectsFolder: join(store, 'objects'), format: 'sha1', fsync: false, clock });
  };

  beforeEach(() => {
    open(temporaryFolder('standby'));
  });

  afterEach(async () => {
    await objects.stop();
    assert.deepEqual(standing(), [], 'none is left behind');
    git(['fsck', '--strict'], store);
    unmountAll();
  });

  const blob = (content: string): string => objects.write('blob', Buffer.from(content));
  const inodeOf = (path: string): number => statSync(join(store, 'objects', path)).ino;
  const standing = (): string[] => readdirSync(join(store, 'objects')).filter((name) => name.startsWith('tmp_obj_'));

  /** It has been quiet: they are made, in another thread. */
  async function afterQuiet(): Promise<void> {
    clock.pass(QUIET);
    await objects.idle();
  }

  /** As many as a burst of that size takes. */
  async function afterBurst(size: number): Promise<void> {
    for (let each = 0; each < size; each++) blob(`burst ${String(each)}\n`);
    assert.deepEqual(standing(), []);
    await afterQuiet();
    assert.equal(standing().length, size);
  }

  it('are made when it is quiet, and become the next objects', async () => {
    await afterBurst(3);
    const inodes = standing().map(inodeOf);
    const oids = ['one\n', 'two\n', 'three\n'].map(blob);
    assert.deepEqual(oids.map((oid) => inodeOf(loosePath(oid))).sort(), inodes.sort());
    assert.deepEqual(standing(), []);
    assert.equal(statSync(join(store, 'objects', loosePath(oids[0] ?? ''))).mode & 0o777, 0o444);
    assert.equal(git(['cat-file', 'blob', oids[1] ?? ''], store).toString(), 'two\n');
    await afterQuiet();
    assert.equal(standing().length, 3);
  });

  it('are not made between the objects of one burst', async () => {
    blob('one\n');
    clock.pass(QUIET - 1);
    blob('two\n');
    clock.pass(QUIET - 1);
    assert.deepEqual(standing(), []);
    clock.pass(1);
    await objects.idle();
    assert.equal(standing().length, 2);
  });

  it('may be swept by somebody: the object is written all the same', async () => {
    await afterBurst(2);
    for (const name of standing()) rmSync(join(store, 'objects', name));
    const oid = blob('one\n');
    assert.equal(git(['cat-file', 'blob', oid], store).toString(), 'one\n');
  });

  it('go before anybody takes them for left over', async () => {
    await afterBurst(2);
    clock.pass(HALF_AN_HOUR - 1);
    assert.equal(standing().length, 2);
    clock.pass(1);
    assert.deepEqual(standing(), []);
    // As after a start.
    blob('one\n');
    await afterQuiet();
    assert.equal(standing().length, 2);
  });

  it('are of no help on a full disk, which is told as ever', async function () {
    const disk = smallDisk(2) ?? skipWithoutMounts(this);
    open(disk);
    await afterBurst(1);
    const free = fillDisk(disk);
    assert.throws(() => objects.write('blob', randomBytes(100_000)), { code: 'io-enospc' });
    assert.deepEqual(standing(), []);
    free();
    blob('goes on\n');
  });
});
