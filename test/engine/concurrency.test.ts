import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BulkheadError } from '../../src/base/errors';
import { silentLog } from '../../src/base/log';
import { CHAIN_MAX_SNAPSHOTS } from '../../src/core/chain';
import { formatMessage, parseMessage } from '../../src/core/snapshotMessage';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { newHolder } from '../../src/session/holders';
import { createHost } from '../../src/session/host';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { repo } from '../support/repo';
import { withQuickPauses } from '../support/shiftedClock';
import { sample } from '../support/soak';
import { contentAt, treeOf } from '../support/snapshotTree';
import { temporaryFolder } from '../support/temporary';
import { KillWorld } from './killWorld';
import { checkpoint, cloneOf, EngineWorld, fsck, pathOf, read, restoreAll, snapshotOf, write } from './world';
import { race, startWorker } from './workers';

const WRITERS = 8;
const EACH = sample(4, 40);

/** A filter program that stops in the middle of a file until it is let through. */
class Gates {
  readonly #folder = temporaryFolder('gates');

  filter(name: string): string {
    const at = join(this.#folder, name);
    execFileSync('mkfifo', [`${at}.reached`, `${at}.open`]);
    return `if [ -e '${at}.closed' ]; then echo > '${at}.reached'; cat '${at}.open' > /dev/null; fi; cat`;
  }

  /** The next file stops; those after it pass. */
  close(name: string): { readonly reached: Promise<void>; readonly open: () => Promise<void> } {
    const at = join(this.#folder, name);
    writeFileSync(`${at}.closed`, '');
    return {
      reached: readFile(`${at}.reached`).then(() => {
        rmSync(`${at}.closed`);
      }),
      open: () => writeFile(`${at}.open`, ''),
    };
  }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('concurrency', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;

  before('a repository', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
  });

  after(async () => {
    fsck(world.store);
    await world.close();
  });

  let count = 0;
  const newSession = (): Promise<Session> =>
    bulkhead.createSession({ name: `Race ${String(++count)}`, from: { kind: 'head' } });
  const list = (session: Session) => bulkhead.snapshots({ session: session.id, limit: 1000 });
  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'done',
      (error: unknown) => (error instanceof BulkheadError ? error.code : String(error)),
    );

  it('keeps every snapshot when eight sessions save some states each at once', async function () {
    this.timeout(sample(60_000, 600_000));
    const sessions: Session[] = [];
    for (let index = 0; index < WRITERS; index++) {
      sessions.push(await newSession());
    }
    const results = await race(
      world,
      sessions.map((session, writer) => ({
        kind: 'save',
        session: session.id,
        clone: cloneOf(session),
        files: numbers(EACH).map((step) => ['state.txt', `writer ${String(writer)} step ${String(step)}\n`] as const),
      })),
    );
    for (const [writer, session] of sessions.entries()) {
      assert.deepEqual(results[writer]?.error, undefined);
      const snapshots = await list(session);
      assert.deepEqual(
        snapshots.map(({ oid }) => oid),
        [...(results[writer]?.snapshots ?? [])].reverse().concat(session.newest),
      );
      assert.equal((await bulkhead.session(session.id)).snapshots, EACH + 1);
      for (const step of numbers(EACH)) {
        assert.equal(
          contentAt(world.store, snapshots[EACH - 1 - step]?.oid ?? '', 'state.txt').toString(),
          `writer ${String(writer)} step ${String(step)}\n`,
        );
      }
    }
  });

  it('loses no snapshot when eight processes save into one session at once, and each holds what its writer wrote', async function () {
    this.timeout(sample(60_000, 600_000));
    const session = await newSession();
    const results = await race(
      world,
      numbers(WRITERS).map((writer) => ({
        kind: 'save',
        session: session.id,
        clone: cloneOf(session),
        files: numbers(EACH).map(
          (step) => [`by ${String(writer)}/${String(step)}.txt`, `${String(writer)} ${String(step)}\n`] as const,
        ),
      })),
    );
    assert.deepEqual(
      results.map(({ error }) => error),
      numbers(WRITERS).map(() => undefined),
    );
    const listed = (await list(session)).map(({ oid }) => oid);
    assert.equal(listed.length, WRITERS * EACH + 1);
    for (const [writer, { snapshots }] of results.entries()) {
      for (const [step, oid] of snapshots.entries()) {
        assert.ok(listed.includes(oid ?? ''), `snapshot ${String(oid)} is in the history`);
        assert.equal(
          contentAt(world.store, oid ?? '', `by ${String(writer)}/${String(step)}.txt`).toString(),
          `${String(writer)} ${String(step)}\n`,
        );
      }
    }
    assert.equal(gitLine(['rev-list', '--count', session.shadowRef], world.store), String(listed.length));
    assert.equal((await checkpoint(bulkhead, session)).snapshot, null, 'the newest snapshot is what is on disk');
  });

  it('makes a session for each of four processes that ask at once, also when the user has new commits', async function () {
    this.timeout(sample(60_000, 600_000));
    for (let round = 0; round < sample(1, 10); round++) {
      world.repo.file('more.txt', `more ${String(round)}\n`).commit('more');
      // So many that the fetches of two processes overlap.
      const tip = world.repo.resolve('HEAD');
      git(['update-ref', '--stdin'], world.repo.dir, {
        input: numbers(500)
          .map((branch) => `update refs/heads/branch-${String(branch)} ${tip}\n`)
          .join(''),
      });
      const results = await race(
        world,
        numbers(4).map((index) => ({ kind: 'create', name: `Together ${String(round)} ${String(index)}` })),
      );
      assert.deepEqual(
        results.map(({ error }) => error),
        numbers(4).map(() => undefined),
      );
      for (const { session } of results) {
        const made = await bulkhead.session(session ?? '');
        assert.equal(made.state, 'ready');
        assert.equal(read(cloneOf(made), 'more.txt'), `more ${String(round)}\n`);
      }
    }
  });

  it('opens one store when four processes are the first', async function () {
    this.timeout(sample(60_000, 600_000));
    for (let round = 0; round < sample(1, 20); round++) {
      const fresh = new EngineWorld();
      const results = await race(
        fresh,
        numbers(4).map((index) => ({ kind: 'create', name: `First ${String(index)}` })),
      );
      assert.deepEqual(
        results.map(({ error }) => error),
        numbers(4).map(() => undefined),
      );
      const window = await fresh.open();
      assert.equal((await window.sessions()).length, 4);
      fsck(fresh.store);
      await fresh.close();
    }
  });

  it('gives up after a bounded number of tries when a foreign writer is always faster, overwrites nothing, and can save again', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    write(clone, 'mine.txt', 'mine\n');
    const tree = treeOf(world.store, session.shadowRef);
    let moves = 0;
    // The foreign writer moves the ref whenever somebody wants to know where it stands.
    const { SnapshotStore } = await import('../../src/session/snapshotStore');
    const { prototype } = SnapshotStore;
    // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called with its own object
    const original = prototype.move;
    prototype.move = function (owner, wanted) {
      if (wanted.some(({ ref }) => ref === session.shadowRef)) {
        moves++;
        const foreign = gitLine(
          ['commit-tree', '-p', session.shadowRef, '-m', `foreign ${String(moves)}`, tree],
          world.store,
        );
        git(['update-ref', session.shadowRef, foreign], world.store);
      }
      return original.call(this, owner, wanted);
    };
    try {
      for (let save = 1; save <= 2; save++) {
        assert.equal(await codeOf(checkpoint(bulkhead, session, 'mine.txt')), 'lost-race');
        assert.equal(moves, 16 * save);
      }
    } finally {
      prototype.move = original;
    }
    const newest = gitLine(['rev-parse', session.shadowRef], world.store);
    assert.equal(gitLine(['log', '-1', '--format=%s', newest], world.store), `foreign ${String(moves)}`);
    assert.equal(read(clone, 'mine.txt'), 'mine\n');
    const after = await snapshotOf(bulkhead, session, 'mine.txt');
    assert.equal(contentAt(world.store, after, 'mine.txt').toString(), 'mine\n');
    assert.equal(parseMessage(gitLine(['log', '-1', '--format=%B', after], world.store))?.meta.previous, newest);
  });

