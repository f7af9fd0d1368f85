import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Deferred } from '../../src/base/async';
import { type Clock, systemClock } from '../../src/base/clock';
import { toDisposable } from '../../src/base/disposable';
import { BulkheadError, errnoOf } from '../../src/base/errors';
import { silentLog } from '../../src/base/log';
import { CatFile } from '../../src/git/catFile';
import { findGit, type Git } from '../../src/git/git';
import { type AnswerParser, GitProcess } from '../../src/git/gitProcess';
import { UpdateRef } from '../../src/git/updateRef';
import { CheckIgnore, HashObject } from '../../src/git/workTreeQueries';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { repo } from '../support/repo';
import { SeededRandom } from '../support/seededRandom';
import { contentAt } from '../support/snapshotTree';
import { sample, seed } from '../support/soak';
import { temporaryFolder } from '../support/temporary';
import { cloneOf, EngineWorld, fsck, pathOf, read, restoreAll, write } from './world';

const realGit = execFileSync('which', ['git'], { encoding: 'utf8' }).trim();

/** Kills one of the processes of a window, again and again, and counts. */
class Killer {
  readonly #random: SeededRandom;
  readonly #pids: () => readonly number[];
  #timer: NodeJS.Timeout | undefined;
  kills = 0;

  constructor(random: SeededRandom, pids: () => readonly number[]) {
    this.#random = random;
    this.#pids = pids;
    this.#soon();
  }

