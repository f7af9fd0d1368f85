import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Deferred } from '../../src/base/async';
import { type Clock, systemClock } from '../../src/base/clock';
import { toDisposable } from '../../src/base/disposable';
import { formatNotice, LONGEST_SAVE_MS, parseNotice } from '../../src/core/saveNotice';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import type { Capture } from '../../src/session/capture';
import { git } from '../support/git';
import { filesOfTree, treeOf } from '../support/snapshotTree';
import { LockWorker } from './lockWorkers';
import { cloneOf, EngineWorld, pathOf, write } from './world';

describe('capture', () => {
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let session: Session;
  let clone: string;
  let capture: Capture;

  beforeEach(async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
    session = await bulkhead.createSession({ from: { kind: 'head' } });
    clone = cloneOf(session);
    capture = await bulkhead.capture(session.id, { ownWindow: true });
    // The look at everything that taking the lease asks for.
    await capture.flush();
  });

  afterEach(async () => {
    await world.close();
  });

  async function captured(): Promise<string[]> {
    const { newest } = await bulkhead.session(session.id);
    return [...filesOfTree(world.store, treeOf(world.store, newest ?? assert.fail('no snapshot'))).keys()].sort();
  }

  it('records a burst of outside writes as one snapshot, and a folder with all that is in it', async () => {
    const before = (await bulkhead.snapshots({ session: session.id })).length;
    write(clone, 'new/deep/one.txt', '1\n');
    write(clone, 'new/deep/two.txt', '2\n');
    write(clone, 'a.txt', 'changed\n');
    // Watchers often tell of the topmost new folder only.
    capture.changedOutside(join(clone, 'new'));
    capture.changedOutside(join(clone, 'a.txt'));
    await capture.flush();
    assert.deepEqual(await captured(), ['a.txt', 'new/deep/one.txt', 'new/deep/two.txt', 'src/b.ts']);
    assert.equal((await bulkhead.snapshots({ session: session.id })).length, before + 1);
  });

  it('finds a file that a commit made tracked although it is ignored, at the next save of another file', async () => {
    write(clone, '.gitignore', '*.log\n');
    write(clone, 'kept.log', 'log\n');
    await capture.saved(join(clone, '.gitignore'));
    await capture.flush();
    assert.deepEqual(await captured(), ['.gitignore', 'a.txt', 'src/b.ts']);
    git(['add', '--force', 'kept.log'], clone);
    git(['commit', '--quiet', '--message', 'keep the log'], clone);
    write(clone, 'a.txt', 'saved\n');
    await capture.saved(join(clone, 'a.txt'));
    await capture.flush();
    assert.deepEqual(await captured(), ['.gitignore', 'a.txt', 'kept.log', 'src/b.ts']);
  });

  it('drops what an ignore file names from now on, and takes up what it does not name any more', async () => {
    write(clone, 'notes.tmp', 'notes\n');
    await capture.saved(join(clone, 'notes.tmp'));
    assert.deepEqual(await captured(), ['a.txt', 'notes.tmp', 'src/b.ts']);
    write(clone, '.gitignore', '*.tmp\n');
    await capture.saved(join(clone, '.gitignore'));
    await capture.flush();
    assert.deepEqual(await captured(), ['.gitignore', 'a.txt', 'src/b.ts']);
    write(clone, '.gitignore', '# nothing\n');
    await capture.saved(join(clone, '.gitignore'));
    await capture.flush();
    assert.deepEqual(await captured(), ['.gitignore', 'a.txt', 'notes.tmp', 'src/b.ts']);
  });

  it('leaves the rest of the work tree alone when one file is restored', async () => {
    const start = (await bulkhead.session(session.id)).newest ?? assert.fail('no snapshot');
    write(clone, 'a.txt', 'mine\n');
    await bulkhead.checkpoint({ session: session.id, trigger: 'manual', agent: 'user' });
    write(clone, 'src/b.ts', 'not yet recorded\n');
    const result = await bulkhead.restore({
      session: session.id,
      target: start,
      paths: [pathOf('a.txt')],
      consent: 'all',
    });
    assert.deepEqual(result.plan.write, ['a.txt']);
    const { to, files } = await bulkhead.diff(
      { kind: 'snapshot', oid: start },
      { kind: 'snapshot', oid: result.snapshot ?? assert.fail('nothing restored') },
    );
    assert.deepEqual(files, [], `the restore recorded more than its path (${to})`);
  });

  it('books nothing as an outside write while an editor is saving', async () => {
    let saving = true;
    const other = await world.open();
    const { id, path } = await other.createSession({ from: { kind: 'head' } });
    const clone = path ?? assert.fail('no clone');
    const own = await other.capture(id, { ownWindow: true, isSaving: () => saving });
    await own.flush();
    const snapshotMade = new Promise<void>((resolve) => {
      other.onDidChangeSnapshots(() => {
        resolve();
      });
    });
    write(clone, 'a.txt', 'saved\n');
    own.doubt('in the middle of a save');
    await own.saved(join(clone, 'a.txt'));
    saving = false;
    await snapshotMade;
    await own.flush();
    const [newest] = await other.snapshots({ session: id });
    assert.deepEqual([newest?.trigger, newest?.agent], ['save', 'user']);
  });

  it('records a save as the person’s although somebody has the work tree for longer than a save waits', async () => {
    const clock: Clock = {
      // Each look finds that much time has gone by.
      now: (() => {
        let passed = 0;
        return () => systemClock.now() + (passed += 100);
      })(),
      schedule: (ms, callback, options) => systemClock.schedule(ms, callback, options),
    };
    const window = await world.open({}, world.repo.dir, clock);
    const own = await window.capture(session.id, { ownWindow: true });
    await own.flush();
    const holder = await LockWorker.start(
      { locks: join(world.storage, 'locks'), repository: world.repo.dir, storage: world.storage },
      world.environment,
    );
    assert.equal(await holder.order({ kind: 'claim', session: session.id }), 'claimed');
    let waits = 0;
    window.onDidChangeWaiting(() => {
      waits += window.waiting().some(({ what }) => what === 'claim') ? 1 : 0;
      if (waits === 3) {
        void holder.kill();
      }
    });
    write(clone, 'a.txt', 'hers\n');
    own.changedOutside(join(clone, 'a.txt'));
    await own.saved(join(clone, 'a.txt'));
    await own.flush();
    const [newest, ...before] = await window.snapshots({ session: session.id });
    assert.deepEqual([newest?.trigger, newest?.agent, waits >= 3], ['save', 'user', true]);
    assert.ok(before.every(({ trigger }) => trigger !== 'external' && trigger !== 'reconcile'));
  });

  it('takes back what it read when a save began meanwhile, and looks again when that has ended', async () => {
    const quietMs = 123;
    let look: (() => void) | undefined;
    let armed = new Deferred<null>();
    const clock: Clock = {
      now: () => systemClock.now(),
      schedule: (ms, callback, options) => {
        if (ms !== quietMs) {
          return systemClock.schedule(ms, callback, options);
        }
        look = callback;
        armed.resolve(null);
        return toDisposable(() => undefined);
      },
    };
    const other = await world.open({ quietMs, maxWaitMs: 60_000 }, world.repo.dir, clock);
    const { id, path } = await other.createSession({ from: { kind: 'head' } });
    const clone = path ?? assert.fail('no clone');
    const file = join(clone, 'a.txt');
    let asked = 0;
    // No save when it begins to read; one when it has read.
    const own = await other.capture(id, { ownWindow: true, isSaving: () => ++asked === 2 });
    await own.flush();
    asked = 0;
    write(clone, 'a.txt', 'saved\n');
    write(clone, 'outside.txt', 'written by an agent\n');
    own.changedOutside(file);
    own.changedOutside(join(clone, 'outside.txt'));
    armed = new Deferred();
    look?.();
    await armed.promise;
    assert.equal(asked, 2);
    assert.deepEqual(
      (await other.snapshots({ session: id })).map(({ trigger }) => trigger),
      ['start'],
    );
    await own.saved(file);
    look?.();
    await own.flush();
    const made = await other.snapshots({ session: id });
    assert.deepEqual(
      made.map(({ trigger, agent, files }) => `${trigger} by ${agent}: ${String(files)}`),
      ['external by unknown: 1', 'save by user: 1', 'start by user: 0'],
    );
  });

  it('leaves a save to the window in which it happens, however late that window is', async () => {
    const quietMs = 123;
    const quiet: (() => void)[] = [];
    const clock: Clock = {
      now: () => systemClock.now(),
      schedule: (ms, callback, options) => {
        if (ms !== quietMs) {
          return systemClock.schedule(ms, callback, options);
        }
        quiet.push(callback);
        return toDisposable(() => {
          quiet.splice(quiet.indexOf(callback), 1);
        });
      },
    };
    const watching = await world.open({ quietMs, maxWaitMs: 60_000 }, world.repo.dir, clock);
    const saving = await world.open();
    const { id, path } = await watching.createSession({ from: { kind: 'head' } });
    const file = join(path ?? assert.fail('no clone'), 'a.txt');
    const [watcher, saver] = [
      await watching.capture(id, { ownWindow: true }),
      await saving.capture(id, { ownWindow: true }),
    ];
    await watcher.flush();
    assert.deepEqual([watcher.state, saver.state], ['capturing', 'following']);
    saving.willSave(id, file);
    write(dirname(file), 'a.txt', 'saved in the other window\n');
    watcher.changedOutside(file);
    quiet.pop()?.();
    assert.equal(quiet.length, 1, 'it looks again later');
    await saver.saved(file);
    saving.saveEnded(id, file);
    quiet.pop()?.();
    await watcher.flush();
    const made = (await watching.snapshots({ session: id })).map(({ trigger, agent }) => `${trigger} by ${agent}`);
    assert.deepEqual(made, ['save by user', 'start by user']);
    // One that was never recorded does not hold the others back for ever.
    saving.willSave(id, file);
    write(dirname(file), 'a.txt', 'written by somebody else\n');
    const notice = readdirSync(join(world.storage, 'locks')).find((name) => name.startsWith(`${id}.saving.`));
    const noticeFile = join(world.storage, 'locks', notice ?? assert.fail('no notice'));
    const told = parseNotice(readFileSync(noticeFile, 'utf8')) ?? assert.fail('not a notice');
    writeFileSync(noticeFile, formatNotice({ ...told, saving: Date.now() - LONGEST_SAVE_MS }));
    watcher.changedOutside(file);
    quiet.pop()?.();
    await watcher.flush();
    assert.equal((await watching.snapshots({ session: id }))[0]?.trigger, 'external');
  });

  describe('of a window whose extension host is behind its editor', () => {
    /** Time that is moved, and looks that are taken by hand. */
    class Hand {
      shift = 0;
      /** How long one question really waits, in milliseconds. */
      patience = 1000;
      readonly #looks: (() => void)[] = [];
      readonly #armed: Deferred<null>[] = [];
      readonly clock: Clock = {
        now: () => systemClock.now() + this.shift,
        schedule: (ms, callback, options) => {
          if (ms !== 123) {
            return systemClock.schedule(ms === 1000 ? this.patience : ms, callback, options);
          }
          this.#looks.push(callback);
          this.#armed.shift()?.resolve(null);
          return toDisposable(() => {
            if (this.#looks.includes(callback)) this.#looks.splice(this.#looks.indexOf(callback), 1);
          });
        },
      };

      look(): void {
        (this.#looks.pop() ?? assert.fail('nobody wants to look'))();
      }

      /** Looks, and resolves when it wants to look again. */
      async lookInVain(): Promise<void> {
        const armed = new Deferred<null>();
        this.#armed.push(armed);
        this.look();
        await armed.promise;
      }
    }

    let hand: Hand;
    let watching: Bulkhead;
    let saving: Bulkhead;
    let id: string;
    let file: string;
    let watcher: Capture;
    let saver: Capture;
    /** What its editor does before it answers, and in which files it has unsaved text. */
    let hear: () => Promise<readonly string[]>;

    beforeEach(async () => {
      hand = new Hand();
      hear = () => Promise.resolve([]);
      watching = await world.open({ quietMs: 123, maxWaitMs: 60_000 }, world.repo.dir, hand.clock);
      saving = await world.open({}, world.repo.dir, { ...systemClock, now: () => hand.clock.now() });
      const made = await watching.createSession({ from: { kind: 'head' } });
      id = made.id;
      file = join(cloneOf(made), 'a.txt');
      watcher = await watching.capture(id, { ownWindow: true, hear: () => Promise.resolve([]) });
      saver = await saving.capture(id, { ownWindow: true, hear: () => hear() });
      await watcher.flush();
      assert.deepEqual([watcher.state, saver.state], ['capturing', 'following']);
    });

    const made = async (): Promise<string[]> =>
      (await watching.snapshots({ session: id })).map(({ trigger, agent }) => `${trigger} by ${agent}`);

    it('finds no save of its booked as a write from outside', async () => {
      await lookAtSaveBehind();
      assert.deepEqual(await made(), ['start by user']);
      await saver.saved(file);
      saving.saveEnded(id, file);
      hear = () => Promise.resolve([]);
      hand.look();
      await watcher.flush();
      assert.deepEqual(await made(), ['save by user', 'start by user']);
    });

    it('finds a file in which it has unsaved text left alone, for some seconds', async () => {
      hear = () => Promise.resolve([file]);
      write(dirname(file), 'a.txt', 'by its save, or by an agent\n');
      watcher.changedOutside(file);
      await hand.lookInVain();
      assert.deepEqual(await made(), ['start by user']);
      hand.shift += 5000;
      await lookAndRecord();
      assert.deepEqual(await made(), ['external by unknown', 'start by user']);
    });

    it('delays nothing else', async () => {
      hear = () => Promise.resolve([file]);
      write(dirname(file), 'other.txt', 'by an agent\n');
      watcher.changedOutside(join(dirname(file), 'other.txt'));
      await lookAndRecord();
      assert.deepEqual(await made(), ['external by unknown', 'start by user']);
    });

    it('is waited for as long as a save may take, and no longer until it answers again', async () => {
      hear = () => new Promise(() => undefined);
      hand.patience = 1;
      write(dirname(file), 'a.txt', 'one\n');
      watcher.changedOutside(file);
      await hand.lookInVain();
      hand.shift += LONGEST_SAVE_MS - 1000;
      await hand.lookInVain();
      assert.deepEqual(await made(), ['start by user']);
      hand.shift += 1000;
      await lookAndRecord();
      assert.deepEqual(await made(), ['external by unknown', 'start by user']);
      // It comes back, and is asked although nobody waits for it.
      hand.patience = 1000;
      const heard = new Promise<void>((resolve) => {
        hear = () => {
          resolve();
          return Promise.resolve([]);
        };
      });
      write(dirname(file), 'b.txt', 'two\n');
      watcher.changedOutside(join(dirname(file), 'b.txt'));
      await lookAndRecord();
      await heard;
      await answered();
      await lookAtSaveBehind();
      assert.deepEqual(await made(), ['external by unknown', 'external by unknown', 'start by user']);
    });

    /** Its editor has written the file already; its host hears of the save only when it is asked. */
    const lookAtSaveBehind = async (): Promise<void> => {
      hear = () => {
        saving.willSave(id, file);
        return Promise.resolve([]);
      };
      write(dirname(file), 'a.txt', 'saved in the other window\n');
      watcher.changedOutside(file);
      await hand.lookInVain();
    };

    const lookAndRecord = async (): Promise<void> => {
      const recorded = nextSnapshot();
      hand.look();
      await recorded;
    };

    /** Its answer to the question that stands now can be read. */
    async function answered(): Promise<void> {
      const locks = join(world.storage, 'locks');
      const watcher = watch(locks);
      const question = readFileSync(join(locks, `${id}.question`), 'utf8');
      const answers = (): (string | null | undefined)[] =>
        readdirSync(locks)
          .filter((name) => name.startsWith(`${id}.saving.`))
          .map((name) => parseNotice(readFileSync(join(locks, name), 'utf8'))?.answer);
      while (!answers().includes(question)) {
        await once(watcher, 'change');
      }
      watcher.close();
    }

    const nextSnapshot = (): Promise<void> =>
      new Promise((resolve) => {
        const listening = watching.onDidChangeSnapshots(() => {
          listening.dispose();
          resolve();
        });
      });
  });
});
