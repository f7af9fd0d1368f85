import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Deferred } from '../../src/base/async';
import { silentLog } from '../../src/base/log';
import { createHost } from '../../src/session/host';
import { LeftRefLocks } from '../../src/session/leftRefLocks';
import { ownedName } from '../../src/session/ownedNames';
import { useOwnHome } from '../support/environment';
import { temporaryFolder } from '../support/temporary';

describe('a lock file of git’s beside a window that was killed', () => {
  useOwnHome();
  let folder: string;
  let lockFile: string;
  let leftLocks: LeftRefLocks;

  beforeEach('one process was there and is dead', async () => {
    folder = join(temporaryFolder('left'), 'locks');
    mkdirSync(folder);
    // A name as a process leaves it, of one that has ended.
    const owner = spawnSync(process.execPath, ['-p', 'process.pid']).stdout.toString().trim();
    const host = await createHost({ log: silentLog, product: 'test' });
    const own = await ownedName('git');
    const dead = own.split('-').map((part) => (part === String(process.pid) ? owner : part));
    writeFileSync(join(folder, dead.join('-')), '');
    lockFile = join(folder, 'packed-refs.lock');
    writeFileSync(lockFile, '');
    leftLocks = new LeftRefLocks(host, folder);
    const now = Date.now() / 1000;
    utimesSync(join(folder, dead.join('-')), now - 60, now - 60);
    utimesSync(lockFile, now - 30, now - 30);
  });

  it('is removed, because only that one can have left it', async () => {
    assert.equal(await leftLocks.remove(lockFile), true);
    assert.equal(existsSync(lockFile), false);
  });

  it('stays while a git of this process moves refs, because it may be its own', async () => {
    const transaction = new Deferred<null>();
    const moving = leftLocks.during(() => transaction.promise);
    assert.equal(await leftLocks.remove(lockFile), false);
    assert.equal(existsSync(lockFile), true);
    transaction.resolve(null);
    await moving;
    assert.equal(await leftLocks.remove(lockFile), true);
  });
});
