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
import { CheckAttr, CheckIgnore, HashObject, SmudgedContent } from '../../src/git/workTreeQueries';
import { createHost } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { repo } from '../support/repo';
import { SeededRandom } from '../support/seededRandom';
import { contentAt, contentsAt } from '../support/snapshotTree';
import { sample, seed } from '../support/soak';
import { temporaryFolder } from '../support/temporary';
import { checkpoint, cloneOf, EngineWorld, fsck, pathOf, read, restoreAll, write } from './world';

const realGit = execFileSync('which', ['git'], { encoding: 'utf8' }).trim();

/** Every kind of git that lives on while a session is saved, listed and restored. */
const KINDS = [
  'cat-file --batch',
  'cat-file --batch --filters',
  'cat-file --batch-check',
  'check-attr',
  'check-ignore',
  'hash-object',
  'update-ref',
] as const;

function kindOf(pid: number): string | undefined {
  const linux = `/proc/${String(pid)}/cmdline`;
  const line = existsSync('/proc/self/cmdline')
    ? existsSync(linux)
      ? readFileSync(linux, 'utf8').replaceAll('\0', ' ')
      : ''
    : execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(pid)], { encoding: 'utf8' });
  // The longest that fits: one is the beginning of another.
  return KINDS.filter((kind) => `${line.trim()} `.includes(` ${kind} `)).sort((a, b) => b.length - a.length)[0];
}

/** Eight in a row are taken for a git that cannot live, and on a busy machine a git may take long for its first answer. */
const IN_A_ROW = 4;

/** Kills one of the processes of a window, again and again, at first of those kinds that were not killed yet, and counts. */
class Killer {
  readonly #random: SeededRandom;
  readonly #pids: () => readonly number[];
  #timer: NodeJS.Timeout | undefined;
  readonly #unanswered = new Map<string, number>();
  readonly kills = new Map<string, number>(KINDS.map((kind) => [kind, 0]));

  constructor(random: SeededRandom, pids: () => readonly number[]) {
    this.#random = random;
    this.#pids = pids;
    this.#soon();
  }

