import assert from 'node:assert/strict';
import fs, { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { silentLog } from '../../src/base/log';
import { createHost } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';
import { useOwnHome } from '../support/environment';
import { EngineWorld, fsck, cloneOf, pathOf, write } from './world';

describe('power loss', () => {
  useOwnHome();

  interface Flushed {
    /** How often git flushed something while a session was made. */
    readonly byGit: number;
    /** What we flushed while one file was saved, relative to the store. */
    readonly byUs: readonly string[];
    readonly ref: string;
  }

  async function flushes(fsync: boolean, failing?: string): Promise<Flushed> {
    const world = new EngineWorld();
    const traces = join(world.folder, 'traces');
    mkdirSync(traces);
    const tracing = join(world.folder, 'tracing git');
    const plain = await createHost({ log: silentLog, product: 'test', environment: world.environment });
    const quoted = (text: string): string => `'${text}'`;
    writeFileSync(tracing, `#!/bin/sh\nGIT_TRACE2_EVENT=${quoted(traces)} exec ${quoted(plain.git.path)} "$@"\n`);
    chmodSync(tracing, 0o755);
    await world.open();
    await world.close();
    const host = await createHost({
      log: silentLog,
      product: 'test',
      gitPath: tracing,
      settings: { fsync },
      environment: world.environment,
    });
    const bulkhead = await openBulkhead(host, { repository: world.repo.dir, storage: world.storage, create: false });
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    write(cloneOf(session), 'a.txt', 'saved\n');
    const byUs: string[] = [];
    const original = fs.fsyncSync;
    fs.fsyncSync = (descriptor) => {
      const path = relative(world.store, readlinkSync(`/proc/self/fd/${String(descriptor)}`));
      byUs.push(path);
      if (path === failing) {
        throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' });
      }
      original(descriptor);
    };
    try {
      await bulkhead.checkpoint({ session: session.id, trigger: 'save', agent: 'user', paths: [pathOf('a.txt')] });
    } finally {
      fs.fsyncSync = original;
    }
    await bulkhead.shutdown();
    fsck(world.store);
    const byGit = readdirSync(traces)
      .flatMap((name) => readFileSync(join(traces, name), 'utf8').split('\n'))
      .filter((line) => /"category":"fsync".*"key":"fsync\/hardware-flush"/.test(line))
      .map((line) => Number((JSON.parse(line) as { value: string }).value))
      .reduce((sum, value) => sum + value, 0);
    return { byGit, byUs, ref: session.shadowRef };
  }

  it('flushes the ref as well as the objects when bulkhead.store.fsync is on, and leaves both to the system when it is off', async function () {
    const [version = 0, minor = 0] = /(\d+)\.(\d+)/
      .exec((await createHost({ log: silentLog, product: 'test' })).git.version.text)!
      .slice(1)
      .map(Number);
    if (version === 2 && minor < 36) {
      // Older ones flush no refs.
      this.skip();
    }
    if (!existsSync('/proc/self/fd')) {
      console.log('      skipped: this system does not tell which file a descriptor belongs to');
      this.skip();
    }
    const off = await flushes(false);
    assert.deepEqual(off.byUs, []);
    const on = await flushes(true);
    // The ref has moved by then: whoever moved it has to know.
    assert.equal((await flushes(true, dirname(on.ref))).byUs.at(-1), dirname(on.ref));
    assert.ok(on.byGit > off.byGit, `${String(on.byGit)} against ${String(off.byGit)} flushes by git`);
    // Blob, tree and commit, each with its folder, before the ref with its own.
    assert.equal(on.byUs.filter((path) => /^objects\/tmp_obj_/.test(path)).length, 3);
    assert.equal(on.byUs.filter((path) => /^objects\/[0-9a-f]{2}$/.test(path)).length, 3);
    assert.deepEqual(on.byUs.slice(-2), [`${on.ref}.lock`, dirname(on.ref)]);
    // Folders that had to be made are named in the one above.
    assert.equal(on.byUs.filter((path) => path !== 'objects').length, 8);
  });
});
