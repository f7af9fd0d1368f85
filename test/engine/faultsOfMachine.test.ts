import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Clock, systemClock } from '../../src/base/clock';
import { BulkheadError } from '../../src/base/errors';
import { silentLog } from '../../src/base/log';
import { describeHolder, SAVE_LOCK_CAP_MS } from '../../src/core/holder';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { createHost } from '../../src/session/host';
import { newHolder } from '../../src/session/holders';
import { LockFolder } from '../../src/session/locks';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { SeededRandom } from '../support/seededRandom';
import { contentAt } from '../support/snapshotTree';
import { sample, seed } from '../support/soak';
import { checkpoint, cloneOf, EngineWorld, filesIn, fsck, pathOf, read, restoreAll, snapshotOf, write } from './world';
import { startWorker } from './workers';

const HOUR = 3_600_000;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('faults of the machine', () => {
  useOwnHome();
  let world: EngineWorld;

  beforeEach(() => {
    world = new EngineWorld();
  });

  afterEach(async () => {
    fsck(world.store);
    await world.close();
  });

  const newSession = (bulkhead: Bulkhead, name = 'Machine'): Promise<Session> =>
    bulkhead.createSession({ name, from: { kind: 'head' } });

  describe('no descriptor left', () => {
    it('is told as what it is, loses nothing, leaks nothing, and passes', async function () {
      if (process.platform !== 'linux') {
        console.log('      skipped: descriptors are counted through /proc');
        this.skip();
      }
      this.timeout(300_000);
      const bulkhead = await world.open();
      const session = await newSession(bulkhead);
      const rounds = sample(6, 12);
      const worker = startWorker(world, { kind: 'scarce', session: session.id, clone: cloneOf(session), rounds }, 90);
      await worker.ready;
      worker.child.send('go');
      const { outcomes = [], error } = await worker.result;
      assert.equal(error, undefined);
      const wrong = outcomes.filter(
        (outcome) => !/^(\w+: (done|io: [a-z-]+|busy: claimed)|held: yes|descriptors: free)$/.test(outcome),
      );
      assert.deepEqual(wrong, []);
      assert.ok(outcomes.filter((outcome) => outcome.endsWith('io: io-emfile')).length > 5, outcomes.join('\n'));
      assert.ok(outcomes.includes('save: done'), 'some rounds leave enough');
      for (const each of await bulkhead.sessions({ all: true })) {
        assert.equal(each.state, 'ready', each.reason ?? '');
      }
    });

    it('needs a handful for a restore of many files', async function () {
      this.timeout(120_000);
      const bulkhead = await world.open();
      const session = await newSession(bulkhead);
      for (const file of numbers(500)) {
        write(cloneOf(session), `many/${String(file % 20)}/${String(file)}.txt`, `${String(file)}\n`);
      }
      const target = await snapshotOf(bulkhead, session);
      const wanted = filesIn(cloneOf(session));
      rmSync(join(cloneOf(session), 'many'), { recursive: true });
      const worker = startWorker(world, { kind: 'restore', session: session.id, target }, 64);
      await worker.ready;
      worker.child.send('go');
      assert.equal((await worker.result).error, undefined);
      assert.deepEqual(filesIn(cloneOf(session)), wanted);
    });
  });

  describe('a clock that is set back', () => {
    let offset = 0;
    const clock: Clock = {
      now: () => systemClock.now() + offset,
      schedule: (ms, callback, options) => systemClock.schedule(ms, callback, options),
    };

    beforeEach(() => {
      offset = 0;
    });

    it('keeps the order of snapshots, sees every change, and undoes', async () => {
      const bulkhead = await world.open({}, world.repo.dir, clock);
      const session = await newSession(bulkhead);
      const made = [session.newest ?? ''];
      for (const [step, jump] of [0, -HOUR, -24 * HOUR, 0, -30 * HOUR, 48 * HOUR, -HOUR].entries()) {
        offset += jump;
        write(cloneOf(session), 'a.txt', `step ${String(step)}\n`);
        made.unshift(await snapshotOf(bulkhead, session, ...(step % 2 === 0 ? [] : ['a.txt'])));
        assert.equal(contentAt(world.store, made[0] ?? '', 'a.txt').toString(), `step ${String(step)}\n`);
        assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
        for (const window of [bulkhead, await world.open({}, world.repo.dir, clock)]) {
          assert.deepEqual(
            (await window.snapshots({ session: session.id })).map(({ oid }) => oid),
            made,
          );
          assert.equal((await window.session(session.id)).snapshots, made.length);
        }
      }
      const { undo, snapshot } = await restoreAll(bulkhead, session, made[3] ?? '');
      assert.equal(read(cloneOf(session), 'a.txt'), 'step 3\n');
      offset -= 24 * HOUR;
      await bulkhead.undo({ session: session.id, consent: 'all' });
      assert.equal(read(cloneOf(session), 'a.txt'), 'step 6\n');
      const rows = (await bulkhead.snapshots({ session: session.id })).map(({ oid }) => oid);
      assert.ok(rows.indexOf(snapshot ?? '') < rows.indexOf(undo ?? ''));
      assert.equal(gitLine(['for-each-ref', 'refs/bulkhead/claims'], world.store), '');
    });

    it('makes nobody wait longer for a lock, and no holder younger than nothing', async () => {
      await world.open();
      const folder = join(world.storage, 'locks');
      let jumps = 0;
      // It goes back by an hour at each look, so that a deadline as a point in time would never come.
      const runaway: Clock = {
        now: () => systemClock.now() - HOUR * Math.min(jumps++, 50),
        schedule: (ms, callback, options) => systemClock.schedule(ms, callback, options),
      };
      const host = await createHost({
        log: silentLog,
        product: 'test',
        environment: world.environment,
        clock: runaway,
      });
      const holder = await newHolder(host, 'checkpoint', 'codex');
      const first = await new LockFolder(folder, host).acquire('one', { holder, waitMs: 0, capMs: SAVE_LOCK_CAP_MS });
      assert.ok(first.kind === 'held');
      const second = await new LockFolder(folder, host).acquire('one', {
        holder,
        waitMs: 300,
        capMs: SAVE_LOCK_CAP_MS,
      });
      assert.ok(second.kind === 'busy');
      assert.match(describeHolder(holder, holder.time - HOUR), /for 0 s/);
      first.lock.release();
    });

    it('lets a lease and a claim be taken, held and given back', async () => {
      const bulkhead = await world.open({}, world.repo.dir, clock);
      const session = await newSession(bulkhead);
      const lease = await bulkhead.capture(session.id, { ownWindow: false });
      offset -= 24 * HOUR;
      const other = await world.open({}, world.repo.dir, clock);
      const follower = await other.capture(session.id, { ownWindow: false });
      assert.deepEqual([lease.state, follower.state], ['capturing', 'following']);
      // The look with which a window takes over.
      await lease.flush();
      write(cloneOf(session), 'a.txt', 'outside\n');
      lease.changedOutside(join(cloneOf(session), 'a.txt'));
      await lease.flush();
      const [newest] = await other.snapshots({ session: session.id });
      assert.equal(newest?.trigger, 'external');
      await lease.shutdown();
      offset -= HOUR;
      await restoreAll(other, session, session.newest ?? '');
      assert.equal(read(cloneOf(session), 'a.txt'), 'one\ntwo\nthree\n');
      const taken = new Promise<void>((resolve) => {
        const look = (): void => {
          if (follower.state === 'capturing') {
            resolve();
          }
        };
        follower.onDidChangeState(look);
        look();
      });
      await taken;
      await follower.shutdown();
    });
  });

  describe('a clone that changes under a stream of saves', () => {
    /** Saves all the time, half by path, half everything; `after` so many `act` happens beside. Gives what each save led to. */
    const stream = async (
      bulkhead: Bulkhead,
      session: Session,
      act: () => void,
    ): Promise<{ readonly before: string[]; readonly after: string[] }> => {
      const random = new SeededRandom(seed());
      const saves = sample(20, 200);
      const outcomes = { before: [] as string[], after: [] as string[] };
      let into = outcomes.before;
      for (const save of numbers(saves)) {
        try {
          // No folder is made for it.
          writeFileSync(join(cloneOf(session), 'a.txt'), `save ${String(save)}\n`);
        } catch {
          // There is no folder to write to any more.
        }
        const working = checkpoint(bulkhead, session, ...(random.chance(0.5) ? ['a.txt'] : []));
        if (save === Math.floor(saves / 2)) {
          // Somewhere in the middle of that save.
          for (let turns = random.integer(0, 40); turns > 0; turns--) {
            await new Promise((resolve) => {
              setImmediate(resolve);
            });
          }
          act();
          into = outcomes.after;
        }
        into.push(
          await working.then(
            ({ snapshot }) => (snapshot === null ? 'nothing' : 'saved'),
            (error: unknown) => {
              assert.ok(
                error instanceof BulkheadError,
                `not one of our errors: ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
              );
              return error.code;
            },
          ),
        );
      }
      assert.ok(outcomes.before.every((outcome) => outcome === 'saved'));
      return outcomes;
    };

    it('deleted as a whole: told, and no snapshot says that the files were deleted', async function () {
      this.timeout(120_000);
      const bulkhead = await world.open();
      const session = await newSession(bulkhead);
      const { after } = await stream(bulkhead, session, () => {
        rmSync(cloneOf(session), { recursive: true });
        writeFileSync(cloneOf(session), 'in the way of being made again');
      });
      assert.ok(!after.slice(1).includes('saved'), after.join());
      const [newest] = await bulkhead.snapshots({ session: session.id });
      assert.match(contentAt(world.store, newest?.oid ?? '', 'a.txt').toString(), /^save \d+\n$/);
      assert.ok(contentAt(world.store, newest?.oid ?? '', 'src/b.ts').length > 0);
      const rescued = await bulkhead.createSession({
        name: 'Rescued',
        from: { kind: 'snapshot', oid: newest?.oid ?? '' },
      });
      assert.match(read(cloneOf(rescued), 'a.txt'), /^save \d+\n$/);
    });

    for (const [what, act] of [
      [
        'its .git removed',
        (gitDir: string) => {
          rmSync(gitDir, { recursive: true });
        },
      ],
      [
        'its .git replaced by another repository',
        (gitDir: string) => {
          rmSync(gitDir, { recursive: true });
          git(['init', '--quiet', dirname(gitDir)], dirname(gitDir));
          git(['commit', '--quiet', '--allow-empty', '--message', 'another history'], dirname(gitDir));
        },
      ],
      [
        'its .git replaced by a file that leads elsewhere',
        (gitDir: string) => {
          renameSync(gitDir, `${gitDir}-aside`);
          writeFileSync(gitDir, `gitdir: ${gitDir}-aside\n`);
        },
      ],
      [
        'its .git emptied',
        (gitDir: string) => {
          rmSync(gitDir, { recursive: true });
          mkdirSync(gitDir);
        },
      ],
    ] as const) {
      it(`${what}: saves go on, because only the files are needed`, async function () {
        this.timeout(120_000);
        const bulkhead = await world.open();
        const session = await newSession(bulkhead);
        const { after } = await stream(bulkhead, session, () => {
          act(join(cloneOf(session), '.git'));
        });
        assert.ok(
          after.slice(1).every((outcome) => outcome === 'saved'),
          after.join(),
        );
        const newest = await snapshotOf(bulkhead, session).catch(() =>
          gitLine(['rev-parse', session.shadowRef], world.store),
        );
        assert.equal(contentAt(world.store, newest, 'a.txt').toString(), read(cloneOf(session), 'a.txt'));
        assert.ok(contentAt(world.store, newest, 'src/b.ts').length > 0, 'what was tracked stays so');
      });
    }

    it('moved away with its session, and back: told in between, and everything goes on', async function () {
      this.timeout(120_000);
      const bulkhead = await world.open();
      const session = await newSession(bulkhead);
      const folder = dirname(cloneOf(session));
      write(cloneOf(session), 'a.txt', 'before\n');
      await snapshotOf(bulkhead, session, 'a.txt');
      const { after } = await stream(bulkhead, session, () => {
        renameSync(folder, join(world.folder, 'elsewhere'));
      });
      assert.ok(!after.slice(1).includes('saved'), after.join());
      const states = (await bulkhead.sessions()).map(({ state }) => state);
      assert.deepEqual(states, ['missing']);
      rmSync(folder, { recursive: true, force: true });
      renameSync(join(world.folder, 'elsewhere'), folder);
      assert.equal((await bulkhead.session(session.id)).state, 'ready');
      write(cloneOf(session), 'a.txt', 'after\n');
      const newest = await bulkhead.checkpoint({ session: session.id, trigger: 'save', paths: [pathOf('a.txt')] });
      assert.equal(contentAt(world.store, newest.snapshot ?? '', 'a.txt').toString(), 'after\n');
      await snapshotOf(bulkhead, session).catch((error: unknown) => {
        assert.match(String(error), /nothing had changed/);
      });
    });
  });
});
