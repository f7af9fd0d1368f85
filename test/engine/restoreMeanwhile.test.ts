import assert from 'node:assert/strict';
import { existsSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import type { RestoreResult, Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { useOwnHome } from '../support/environment';
import { contentAt } from '../support/snapshotTree';
import { cloneOf, EngineWorld, fsck, pathOf, read, snapshotOf, write } from './world';

const FIRST = 'aaa/first.txt';
const LAST = 'zzz/last.txt';

describe('while a restore writes its files', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let session: Session;
  let clone: string;

  beforeEach('a session', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
    session = await bulkhead.createSession({ name: 'Meanwhile', from: { kind: 'head' } });
    clone = cloneOf(session);
  });

  afterEach(async () => {
    fsck(world.store);
    await world.close();
  });

  /** Restores, and does something once, between the first file and those that follow. */
  async function restoreWhile(target: string, meanwhile: () => void): Promise<RestoreResult> {
    const { signal } = new AbortController();
    let isDone = false;
    // Asked before each file.
    Object.defineProperty(signal, 'aborted', {
      get: () => {
        if (!isDone && existsSync(join(clone, FIRST)) && read(clone, FIRST) === 'old\n') {
          isDone = true;
          meanwhile();
        }
        return false;
      },
    });
    const result = await bulkhead.restore({ session: session.id, target, consent: 'all', signal });
    assert.ok(isDone);
    return result;
  }

  /** Two states of which the second has had time to become old. */
  async function twoStates(last: { readonly before: string | null; readonly now: string | null }): Promise<string> {
    const put = (path: string, content: string | null): void => {
      if (content === null) {
        rmSync(join(clone, path), { force: true });
      } else {
        write(clone, path, content);
      }
    };
    put(FIRST, 'old\n');
    put(LAST, last.before);
    const target = await snapshotOf(bulkhead, session);
    put(FIRST, 'new\n');
    put(LAST, last.now);
    await snapshotOf(bulkhead, session);
    return target;
  }

  const CASES = [
    { name: 'a file that was to be written', before: 'old\n', now: 'new\n' },
    { name: 'a file where there was none', before: 'old\n', now: null },
  ];
  for (const { name, ...states } of CASES) {
    it(`leaves ${name} as somebody writes it, says so, and records it as theirs`, async () => {
      const target = await twoStates(states);
      const { plan, snapshot } = await restoreWhile(target, () => {
        write(clone, LAST, 'hers\n');
      });
      assert.equal(read(clone, LAST), 'hers\n');
      assert.equal(read(clone, FIRST), 'old\n');
      assert.deepEqual(plan.keep, [{ path: LAST, reason: 'touched-meanwhile' }]);
      assert.deepEqual(plan.write, [FIRST]);
      const saved = await bulkhead.checkpoint({
        session: session.id,
        trigger: 'save',
        agent: 'user',
        paths: [pathOf(LAST)],
      });
      assert.equal(contentAt(world.store, saved.snapshot ?? '', LAST).toString(), 'hers\n');
      const [newest, restored] = await bulkhead.snapshots({ session: session.id, limit: 2 });
      assert.deepEqual([newest?.trigger, newest?.agent, restored?.oid], ['save', 'user', snapshot]);
      await bulkhead.undo({ session: session.id, consent: 'all' });
      assert.deepEqual([read(clone, FIRST), read(clone, LAST)], ['new\n', 'hers\n']);
    });
  }

  it('does not delete what somebody writes', async () => {
    write(clone, 'zzz/gone.txt', 'new\n');
    const other = await twoStates({ before: 'old\n', now: null });
    write(clone, FIRST, 'newer\n');
    write(clone, LAST, 'newer\n');
    await snapshotOf(bulkhead, session);
    rmSync(join(clone, 'zzz/gone.txt'));
    // Deleted first of all, so the moment is the one in which the first of two is gone.
    write(clone, 'zzz/one.txt', 'one\n');
    write(clone, 'zzz/two.txt', 'two\n');
    const { signal } = new AbortController();
    Object.defineProperty(signal, 'aborted', {
      get: () => {
        if (!existsSync(join(clone, 'zzz/two.txt')) && existsSync(join(clone, 'zzz/one.txt'))) {
          write(clone, 'zzz/one.txt', 'hers\n');
        }
        return false;
      },
    });
    const { plan } = await bulkhead.restore({ session: session.id, target: other, consent: 'all', signal });
    assert.equal(read(clone, 'zzz/one.txt'), 'hers\n');
    assert.deepEqual(plan.keep, [{ path: 'zzz/one.txt', reason: 'touched-meanwhile' }]);
    assert.deepEqual([read(clone, FIRST), existsSync(join(clone, LAST))], ['old\n', true]);
  });

  it('notices a write that leaves size and time as they were', async () => {
    const target = await twoStates({ before: 'old\n', now: 'new\n' });
    await restoreWhile(target, () => {
      const { atime, mtime } = statSync(join(clone, LAST));
      write(clone, LAST, 'her\n');
      utimesSync(join(clone, LAST), atime, mtime);
    });
    assert.equal(read(clone, LAST), 'her\n');
  });

  it('takes no notice of a file that is written with the same content', async () => {
    const target = await twoStates({ before: 'old\n', now: 'new\n' });
    const { plan } = await restoreWhile(target, () => {
      write(clone, LAST, 'new\n');
    });
    assert.deepEqual([read(clone, LAST), plan.keep], ['old\n', []]);
  });

  it('can be cancelled, because everything else has its turn', async () => {
    const names = Array.from({ length: 600 }, (_, index) => `many/${String(index).padStart(4, '0')}.txt`);
    for (const name of names) {
      write(clone, name, 'old\n');
    }
    const target = await snapshotOf(bulkhead, session);
    for (const name of names) {
      write(clone, name, 'new\n');
    }
    const abort = new AbortController();
    const [first = '', last = ''] = [names[0], names.at(-1)];
    const look = (): void => {
      if (read(clone, first) === 'old\n') {
        abort.abort();
      } else {
        setImmediate(look);
      }
    };
    setImmediate(look);
    await assert.rejects(
      bulkhead.restore({ session: session.id, target, consent: 'all', signal: abort.signal }),
      (error: { readonly code: string }) => error.code === 'restore-incomplete',
    );
    assert.deepEqual([read(clone, first), read(clone, last)], ['old\n', 'new\n']);
    await bulkhead.undo({ session: session.id, consent: 'all' });
    assert.deepEqual([read(clone, first), read(clone, last)], ['new\n', 'new\n']);
  });
});