  it('reports a fresh lock file of git with its path and age, and works once it is gone', async () => {
    const session = await newSession();
    const lockFile = join(world.store, `${session.shadowRef}.lock`);
    write(cloneOf(session), 'a.txt', 'locked out\n');
    writeFileSync(lockFile, '');
    const error = await checkpoint(bulkhead, session).then(
      () => assert.fail('it has to fail'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof BulkheadError);
    assert.deepEqual([error.kind, error.code, error.data['lockFile']], ['busy', 'ref-locked', lockFile]);
    assert.equal(typeof error.data['ageMs'], 'number');
    assert.ok(error.message.includes(lockFile));
    assert.ok(existsSync(lockFile));
    unlinkSync(lockFile);
    await snapshotOf(bulkhead, session);
  });

  it('removes a lock file that a killed git left more than a minute ago, and saves', async () => {
    const session = await newSession();
    const lockFile = join(world.store, `${session.shadowRef}.lock`);
    write(cloneOf(session), 'a.txt', 'left over\n');
    writeFileSync(lockFile, '');
    const old = Date.now() / 1000 - 120;
    utimesSync(lockFile, old, old);
    await snapshotOf(bulkhead, session);
    assert.equal(existsSync(lockFile), false);
  });

  it('takes a lock file on a claim for what it is, and does not wait for ever', async () => {
    const session = await newSession();
    write(cloneOf(session), 'a.txt', 'changed\n');
    await checkpoint(bulkhead, session);
    const lockFile = join(world.store, 'refs', 'bulkhead', 'claims', `${session.id}.lock`);
    write(join(lockFile, '..'), `${session.id}.lock`, '');
    assert.equal(await codeOf(restoreAll(bulkhead, session, session.newest ?? '')), 'ref-locked');
    assert.equal(read(cloneOf(session), 'a.txt'), 'changed\n');
    rmSync(lockFile);
    await restoreAll(bulkhead, session, session.newest ?? '');
  });

  /** A process that has the lock of a session, lives, and does nothing. */
  async function holderOf(session: Session): Promise<ChildProcess> {
    const { child, ready, holding } = startWorker(world, { kind: 'hold', session: session.id });
    await ready;
    child.send('go');
    await holding;
    return child;
  }

  it('goes on when the holder of the lock is killed, and says whom it waits for while it lives', async () => {
    const session = await newSession();
    const holder = await holderOf(session);
    write(cloneOf(session), 'a.txt', 'waited\n');
    const waiting = new Promise<void>((resolve) => {
      const listening = bulkhead.onDidChangeWaiting(() => {
        const [entry] = bulkhead.waiting();
        if (entry !== undefined) {
          listening.dispose();
          assert.equal(entry.session, session.id);
          assert.equal(entry.what, 'lock');
          assert.ok(entry.holder.includes(String(holder.pid)), entry.holder);
          resolve();
        }
      });
    });
    const save = snapshotOf(bulkhead, session);
    await waiting;
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
    await save;
    assert.deepEqual(bulkhead.waiting(), []);
    await snapshotAfter(session);
  });

  it('saves although the holder of the lock lives and hangs: it waits for a while, says for whom, and leaves the lock alone', async () => {
    const session = await newSession();
    const holder = await holderOf(session);
    const lock = join(world.storage, 'locks', `${session.id}.lock`);
    const look = () => ({ text: readFileSync(lock, 'utf8'), inode: lstatSync(lock).ino });
    const held = look();
    assert.equal((JSON.parse(held.text) as { pid: number }).pid, holder.pid);
    const window = await world.open({}, world.repo.dir, withQuickPauses());
    const told: string[] = [];
    window.onDidChangeWaiting(() => told.push(...window.waiting().map(({ what, holder: who }) => `${what}: ${who}`)));
    for (const round of numbers(2)) {
      const content = `round ${String(round)}\n`;
      write(cloneOf(session), 'a.txt', content);
      const saved = await snapshotOf(window, session, 'a.txt');
      assert.equal(contentAt(world.store, saved, 'a.txt').toString(), content);
      assert.equal(gitLine(['rev-parse', session.shadowRef], world.store), saved);
      assert.deepEqual(look(), held, 'nobody else has had it');
      assert.match(
        told.splice(0).join('; '),
        new RegExp(`^lock: checkpoint by codex \\(process ${String(holder.pid)} `),
      );
      assert.deepEqual(window.waiting(), []);
    }
    assert.equal(holder.exitCode ?? holder.signalCode, null, 'it lives');
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
  });

  it('saves although a newer version holds the lock, leaves that as it is, and says once what to do', async () => {
    const session = await newSession();
    const lock = join(world.storage, 'locks', `${session.id}.lock`);
    const text = '{"format":2,"who":"a later version"}';
    writeFileSync(lock, text);
    world.warnings.length = 0;
    for (const round of numbers(3)) {
      write(cloneOf(session), 'a.txt', `round ${String(round)}\n`);
      await snapshotOf(bulkhead, session);
    }
    assert.equal(readFileSync(lock, 'utf8'), text);
    assert.equal(world.warnings.length, 1, world.warnings.join('\n'));
    assert.match(world.warnings[0] ?? '', /newer version.*Update Bulkhead/);
    rmSync(lock);
  });

  it('saves without a folder for locks, alone and against others', async () => {
    const alone = new EngineWorld();
    const windows = [await alone.open(), await alone.open()];
    const session = (await windows[0]?.createSession({ from: { kind: 'head' } })) ?? assert.fail('no session');
    const locks = join(alone.storage, 'locks');
    rmSync(locks, { recursive: true });
    for (const round of numbers(5)) {
      await Promise.all(
        windows.map((window, index) => {
          const name = `${String(index)} ${String(round)}.txt`;
          write(cloneOf(session), name, name);
          return snapshotOf(window, session, name);
        }),
      );
    }
    assert.equal((await windows[0]?.session(session.id))?.snapshots, 11);
    assert.equal(existsSync(locks), false);
    // Each window says so when it has lost a race and would queue up, and says it once.
    assert.ok(alone.warnings.length <= windows.length, alone.warnings.join('\n'));
    await alone.close();
  });

  it('stops a save and says so when the folder for locks cannot be used, and saves when it can', async () => {
    const alone = new EngineWorld();
    const window = await alone.open();
    const session = await window.createSession({ from: { kind: 'head' } });
    const locks = join(alone.storage, 'locks');
    rmSync(locks, { recursive: true });
    symlinkSync(locks, locks);
    write(cloneOf(session), 'a.txt', 'changed\n');
    const error = await checkpoint(window, session).then(
      () => assert.fail('it has to fail'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof BulkheadError);
    assert.deepEqual([error.kind, error.code], ['io', 'io-eloop']);
    assert.equal((await window.session(session.id)).newest, session.newest);
    unlinkSync(locks);
    await snapshotOf(window, session);
    await alone.close();
  });

  it('tells at once that a lease is lost, and takes it again when it can', async () => {
    const session = await newSession();
    const window = await world.open();
    const capture = await window.capture(session.id, { ownWindow: false });
    const until = (state: string): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (capture.state === state) {
            resolve();
          }
        };
        capture.onDidChangeState(look);
        look();
      });
    await until('capturing');
    const lease = join(world.storage, 'locks', `${session.id}.capture.lock`);
    const record = JSON.parse(readFileSync(lease, 'utf8')) as Record<string, unknown>;
    // As if it had been taken over while this window slept.
    const stranger = `${lease}.new`;
    writeFileSync(stranger, JSON.stringify({ ...record, host: 'elsewhere', nonce: 'other' }));
    renameSync(stranger, lease);
    await until('following');
    assert.match(readFileSync(lease, 'utf8'), /elsewhere/);
    unlinkSync(lease);
    await until('capturing');
    await capture.shutdown();
    assert.equal(existsSync(lease), false);
  });

  const notes: readonly (readonly [string, number, string])[] = [
    ['fresh', 0, 'following'],
    ['older than the time to live', 10 * 60, 'capturing'],
  ];
  for (const [name, seconds, state] of notes) {
    it(`leaves the recording to the clone’s own window on another host while its note is not older than the time to live: ${name}`, async () => {
      const session = await newSession();
      const note = join(world.storage, 'locks', `${session.id}.capture.own`);
      const holder = await newHolder(await createHost({ log: silentLog, product: 'test' }), 'capture', 'vscode');
      writeFileSync(note, JSON.stringify({ ...holder, host: 'elsewhere' }));
      const time = Date.now() / 1000 - seconds;
      utimesSync(note, time, time);
      const capture = await (await world.open()).capture(session.id, { ownWindow: false });
      assert.equal(capture.state, state);
      await capture.shutdown();
    });
  }

  const snapshotAfter = async (session: Session): Promise<void> => {
    write(cloneOf(session), 'a.txt', 'once more\n');
    await snapshotOf(bulkhead, session);
  };

  it('lets one of two restores in, and the other one changes nothing', async function () {
    this.timeout(sample(60_000, 600_000));
    const session = await newSession();
    const clone = cloneOf(session);
    for (let round = 0; round < sample(1, 20); round++) {
      for (const file of numbers(200)) {
        write(clone, `many/${String(file)}.txt`, 'later\n');
      }
      await checkpoint(bulkhead, session);
      const target = session.newest ?? '';
      const results = await race(
        world,
        numbers(4).map(() => ({ kind: 'restore', session: session.id, target })),
      );
      const codes = results.map(({ error }) => error ?? 'done');
      assert.deepEqual(
        codes.filter((code) => code !== 'done' && code !== 'claimed'),
        [],
      );
      assert.ok(codes.includes('done'));
      assert.equal(existsSync(join(clone, 'many')), false);
      assert.equal(gitLine(['for-each-ref', 'refs/bulkhead/claims'], world.store), '');
    }
  });

  /** A session with something to restore and to apply, and a save by another window that stops in the middle of its file. */
  async function gatedSession() {
    const gates = new Gates();
    const gated = new EngineWorld((folder) =>
      repo(folder)
        .config('filter.gate.clean', gates.filter('clean'))
        .config('filter.gate.smudge', gates.filter('smudge'))
        .file('.gitattributes', '*.slow filter=gate\n')
        .file('saved.slow', 'one\n')
        .file('restored.slow', 'one\n')
        .commit('first'),
    );
    const allowedFilters = ['gate'];
    const [window, other] = [await gated.open({ allowedFilters }), await gated.open({ allowedFilters })];
    const session = await window.createSession({ from: { kind: 'head' } });
    const clone = cloneOf(session);
    write(clone, 'restored.slow', 'two\n');
    await checkpoint(window, session);
    await checkpoint(other, session);
    const triggers = async (): Promise<string[]> =>
      (await window.snapshots({ session: session.id })).map(({ trigger }) => trigger).slice(0, 3);
    const begin = async () => {
      write(clone, 'saved.slow', 'two\n');
      const saving = gates.close('clean');
      const waits = new Promise<void>((resolve) => {
        other.onDidChangeWaiting(() => {
          if (other.waiting().some(({ what }) => what === 'claim')) {
            resolve();
          }
        });
      });
      const save = other.checkpoint({
        session: session.id,
        trigger: 'save',
        agent: 'user',
        paths: [pathOf('saved.slow')],
      });
      await saving.reached;
      return { saving, save, waits };
    };
    return { gates, gated, window, session, clone, triggers, begin };
  }

  it('lets nobody publish between a safety snapshot and the restore, who had looked for a claim before it was taken', async function () {
    if (process.platform === 'win32') {
      this.skip();
    }
    const { gates, gated, window, session, triggers, begin } = await gatedSession();
    const { saving, save, waits } = await begin();
    const writing = gates.close('smudge');
    const restore = window.restore({
      session: session.id,
      target: session.newest ?? '',
      paths: [pathOf('restored.slow')],
      consent: 'all',
      agent: 'user',
    });
    await writing.reached;
    await saving.open();
    await Promise.race([waits, save]);
    assert.deepEqual(await triggers(), ['before-restore', 'manual', 'start']);
    await writing.open();
    await Promise.all([restore, save]);
    assert.deepEqual(await triggers(), ['save', 'restore', 'before-restore']);
    fsck(gated.store);
    await gated.close();
  });

  const owners = [
    { kind: 'apply', safety: 'before-apply', saved: 'done', after: ['save', 'apply', 'before-apply'] },
    { kind: 'remove', safety: 'final', saved: 'session-not-ready', after: ['final', 'manual', 'start'] },
  ] as const;
  for (const { kind, safety, saved, after: triggersAfter } of owners) {
    it(`lets nobody publish between a ${safety} snapshot and the end, who had looked for a claim before it was taken`, async function () {
      if (process.platform === 'win32') {
        this.skip();
      }
      const { gated, session, clone, triggers, begin } = await gatedSession();
      const { saving, save, waits } = await begin();
      // Nothing to record for whoever takes the claim now: it is the snapshot itself that has to keep the save out.
      write(clone, 'saved.slow', 'one\n');
      const owner = await new KillWorld(gated).standStill(
        { kind, session: session.id },
        { at: String.raw`^rename .*journal.*\.json$`, moment: 'after' },
      );
      write(clone, 'saved.slow', 'two\n');
      await saving.open();
      await Promise.race([waits, save]);
      assert.deepEqual(await triggers(), [safety, 'manual', 'start']);
      const ended = codeOf(save);
      await owner.goOn();
      assert.equal(await ended, saved);
      assert.deepEqual(await triggers(), triggersAfter);
      fsck(gated.store);
      await gated.close();
    });
  }

  it('makes no snapshot of unchanged content or of new times', async () => {
    const session = await newSession();
    const now = Date.now() / 1000 - 5;
    utimesSync(join(cloneOf(session), 'a.txt'), now, now);
    write(cloneOf(session), 'src/b.ts', read(cloneOf(session), 'src/b.ts'));
    assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
    assert.equal((await checkpoint(bulkhead, session, 'a.txt', 'src/b.ts')).snapshot, null);
    assert.equal((await list(session)).length, 1);
  });

  it('begins a new chain after the last place of one, and lists, counts and undoes over the border', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    const first = session.newest ?? '';
    write(clone, 'a.txt', 'before the border\n');
    const before = await snapshotOf(bulkhead, session);
    // The same snapshot, with the last place in its chain.
    const parsed =
      parseMessage(gitLine(['log', '-1', '--format=%B', before], world.store)) ?? assert.fail('unreadable');
    const message = formatMessage(parsed.subject, {
      ...parsed.meta,
      chain: { ...parsed.meta.chain, ordinal: CHAIN_MAX_SNAPSHOTS },
    });
    const last = gitLine(['commit-tree', '-p', first, treeOf(world.store, before)], world.store, { input: message });
    git(['update-ref', session.shadowRef, last], world.store);
    const other = await world.open();
    const { snapshot, undo } = await restoreAll(other, session, first);
    assert.equal(treeOf(world.store, undo ?? ''), treeOf(world.store, last));
    assert.equal(gitLine(['rev-parse', `refs/bulkhead/closed/${session.id}/1`], world.store), last);
    assert.equal(gitLine(['rev-list', '--count', session.shadowRef], world.store), '2');
    assert.deepEqual(
      (await other.snapshots({ session: session.id })).map(({ oid }) => oid),
      [snapshot, undo, last, first],
    );
    assert.equal((await other.session(session.id)).snapshots, CHAIN_MAX_SNAPSHOTS + 2);
    assert.equal((await other.resolveSnapshot(`${undo ?? ''}^`)).oid, last);
    assert.equal((await other.resolveSnapshot(last.slice(0, 12))).oid, last);
    await other.undo({ session: session.id, consent: 'ask' });
    assert.equal(read(clone, 'a.txt'), 'before the border\n');
    // The window that knew the old chain goes on too.
    write(clone, 'a.txt', 'after the border\n');
    await snapshotOf(bulkhead, session);
  });

  it('books a save of two windows once, and writes from outside by one window only', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    const windows = [bulkhead, await world.open()];
    const captures = [];
    for (const window of windows) {
      captures.push(await window.capture(session.id, { ownWindow: false }));
    }
    assert.deepEqual(
      captures.map(({ state }) => state),
      ['capturing', 'following'],
    );
    write(clone, 'a.txt', 'saved\n');
    await Promise.all(captures.map((capture) => capture.saved(join(clone, 'a.txt'))));
    write(clone, 'outside.txt', 'outside\n');
    for (const capture of captures) {
      capture.changedOutside(join(clone, 'outside.txt'));
    }
    await Promise.all(captures.map((capture) => capture.flush()));
    const made = (await list(session)).filter(({ trigger }) => trigger !== 'start');
    assert.deepEqual(
      made.map(({ trigger, agent, files }) => [trigger, agent, files]),
      [
        ['external', 'unknown', 1],
        ['save', 'user', 1],
      ],
    );
    // The clone's own window takes over, and the other one steps back.
    const own = await (await world.open()).capture(session.id, { ownWindow: true });
    const [first] = captures;
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (own.state === 'capturing') {
          resolve();
        }
      };
      own.onDidChangeState(look);
      look();
    });
    assert.equal(first?.state, 'following');
    await own.shutdown();
    await Promise.all(captures.map((capture) => capture.shutdown()));
  });

  it('records what is waiting when a window is closed', async () => {
    const session = await newSession();
    const window = await world.open();
    const capture = await window.capture(session.id, { ownWindow: true });
    write(cloneOf(session), 'last.txt', 'last\n');
    capture.changedOutside(join(cloneOf(session), 'last.txt'));
    await window.shutdown();
    const [newest] = await list(session);
    assert.equal(contentAt(world.store, newest?.oid ?? '', 'last.txt').toString(), 'last\n');
    assert.deepEqual(window.pids, []);
  });

  it('answers every request that was under way when an ignore file changed', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    for (const round of numbers(5)) {
      write(clone, '.gitignore', `*.ignored\n# ${String(round)}\n`);
      const saves = numbers(6).map((index) => {
        const name = `r${String(round)}-${String(index)}.${index % 2 === 0 ? 'txt' : 'ignored'}`;
        write(clone, name, name);
        return bulkhead.checkpoint({ session: session.id, trigger: 'save', agent: 'user', paths: [pathOf(name)] });
      });
      const results = await Promise.all(saves);
      assert.deepEqual(
        results.map(({ snapshot }) => snapshot !== null),
        [true, false, true, false, true, false],
      );
    }
  });
});