  #soon(): void {
    this.#timer = setTimeout(
      () => {
        this.#kill();
        this.#soon();
      },
      this.#random.integer(5, 60),
    );
  }

  #kill(): void {
    const alive = this.#pids().flatMap((pid) => {
      const kind = kindOf(pid);
      return kind === undefined || (this.#unanswered.get(kind) ?? 0) >= IN_A_ROW ? [] : [{ pid, kind }];
    });
    const missing = alive.filter(({ kind }) => this.kills.get(kind) === 0);
    if (alive.length === 0) {
      return;
    }
    const { pid, kind } = this.#random.pick(missing.length === 0 ? alive : missing);
    try {
      process.kill(pid, 'SIGKILL');
      this.kills.set(kind, (this.kills.get(kind) ?? 0) + 1);
      this.#unanswered.set(kind, (this.#unanswered.get(kind) ?? 0) + 1);
    } catch (error) {
      assert.equal(errnoOf(error), 'ESRCH', 'it had ended by itself');
    }
  }

  /** Something was done, so whoever was asked has answered. */
  proceed(): void {
    this.#unanswered.clear();
  }

  /** The kinds that are still to be killed. */
  get missing(): string[] {
    return [...this.kills].flatMap(([kind, kills]) => (kills === 0 ? [kind] : []));
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
          .file('.gitattributes', '*.dos text eol=crlf\n*.wide text working-tree-encoding=UTF-16LE\n')
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
      const saved: (readonly [string, string])[] = [];
      const killer = new Killer(random, () => bulkhead.pids);
      try {
        for (let save = 0; save < SAVES || (killer.missing.length > 0 && save < 10 * SAVES); save++) {
          const name = `${String(random.integer(1, 6))}/${random.pick(['x.txt', 'y.dos', 'w.wide', 'z.ignored'])}`;
          const text = `save ${String(save)}\n`;
          const lines = name.endsWith('.dos') ? text.replace('\n', '\r\n') : text;
          write(clone, name, Buffer.from(lines, name.endsWith('.wide') ? 'utf16le' : 'utf8'));
          write(clone, 'always.txt', text);
          const { snapshot, skipped } = await bulkhead.checkpoint({
            session: session.id,
            trigger: 'save',
            agent: 'codex',
            paths: [pathOf(name), pathOf('always.txt')],
          });
          killer.proceed();
          assert.deepEqual(skipped, []);
          const oid = snapshot ?? assert.fail(`save ${String(save)} made no snapshot`);
          made.unshift(oid);
          saved.push([`${oid}:always.txt`, text]);
          if (!name.endsWith('.ignored')) {
            saved.push([`${oid}:${name}`, text]);
          }
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
      const kills = [...killer.kills].map(([kind, count]) => `${kind}: ${String(count)}`);
      console.log(`      killed were ${kills.join(', ')}`);
      assert.deepEqual(killer.missing, [], 'each kind was killed');
      assert.deepEqual(
        contentsAt(
          world.store,
          saved.map(([name]) => name),
        ),
        saved.map(([, text]) => text),
      );
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

    const others: readonly {
      readonly command: string;
      readonly exits: number;
      readonly open: (program: Git) => { readonly ask: () => Promise<unknown>; readonly stop: () => Promise<void> };
    }[] = [
      {
        command: 'cat-file --batch-check',
        exits: 2,
        open: (program) => {
          const reader = new CatFile(program, store);
          return { ask: () => reader.info(head), stop: () => reader.stop() };
        },
      },
      {
        command: 'check-ignore',
        exits: 2,
        open: (program) => {
          const ignore = new CheckIgnore(program, site());
          return { ask: () => ignore.isIgnored(pathOf('a.txt')), stop: () => ignore.stop() };
        },
      },
      {
        command: 'check-attr',
        exits: 2,
        open: (program) => {
          const attributes = new CheckAttr(program, site());
          return { ask: () => attributes.attributes(pathOf('a.txt')), stop: () => attributes.stop() };
        },
      },
      {
        command: 'hash-object',
        // That is how it says that a file cannot be written.
        exits: 1,
        open: (program) => {
          const hash = new HashObject(program, site());
          return { ask: () => hash.write(pathOf('a.txt')), stop: () => hash.stop() };
        },
      },
      {
        command: 'cat-file --batch --filters',
        exits: 2,
        open: (program) => {
          const smudged = new SmudgedContent(program, site());
          const blob = gitLine(['rev-parse', `${head}:a.txt`], store);
          return { ask: () => smudged.read(blob, pathOf('a.txt'), 4, false), stop: () => smudged.stop() };
        },
      },
    ];
    const site = () => ({ gitDir: store, workTree: join(folder, 'repo') });
    for (const { command, exits, open } of others) {
      it(`are reported after a bounded number of starts, whatever they were asked, and work as soon as they can: ${command}`, async () => {
        const killed = open(await dyingGit(command, 'kill -9 $$', 10));
        for (const starts of [8, 9, 10]) {
          const error = await failure(killed.ask());
          assert.deepEqual([error.code, error.data['signal'], started()], ['git-process-lost', 'SIGKILL', starts]);
        }
        assert.ok(Math.max(...pauses) <= 1000);
        await killed.ask();
        await killed.stop();
        const exiting = open(await dyingGit(command, 'exit 3'));
        const error = await failure(exiting.ask());
        assert.deepEqual([error.code, error.data['exit'], started()], ['git-process-lost', 3, exits]);
        assert.ok(error.message.includes(command) && error.message.includes('fatal: no good'), error.message);
        await exiting.stop();
      });
    }

    it('cost a file its newest content only where they convert that file; elsewhere the save is refused, and lands later', async () => {
      const world = new EngineWorld((at) =>
        repo(at)
          .file('.gitattributes', '*.wide text working-tree-encoding=UTF-16LE\n')
          .file('a.txt', 'one\n')
          .commit('first'),
      );
      const session = await (await world.open()).createSession({ from: { kind: 'head' } });
      const clone = cloneOf(session);
      const wide = { path: 'w.wide', reason: 'unreadable' } as const;
      for (const [command, outcome] of [
        ['check-attr', 'git-process-lost'],
        ['check-ignore', 'git-process-lost'],
        ['hash-object', [wide]],
      ] as const) {
        const { path: gitPath } = await dyingGit(command, 'kill -9 $$', 8);
        const { environment, storage } = world;
        const host = await createHost({ gitPath, clock: hastyClock, log: silentLog, product: 'test', environment });
        const bulkhead = await openBulkhead(host, { repository: world.repo.dir, storage, create: false });
        write(clone, 'a.txt', `${command}\n`);
        write(clone, wide.path, Buffer.from(`${command}\n`, 'utf16le'));
        const save = () => checkpoint(bulkhead, session, 'a.txt', wide.path);
        const before = await bulkhead.snapshots({ session: session.id });
        if (typeof outcome === 'string') {
          assert.equal((await failure(save())).code, outcome);
          assert.deepEqual(await bulkhead.snapshots({ session: session.id }), before);
        } else {
          const { snapshot, skipped } = await save();
          assert.deepEqual(skipped, outcome);
          assert.deepEqual(contentsAt(world.store, [`${snapshot ?? ''}:a.txt`]), [`${command}\n`]);
        }
        const { tree, skipped } = await save();
        assert.deepEqual(skipped, []);
        assert.deepEqual(contentsAt(world.store, [`${tree}:a.txt`, `${tree}:${wide.path}`]), [
          `${command}\n`,
          `${command}\n`,
        ]);
        await bulkhead.shutdown();
      }
      await world.close();
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
