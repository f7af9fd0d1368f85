import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../src/base/log';
import { createHost } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { cloneOf, EngineWorld, fsck } from './world';

describe('a repository that is being repacked', () => {
  useOwnHome();

  it('is cloned again, and in the end by asking it for its objects, instead of failing on a file that went away', async function () {
    if (process.platform === 'win32') {
      this.skip();
    }
    const world = new EngineWorld();
    const plain = await createHost({ log: silentLog, product: 'test', environment: world.environment });
    // What git 2.39 says when gc removes a loose object under a local clone; each clone meets it until it is told not to go by files.
    const calls = join(world.folder, 'clones');
    writeFileSync(calls, '');
    const repacked = join(world.folder, 'git during a repack');
    writeFileSync(
      repacked,
      [
        '#!/bin/sh',
        `case " $* " in *" clone "*) echo "$*" >> '${calls}';; esac`,
        'case " $* " in',
        '  *" --no-local "*) ;;',
        `  *" clone "*) for target; do :; done; mkdir -p "$target"; touch "$target/half";`,
        `     echo "fatal: failed to copy file to '$target/objects/3d/04264e': No such file or directory" >&2; exit 128;;`,
        'esac',
        `exec '${plain.git.path}' "$@"`,
      ].join('\n'),
    );
    chmodSync(repacked, 0o755);
    const host = await createHost({
      log: silentLog,
      product: 'test',
      gitPath: repacked,
      environment: world.environment,
    });
    const bulkhead = await openBulkhead(host, { repository: world.repo.dir, storage: world.storage, create: true });
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    assert.equal(gitLine(['rev-parse', 'HEAD'], cloneOf(session)), gitLine(['rev-parse', 'HEAD'], world.repo.dir));
    assert.equal(gitLine(['status', '--porcelain'], cloneOf(session)), '');
    git(['fsck', '--strict'], cloneOf(session));
    // Store, donor and clone, three times each.
    assert.equal(readFileSync(calls, 'utf8').trim().split('\n').length, 9);
    await bulkhead.shutdown();
    fsck(world.store);
  });
});
