import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../src/base/log';
import { createHost } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';
import { useOwnHome } from '../support/environment';
import { EngineWorld, fsck, cloneOf, pathOf, write } from './world';

describe('power loss', () => {
  useOwnHome();

  /** How often git flushed something to the disk while one file was saved. */
  async function flushes(fsync: boolean): Promise<number> {
    const world = new EngineWorld();
    const traces = join(world.folder, 'traces');
    mkdirSync(traces);
    const tracing = join(world.folder, 'tracing git');
    const plain = await createHost({ log: silentLog, product: 'test', environment: world.environment });
    const quoted = (text: string): string => `'${text}'`;
    writeFileSync(tracing, `#!/bin/sh\nGIT_TRACE2_EVENT=${quoted(traces)} exec ${quoted(plain.git.path)} "$@"\n`);
    chmodSync(tracing, 0o755);
    const session = await (await world.open()).createSession({ from: { kind: 'head' } });
    await world.close();
    const host = await createHost({
      log: silentLog,
      product: 'test',
      gitPath: tracing,
      settings: { fsync },
      environment: world.environment,
    });
    const bulkhead = await openBulkhead(host, { repository: world.repo.dir, storage: world.storage, create: false });
    write(cloneOf(session), 'a.txt', 'saved\n');
    await bulkhead.checkpoint({ session: session.id, trigger: 'save', agent: 'user', paths: [pathOf('a.txt')] });
    await bulkhead.shutdown();
    fsck(world.store);
    return readdirSync(traces)
      .flatMap((name) => readFileSync(join(traces, name), 'utf8').split('\n'))
      .filter((line) => line.includes('"update-ref"') || line.includes('"fsync"'))
      .filter((line) => /"category":"fsync".*"key":"fsync\/hardware-flush"/.test(line))
      .map((line) => Number((JSON.parse(line) as { value: string }).value))
      .reduce((sum, value) => sum + value, 0);
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
    assert.equal(await flushes(false), 0);
    assert.ok((await flushes(true)) > 0);
  });
});
