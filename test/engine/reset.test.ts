import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BulkheadError } from '../../src/base/errors';
import { parseRecord, type SessionRecord } from '../../src/core/sessionRecord';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { sample } from '../support/soak';
import { contentAt } from '../support/snapshotTree';
import { checkpoint, cloneOf, EngineWorld, filesIn, fsck, read, restoreAll, snapshotOf, write } from './world';
import { race, startWorker } from './workers';

const RACERS = 8;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('reset', function () {
  this.timeout(sample(60_000, 600_000));
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;

  beforeEach('a repository', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
  });

  afterEach(async () => {
    fsck(world.store);
    assert.equal(gitLine(['for-each-ref', 'refs/bulkhead/claims'], world.store), '', 'a claim was left behind');
    await world.close();
  });

  const newSession = (name = 'Attempt'): Promise<Session> => bulkhead.createSession({ name, from: { kind: 'head' } });
  const failure = async (work: Promise<unknown>): Promise<BulkheadError> => {
    const error = await work.then(
      () => assert.fail('it has to fail'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof BulkheadError, `not one of our errors: ${String(error)}`);
    return error;
  };
  const folders = (name: string): string[] => readdirSync(join(world.storage, name)).sort();
  const refs = (...patterns: string[]): string => gitLine(['for-each-ref', ...patterns], world.store);
  const recordOf = (id: string): SessionRecord => {
    const parsed = parseRecord(git(['cat-file', 'blob', `refs/bulkhead/records/${id}`], world.store), id);
    return parsed.kind === 'ok' ? parsed.record : assert.fail(`the record of ${id} is ${parsed.kind}`);
  };
  const putRecord = (record: SessionRecord): void => {
    const blob = gitLine(['hash-object', '-w', '--stdin'], world.store, {
      input: JSON.stringify({ format: 1, ...record }),
    });
    git(['update-ref', `refs/bulkhead/records/${record.id}`, blob], world.store);
  };
  /** Nothing half-made is left, and these are the only clones. */
  const assertOnly = (...sessions: readonly Session[]): void => {
    assert.deepEqual(folders('creating'), []);
    assert.deepEqual(folders('sessions'), sessions.map(({ id }) => id).sort());
  };
  const waitingOn = (window: Bulkhead, session: Session): Promise<string> =>
    new Promise((resolve) => {
      const listening = window.onDidChangeWaiting(() => {
        const entry = window.waiting().find((each) => each.session === session.id);
        if (entry !== undefined) {
          listening.dispose();
          resolve(entry.holder);
        }
      });
    });

  it('puts a fresh session with the name and the base of the old one in its place, which goes to the trash with a final snapshot', async () => {
    world.repo.file('a.txt', 'carried over\n').file('untracked.txt', 'carried too\n');
    const old = await bulkhead.createSession({ name: 'Attempt', from: { kind: 'head' }, carryUncommitted: true });
    const begin = filesIn(cloneOf(old));
    world.repo.file('a.txt', 'the user went on\n').commit('second');
    write(cloneOf(old), 'a.txt', 'of the agent\n');
    write(cloneOf(old), 'new.txt', 'not in any snapshot yet\n');
    git(['commit', '--quiet', '--all', '--message', 'by the agent'], cloneOf(old));
    const tip = gitLine(['rev-parse', 'HEAD'], cloneOf(old));

    const { session, made, snapshot } = await bulkhead.resetSession(old.id, { force: true });
    assert.equal(made, true);
    assert.notEqual(session.id, old.id);
    assert.deepEqual([session.name, session.state, session.base, session.snapshots], ['Attempt', 'ready', old.base, 1]);
    assert.deepEqual(filesIn(cloneOf(session)), begin);
    assert.equal(gitLine(['symbolic-ref', '--short', 'HEAD'], cloneOf(session)), old.branch);
    assert.equal((await checkpoint(bulkhead, session)).snapshot, null, 'what was carried over is the base');
    assert.deepEqual(
      (await bulkhead.diff({ kind: 'base', session: session.id }, { kind: 'worktree', session: session.id })).files,
      [],
    );

    assertOnly(session);
    assert.deepEqual(
      (await bulkhead.sessions()).map(({ id, name }) => [id, name]),
      [[session.id, 'Attempt']],
    );
    const retired = await bulkhead.session(old.id);
    assert.equal(retired.state, 'trashed');
    assert.ok(retired.reason?.includes(session.id), retired.reason ?? '');
    assert.equal(retired.newest, snapshot);
    const [final] = await bulkhead.snapshots({ session: old.id });
    assert.equal(final?.trigger, 'final');
    assert.equal(contentAt(world.store, snapshot ?? '', 'new.txt').toString(), 'not in any snapshot yet\n');
    assert.equal(gitLine(['rev-parse', `refs/bulkhead/heads/${old.id}/${old.branch ?? ''}`], world.store), tip);
    const { successor, trashed } = recordOf(old.id);
    assert.equal(successor, session.id);
    assert.deepEqual(folders('trash'), [trashed]);
    assert.ok(
      (await bulkhead.snapshots({})).some(({ oid }) => oid === snapshot),
      'listed with those of all sessions',
    );
  });

  it('makes one successor when eight processes reset a session at once, and gives it to all of them', async () => {
    let old = await newSession();
    const other = await newSession('Other');
    for (let round = 0; round < sample(1, 20); round++) {
      const { id } = old;
      const results = await race(
        world,
        numbers(RACERS).map(() => ({ kind: 'reset', session: id })),
      );
      assert.deepEqual(
        results.map(({ error }) => error),
        numbers(RACERS).map(() => undefined),
      );
      assert.equal(new Set(results.map(({ session }) => session)).size, 1);
      assert.equal(results.filter(({ made }) => made === true).length, 1);
      const session = await bulkhead.session(results[0]?.session ?? '');
      assert.equal(session.state, 'ready');
      assertOnly(session, other);
      assert.deepEqual(
        (await bulkhead.sessions()).filter(({ name }) => name === 'Attempt').map((listed) => listed.id),
        [session.id],
      );
      assert.deepEqual(
        (await bulkhead.snapshots({ session: id })).map(({ trigger }) => trigger),
        ['final', 'start'],
      );
      old = session;
    }
  });

  it('adopts the successor at a later turn, also one of a successor, and makes nothing', async () => {
    const first = await newSession();
    const { session: second } = await bulkhead.resetSession(first.id, { force: false });
    const { session: third } = await bulkhead.resetSession(second.id, { force: false });
    const before = refs();
    const window = await world.open();
    for (const ref of [first.id, second.id]) {
      const result = await window.resetSession(ref, { force: true });
      assert.deepEqual([result.session.id, result.made], [third.id, false]);
      assert.equal((await window.successorOf(ref))?.id, third.id);
    }
    assert.equal(await window.successorOf(third.id), null);
    assert.equal(refs(), before);
    assertOnly(third);
  });

  it('ends the processes that a window had for the old clone when it adopts the successor', async () => {
    const old = await newSession();
    const window = await world.open();
    write(cloneOf(old), 'new.txt', 'new\n');
    await checkpoint(window, old, 'new.txt');
    await bulkhead.resetSession(old.id, { force: true });
    const before = window.pids;
    await window.resetSession(old.id, { force: true });
    assert.ok(window.pids.length < before.length, `${String(window.pids.length)} of ${String(before.length)} run`);
  });

  it('says so when the successor was deleted, or the session itself, and makes nothing', async () => {
    const first = await newSession();
    const { session: second } = await bulkhead.resetSession(first.id, { force: false });
    await bulkhead.removeSession(second.id, { force: true });
    const before = refs();
    const error = await failure(bulkhead.resetSession(first.id, { force: true }));
    assert.deepEqual([error.kind, error.code, error.data['successor']], ['notFound', 'successor-deleted', second.id]);
    assert.equal(await bulkhead.successorOf(first.id), null);
    assert.equal((await failure(bulkhead.resetSession(second.id, { force: true }))).code, 'session-trashed');
    assert.equal(refs(), before);
    assertOnly();
  });

  it('follows no circle of successors and no damaged one', async () => {
    const first = await newSession();
    const { session: second } = await bulkhead.resetSession(first.id, { force: false });
    const whole = recordOf(second.id);
    putRecord({ ...whole, successor: first.id });
    for (const ref of [first.id, second.id]) {
      const circle = await failure(bulkhead.resetSession(ref, { force: true }));
      assert.deepEqual([circle.kind, circle.code], ['damaged', 'successor-damaged']);
    }
    putRecord({ ...whole, successor: 'aaaaaaaaaaaa' });
    assert.equal((await failure(bulkhead.resetSession(first.id, { force: true }))).code, 'successor-damaged');
    const junk = gitLine(['hash-object', '-w', '--stdin'], world.store, { input: 'no JSON' });
    git(['update-ref', `refs/bulkhead/records/${second.id}`, junk], world.store);
    assert.equal((await failure(bulkhead.resetSession(first.id, { force: true }))).code, 'record-damaged');
    assertOnly(second);
  });

  it('asks before changes that were not applied and commits of the clone go, and writes nothing then', async () => {
    const session = await newSession();
    write(cloneOf(session), 'a.txt', 'changed\n');
    git(['commit', '--quiet', '--all', '--message', 'work'], cloneOf(session));
    const files = filesIn(cloneOf(session));
    const before = refs('refs/bulkhead/records', 'refs/bulkhead/sessions', 'refs/bulkhead/bases');
    const error = await failure(bulkhead.resetSession(session.id, { force: false }));
    assert.deepEqual([error.kind, error.code], ['refused', 'would-lose']);
    assert.deepEqual(error.data['preflight'], {
      uncheckpointed: false,
      unpushedCommits: 1,
      unapplied: 1,
      last: false,
      doubt: null,
    });
    assert.match(error.message, /1 changed file was not applied, 1 commit of its own.*--force/);
    assert.equal(refs('refs/bulkhead/records', 'refs/bulkhead/sessions', 'refs/bulkhead/bases'), before);
    assert.deepEqual(filesIn(cloneOf(session)), files);
    assertOnly(session);
    assert.deepEqual(folders('trash'), []);
  });

  it('asks when a check fails, and asks nothing of the last session without changes', async () => {
    const session = await newSession();
    renameSync(join(cloneOf(session), '.git'), join(world.folder, 'aside'));
    const error = await failure(bulkhead.resetSession(session.id, { force: false }));
    assert.equal(error.code, 'would-lose');
    assert.notEqual((error.data['preflight'] as { doubt: unknown }).doubt, null);
    renameSync(join(world.folder, 'aside'), join(cloneOf(session), '.git'));
    assert.equal((await bulkhead.resetSession(session.id, { force: false })).made, true);
  });

  it('starts afresh a session whose clone is gone', async () => {
    const session = await newSession();
    rmSync(cloneOf(session), { recursive: true });
    const { session: fresh, snapshot } = await bulkhead.resetSession(session.id, { force: false });
    assert.equal(snapshot, session.newest);
    assert.equal(read(cloneOf(fresh), 'a.txt'), 'one\ntwo\nthree\n');
    assertOnly(fresh);
  });

  it('starts from the applied state after an apply', async () => {
    const session = await newSession();
    write(cloneOf(session), 'a.txt', 'applied\n');
    await checkpoint(bulkhead, session);
    const { branch } = await bulkhead.apply({ session: session.id, mode: 'branch' });
    git(['branch', '-D', branch ?? ''], world.repo.dir);
    const { session: fresh } = await bulkhead.resetSession(session.id, { force: true });
    assert.equal(read(cloneOf(fresh), 'a.txt'), 'applied\n');
    assert.deepEqual(fresh.base, (await bulkhead.session(session.id)).base);
  });

  it('never resets the checkout', async () => {
    assert.equal((await failure(bulkhead.resetSession('workspace', { force: true }))).code, 'is-workspace');
    await newSession();
  });

  it('waits for the window that is at it, says for whom, and gives what that one made', async () => {
    const old = await newSession();
    const winner = startWorker(world, { kind: 'reset', session: old.id, stop: true });
    await winner.ready;
    winner.child.send('go');
    await winner.holding;
    const window = await world.open();
    const waiting = waitingOn(window, old);
    const adopted = [window.resetSession(old.id, { force: false }), window.resetSession(old.id, { force: true })];
    assert.match(await waiting, new RegExp(`^reset by user \\(process ${String(winner.child.pid)} `));
    // Others are told that it is busy, and change nothing.
    assert.equal((await failure(restoreAll(bulkhead, old, old.newest ?? ''))).code, 'claimed');
    winner.child.send('go on');
    const { session, made } = await winner.result;
    assert.equal(made, true);
    for (const result of await Promise.all(adopted)) {
      assert.deepEqual([result.session.id, result.made], [session, false]);
    }
    assert.deepEqual(window.waiting(), []);
    assertOnly(await bulkhead.session(session ?? ''));
  });

  it('leaves the wait when it is told to, and changes nothing', async () => {
    const old = await newSession();
    const winner = startWorker(world, { kind: 'reset', session: old.id, stop: true });
    await winner.ready;
    winner.child.send('go');
    await winner.holding;
    const leaving = new AbortController();
    const waiting = waitingOn(bulkhead, old);
    const loser = bulkhead.resetSession(old.id, { force: false, signal: leaving.signal });
    await waiting;
    leaving.abort();
    assert.equal((await failure(loser)).code, 'cancelled');
    assert.deepEqual(bulkhead.waiting(), []);
    winner.child.send('go on');
    assertOnly(await bulkhead.session((await winner.result).session ?? ''));
  });

  it('is busy while somebody restores, applies or deletes', async () => {
    const session = await newSession();
    const holder = gitLine(['hash-object', '-w', '--stdin'], world.store, {
      input: JSON.stringify({
        format: 1,
        host: 'another host',
        pid: 1,
        boot: null,
        started: null,
        thread: 0,
        agent: 'user',
        nonce: 'abcdefgh',
        purpose: 'restore',
        time: Date.now(),
      }),
    });
    const claim = `refs/bulkhead/claims/${session.id}`;
    git(['update-ref', claim, holder], world.store);
    const error = await failure(bulkhead.resetSession(session.id, { force: true }));
    assert.deepEqual([error.kind, error.code], ['busy', 'claimed']);
    git(['update-ref', '-d', claim], world.store);
    assertOnly(session);
  });

  it('makes the successor when the one that was at it is killed before its transaction, also while it waits', async () => {
    const old = await newSession();
    write(cloneOf(old), 'a.txt', 'of the agent\n');
    const winner = startWorker(world, { kind: 'reset', session: old.id, force: true, stop: true });
    await winner.ready;
    winner.child.send('go');
    await winner.holding;
    const waiting = waitingOn(bulkhead, old);
    const next = bulkhead.resetSession(old.id, { force: true });
    await waiting;
    assert.equal((await bulkhead.session(old.id)).state, 'ready');
    const gone = once(winner.child, 'exit');
    winner.child.kill('SIGKILL');
    await gone;
    const { session, made, snapshot } = await next;
    assert.equal(made, true);
    assert.equal(contentAt(world.store, snapshot ?? '', 'a.txt').toString(), 'of the agent\n');
    assert.deepEqual(
      (await bulkhead.sessions({ all: true })).map(({ id, state }) => [id, state]).sort(),
      [
        [session.id, 'ready'],
        [old.id, 'trashed'],
      ].sort(),
    );
    // What the killed one had made is a folder without a record, which no list shows, and which goes with the next start.
    assert.equal(folders('sessions').length, 2);
    await bulkhead.recover({ sweep: true });
    assert.deepEqual(folders('sessions'), [session.id]);
  });

  it('keeps a rival’s successor when its claim was lost, and removes its own half-made clone', async () => {
    const old = await newSession();
    const slow = startWorker(world, { kind: 'reset', session: old.id, stop: true });
    await slow.ready;
    slow.child.send('go');
    await slow.holding;
    // A foreign hand takes the claim away: the worst that can happen to whoever relies on it.
    git(['update-ref', '-d', `refs/bulkhead/claims/${old.id}`], world.store);
    const { session, made } = await bulkhead.resetSession(old.id, { force: false });
    assert.equal(made, true);
    assert.equal(folders('sessions').length, 2);
    slow.child.send('go on');
    const result = await slow.result;
    assert.deepEqual([result.session, result.made, result.error], [session.id, false, undefined]);
    assertOnly(session);
  });

  it('takes the name that she gave the session while it was being reset', async () => {
    const old = await newSession();
    const winner = startWorker(world, { kind: 'reset', session: old.id, stop: true });
    await winner.ready;
    winner.child.send('go');
    await winner.holding;
    await bulkhead.renameSession(old.id, 'Renamed');
    winner.child.send('go on');
    const { session } = await winner.result;
    assert.equal((await bulkhead.session(session ?? '')).name, 'Renamed');
    assert.equal((await bulkhead.session(old.id)).name, 'Renamed');
  });

  it('moves the old clone to the trash at a later turn when that was cut off', async () => {
    const old = await newSession();
    const { session } = await bulkhead.resetSession(old.id, { force: false });
    const { trashed } = recordOf(old.id);
    renameSync(join(world.storage, 'trash', trashed ?? ''), join(world.storage, 'sessions', old.id));
    assert.equal((await bulkhead.session(old.id)).state, 'trashed');
    assert.equal((await bulkhead.resetSession(old.id, { force: false })).session.id, session.id);
    assertOnly(session);
    assert.deepEqual(folders('trash'), [trashed]);
  });

  it('records nothing for a session in the trash, whether a save waited for the reset or an editor made the folder anew', async () => {
    const old = await newSession();
    write(cloneOf(old), 'a.txt', 'of the agent\n');
    await snapshotOf(bulkhead, old);
    const winner = startWorker(world, { kind: 'reset', session: old.id, force: true, stop: true });
    await winner.ready;
    winner.child.send('go');
    await winner.holding;
    const waiting = waitingOn(bulkhead, old);
    write(cloneOf(old), 'a.txt', 'too late\n');
    const save = failure(checkpoint(bulkhead, old, 'a.txt'));
    await waiting;
    winner.child.send('go on');
    const { snapshots } = await winner.result;
    const late = await save;
    assert.deepEqual([late.code, late.data['state']], ['session-not-ready', 'trashed']);
    mkdirSync(cloneOf(old), { recursive: true });
    write(cloneOf(old), 'a.txt', 'by an editor\n');
    const again = await failure(checkpoint(bulkhead, old, 'a.txt'));
    assert.deepEqual([again.code, again.data['state']], ['session-not-ready', 'trashed']);
    assert.deepEqual([(await bulkhead.session(old.id)).newest], snapshots);
    // The folder that the editor made is left alone.
    assert.equal((await bulkhead.resetSession(old.id, { force: false })).made, false);
    assert.ok(existsSync(join(cloneOf(old), 'a.txt')));
  });

  it('makes a session with a name of its own for each of eight forks that are asked for at once', async () => {
    const parent = await newSession('Session 1');
    write(cloneOf(parent), 'a.txt', 'to be forked\n');
    await checkpoint(bulkhead, parent);
    const results = await race(
      world,
      numbers(RACERS).map(() => ({ kind: 'fork', session: parent.id })),
    );
    assert.deepEqual(
      results.map(({ error }) => error),
      numbers(RACERS).map(() => undefined),
    );
    const sessions = await bulkhead.sessions();
    assert.equal(sessions.length, RACERS + 1);
    assert.deepEqual(
      results.map(({ name }) => name).sort(),
      numbers(RACERS).map((index) => `Session ${String(index + 2)}`),
    );
    for (const { session } of results) {
      assert.equal(read(cloneOf(await bulkhead.session(session ?? '')), 'a.txt'), 'to be forked\n');
    }
    assertOnly(...sessions);
    assert.deepEqual(
      folders('locks').filter((file) => file.startsWith('name-')),
      [],
    );
  });

  it('lets one of four processes make a session of a wanted name', async () => {
    const results = await race(
      world,
      numbers(4).map(() => ({ kind: 'create', name: 'Wanted' })),
    );
    assert.deepEqual(results.map(({ error }) => error ?? 'made').sort(), [
      'made',
      'name-taken',
      'name-taken',
      'name-taken',
    ]);
    assert.equal((await bulkhead.sessions()).length, 1);
  });
});