  #soon(): void {
    this.#timer = setTimeout(
      () => {
        const pids = this.#pids();
        if (pids.length > 0) {
          try {
            process.kill(this.#random.pick(pids), 'SIGKILL');
            this.kills++;
          } catch (error) {
            assert.equal(errnoOf(error), 'ESRCH', 'it had ended by itself');
          }
        }
        this.#soon();
      },
      this.#random.integer(5, 60),
    );
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

describe('faults of warm git processes', () => {
  useOwnHome();

  describe('that are killed at random', () => {
    const SAVES = sample(80, 800);
    let world: EngineWorld;

    beforeEach(() => {
      world = new EngineWorld((folder) =>
        repo(folder)
          .file('a.txt', 'one\n')
          .file('.gitignore', '*.ignored\n')
          // So that every kind of process has something to say.
          .file('.gitattributes', '*.dos text eol=crlf\n')
          .commit('first'),
      );
    });

    afterEach(() => world.close());

    it(`let every save land, and nobody notices (${String(SAVES)} saves with lists and restores)`, async function () {
      this.timeout(600_000);
      const random = new SeededRandom(seed());
      const bulkhead = await world.open();
      const session = await bulkhead.createSession({ name: 'Killed', from: { kind: 'head' } });
      const clone = cloneOf(session);
      const made: string[] = [];
      const killer = new Killer(random, () => bulkhead.pids);
      try {
        for (let save = 0; save < SAVES; save++) {
          const name = `${String(random.integer(1, 6))}/${random.pick(['x.txt', 'y.dos', 'z.ignored'])}`;
          write(clone, name, `save ${String(save)}\r\n`);
          write(clone, 'always.txt', `save ${String(save)}\n`);
          const { snapshot, skipped } = await bulkhead.checkpoint({
            session: session.id,
            trigger: 'save',
            agent: 'codex',
            paths: [pathOf(name), pathOf('always.txt')],
          });
          assert.deepEqual(skipped, []);
          made.unshift(snapshot ?? assert.fail(`save ${String(save)} made no snapshot`));
          if (save % 8 === 3) {
            const listed = await bulkhead.snapshots({ session: session.id, limit: 5000 });
            assert.deepEqual(
              listed.map(({ oid }) => oid),
              [...made, session.newest],
            );
          }
          if (save % 16 === 9) {
            const target = random.pick(made);
            const { undo, snapshot: after } = await restoreAll(bulkhead, session, target);
            made.unshift(...[after, undo].filter((oid) => oid !== null && oid !== made[0]).map(String));
            assert.equal(read(clone, 'always.txt'), contentAt(world.store, target, 'always.txt').toString());
          }
        }
      } finally {
        killer.stop();
      }
      console.log(`      ${String(killer.kills)} processes were killed`);
      assert.ok(killer.kills > SAVES / 20);
      assert.deepEqual(
        (await bulkhead.snapshots({ session: session.id, limit: 5000 })).map(({ oid }) => oid),
        [...made, session.newest],
      );
      assert.equal(gitLine(['for-each-ref', 'refs/bulkhead/claims'], world.store), '');
      assert.deepEqual(globSync('**/*.lock', { cwd: world.store }), [], 'no lock file of a killed git is left');
      fsck(world.store);
    });
  });

  describe('that end at once', () => {
    const folder = temporaryFolder('dying');
    const starts = join(folder, 'starts');
    let store: string;
    let head: string;
    let pauses: number[];

    /** Runs timers without waiting, and remembers how long they were. */
    const hastyClock: Clock = {
      now: () => systemClock.now(),
      schedule: (ms, callback, options) => {
        if (options?.background !== true) {
          pauses.push(ms);
        }
        return systemClock.schedule(options?.background === true ? ms : 0, callback, options);
      },
    };

    /** A git that notes each start and then ends, for one kind of command; `last` more starts succeed after that many. */
    const dyingGit = async (command: string, how: string, heals = 1_000_000): Promise<Git> => {
      const program = join(folder, `git-${String(Math.random()).slice(2)}`);
      writeFileSync(
        program,
        `#!/bin/sh
case " $* " in
*"${command}"*)
  echo start >> '${starts}'
  if [ $(wc -l < '${starts}') -le ${String(heals)} ]; then echo 'fatal: no good' >&2; ${how}; fi ;;
esac
exec '${realGit}' "$@"
`,
      );
      chmodSync(program, 0o755);
      writeFileSync(starts, '');
      pauses = [];
      return findGit({ path: program, forbidden: [], environment: process.env, clock: hastyClock, log: silentLog });
    };
    const started = (): number => readFileSync(starts, 'utf8').split('\n').length - 1;
    const failure = async (work: Promise<unknown>): Promise<BulkheadError> => {
      const error = await work.then(
        () => assert.fail('it has to fail'),
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof BulkheadError, String(error));
      return error;
    };

    before(() => {
      const made = repo(join(folder, 'repo')).file('a.txt', 'one\n').commit('first');
      store = join(made.dir, '.git');
      head = made.resolve('HEAD');
    });

    it('are reported with arguments and stderr after a few tries, when they are killed each time', async () => {
      const reader = new CatFile(await dyingGit('--batch', 'kill -9 $$'), store);
      const errors = await Promise.all([1, 2, 3].map(() => failure(reader.read(head))));
      for (const error of errors) {
        assert.deepEqual([error.kind, error.code, error.data['signal']], ['git', 'git-process-lost', 'SIGKILL']);
        assert.ok(error.message.includes('cat-file --batch') && error.message.includes('fatal: no good'));
      }
      assert.equal(started(), 8);
      assert.deepEqual(pauses, [10, 20, 40, 80, 160, 320, 640, 1000], 'each pause is longer than the one before');
      // From now on each question costs one start, and no pause is longer than a second.
      await failure(reader.read(head));
      await failure(reader.read(head));
      assert.equal(started(), 10);
      assert.deepEqual(pauses.slice(8), [1000, 1000]);
      await reader.stop();
    });

    it('are reported at the second exit, because the same question leads to the same exit', async () => {
      const reader = new CatFile(await dyingGit('--batch', 'exit 3'), store);
      const error = await failure(reader.read(head));
      assert.deepEqual(
        [error.code, error.data['exit'], error.data['stderr']],
        ['git-process-lost', 3, 'fatal: no good'],
      );
      assert.equal(started(), 2);
      await reader.stop();
    });

    it('are forgotten as soon as one works', async () => {
      const reader = new CatFile(await dyingGit('--batch', 'kill -9 $$', 5), store);
      assert.equal((await reader.read(head))?.type, 'commit');
      assert.deepEqual(pauses, [10, 20, 40, 80, 160]);
      // The next death after work done costs no pause at all.
      process.kill(reader.pids[0] ?? 0, 'SIGKILL');
      assert.equal((await reader.read(head))?.type, 'commit');
      assert.equal(pauses.length, 5);
      await reader.stop();
    });

    it('do not run a transaction twice when they answer by their exit', async () => {
      const program = await dyingGit('update-ref', 'exit 128');
      const reader = new CatFile(program, store);
      const refs = new UpdateRef(program, store, 'sha1', reader);
      const error = await failure(refs.move([{ ref: 'refs/heads/never', from: null, to: head }]));
      assert.equal(error.code, 'git-process-lost');
      assert.ok(error.message.includes('update-ref --no-deref --stdin') && error.message.includes('fatal: no good'));
      assert.equal(started(), 1);
      assert.equal(git(['for-each-ref', 'refs/heads/never'], store).toString(), '');
      await Promise.all([refs.stop(), reader.stop()]);
    });

    it('carry a transaction out once when they are killed before they could, and give up after a bounded number', async () => {
      const program = await dyingGit('update-ref', 'kill -9 $$', 3);
      const reader = new CatFile(program, store);
      const refs = new UpdateRef(program, store, 'sha1', reader);
      assert.deepEqual(await refs.move([{ ref: 'refs/heads/once', from: null, to: head }]), { kind: 'done' });
      assert.equal(started(), 4);
      await Promise.all([refs.stop(), reader.stop()]);
      const hopeless = await dyingGit('update-ref', 'kill -9 $$');
      const other = new UpdateRef(hopeless, store, 'sha1', reader);
      assert.equal(
        (await failure(other.move([{ ref: 'refs/heads/never', from: null, to: head }]))).code,
        'git-process-lost',
      );
      assert.equal(started(), 8);
      await Promise.all([other.stop(), reader.stop()]);
    });

    it('are not what an agent is told of when its folder is gone', async () => {
      const program = await dyingGit('nothing', 'exit 1');
      const ignore = new CheckIgnore(program, { gitDir: store, workTree: join(folder, 'gone') });
      const error = await failure(ignore.isIgnored(pathOf('a.txt')));
      assert.deepEqual([error.kind, error.code], ['io', 'folder-gone']);
    });

    it('answer those who asked beside the one whose file made git end', async () => {
      const program = await dyingGit('nothing', 'exit 1');
      const hash = new HashObject(program, { gitDir: store, workTree: join(folder, 'repo') });
      const answers = await Promise.allSettled(
        ['a.txt', 'absent.txt', 'a.txt', 'a.txt'].map((name) => hash.write(pathOf(name))),
      );
      assert.deepEqual(
        answers.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
      );
      await hash.stop();
    });

    it('leave no lock file behind that a killed transaction of ours had taken', async () => {
      const program = await dyingGit('nothing', 'exit 1');
      const reader = new CatFile(program, store);
      const refs = new UpdateRef(program, store, 'sha1', reader);
      const move = { ref: 'refs/heads/locked', from: null, to: head };
      const locks = [move.ref, 'refs/heads/absent'].map((ref) => join(store, `${ref}.lock`));
      // The child is killed between "prepare" and "commit", by which time it holds both locks.
      const { prototype } = GitProcess;
      // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called with its own object
      const original = prototype.request;
      let held: boolean[] = [];
      prototype.request = async function <T>(bytes: Buffer | string, parse: AnswerParser<T>): Promise<T> {
        if (held.length > 0 || !bytes.toString().startsWith('start\n')) {
          return original.call(this, bytes, parse) as Promise<T>;
        }
        const prepared = 'start: ok\nprepare: ok\n';
        return original.call(this, bytes.toString().replace('commit\n', ''), (answer) => {
          if (answer.toString() === prepared) {
            held = locks.map((file) => existsSync(file));
            process.kill(this.pid ?? 0, 'SIGKILL');
          }
          return { need: answer.length + 1 };
        }) as Promise<T>;
      };
      try {
        const moves = [move, { ref: 'refs/heads/absent', from: null, to: null }];
        assert.deepEqual(await refs.move(moves), { kind: 'done' });
      } finally {
        prototype.request = original;
      }
      assert.deepEqual(held, [true, true]);
      assert.equal(gitLine(['rev-parse', move.ref], store), head);
      assert.deepEqual(globSync('refs/**/*.lock', { cwd: store }), []);
      await Promise.all([refs.stop(), reader.stop()]);
    });
  });

  describe('that hang', () => {
    const folder = temporaryFolder('hanging');
    let store: string;
    let head: string;
    /** The limits that run now; each is what happens when it is over. */
    let limits: Set<() => void>;
    let limited: Deferred<null>;

    /** A clock on which nothing but what is fired by hand gets late. */
    const clock: Clock = {
      now: () => systemClock.now(),
      schedule: (_ms, callback) => {
        limits.add(callback);
        limited.resolve(null);
        return toDisposable(() => limits.delete(callback));
      },
    };

    before(() => {
      const made = repo(join(folder, 'repo')).file('a.txt', 'one\n').commit('first');
      store = join(made.dir, '.git');
      head = made.resolve('HEAD');
    });

    beforeEach(() => {
      limits = new Set();
      limited = new Deferred();
    });

    const gitAt = (program: string, time = clock): Promise<Git> =>
      findGit({ path: program, forbidden: [], environment: process.env, clock: time, log: silentLog });

    /** A git that never answers one kind of command. */
    const hangingGit = async (command: string): Promise<Git> => {
      const program = join(folder, 'git');
      writeFileSync(
        program,
        `#!/bin/sh
case " $* " in *"${command}"*) exec sleep 60 ;; esac
exec '${realGit}' "$@"
`,
      );
      chmodSync(program, 0o755);
      return gitAt(program);
    };

    /** Fires what runs now. */
    const late = (): void => {
      for (const limit of [...limits]) {
        limits.delete(limit);
        limit();
      }
    };

    /** Fires whatever is waited for, until the work has ended. */
    const lateUntil = async (work: Promise<unknown>, look: () => void): Promise<void> => {
      const over = work.then(
        () => 'over' as const,
        () => 'over' as const,
      );
      while ((await Promise.race([over, limited.promise])) !== 'over') {
        limited = new Deferred();
        look();
        late();
      }
    };

    it('are ended when their time is over for the second time, and whoever asked is told', async () => {
      const reader = new CatFile(await hangingGit('--batch'), store);
      const children: number[] = [];
      const reading = reader.read(head);
      void lateUntil(reading, () => children.push(...reader.pids));
      await assert.rejects(reading, (error: unknown) => {
        assert.ok(error instanceof BulkheadError);
        assert.deepEqual([error.code, error.data['silent']], ['git-process-lost', true]);
        assert.match(error.message, /gave no answer for 60 s/);
        return true;
      });
      assert.equal(new Set(children).size, 2);
      for (const child of children) {
        assert.throws(() => process.kill(child, 0), { code: 'ESRCH' });
      }
      await reader.stop();
    });

    it('are given a transaction once more, because nothing came of the first time', async () => {
      const program = await hangingGit('update-ref');
      const reader = new CatFile(await gitAt(realGit, systemClock), store);
      const refs = new UpdateRef(program, store, 'sha1', reader);
      const moving = refs.move([{ ref: 'refs/heads/never', from: null, to: head }]);
      const children: number[] = [];
      void lateUntil(moving, () => children.push(...refs.pids));
      await assert.rejects(moving, { code: 'git-process-lost' });
      assert.equal(new Set(children).size, 2);
      assert.equal(git(['for-each-ref', 'refs/heads/never'], store).toString(), '');
      await Promise.all([refs.stop(), reader.stop()]);
    });

    it('are not those that have answered: what is asked of nobody has no limit', async () => {
      const reader = new CatFile(await gitAt(realGit), store);
      assert.equal((await reader.read(head))?.type, 'commit');
      // The only one left is when the idle child goes home.
      assert.equal(limits.size, 1);
      late();
      await reader.stop();
      assert.deepEqual(reader.pids, []);
    });
  });
});
