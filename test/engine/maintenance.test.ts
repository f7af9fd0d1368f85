// Maintenance of the store: what it makes smaller, and everything that it has to leave alone.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  utimesSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock';
import { BulkheadError } from '../../src/base/errors';
import { silentLog } from '../../src/base/log';
import { LooseObjects } from '../../src/git/looseObjects';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { Claims } from '../../src/session/claims';
import { createHost } from '../../src/session/host';
import { LockFolder } from '../../src/session/locks';
import { Maintenance } from '../../src/session/maintenance';
import { openBulkhead } from '../../src/session/openBulkhead';
import { openSnapshotStore } from '../../src/session/openSnapshotStore';
import { livenessOf, ownIdentity } from '../../src/session/processIdentity';
import { storageAt } from '../../src/session/storage';
import { openUserRepository } from '../../src/session/userRepository';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { sample } from '../support/soak';
import { contentAt } from '../support/snapshotTree';
import { startWorker } from './workers';
import { cloneOf, EngineWorld, fsck, snapshotOf, write } from './world';

const DAY_S = 86_400;

describe('maintenance of the store', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let session: Session;

  beforeEach('a session', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
    session = await bulkhead.createSession({ name: 'Tidy', from: { kind: 'head' } });
  });

  afterEach(async () => {
    await world.close();
  });

  const looseFile = (oid: string): string => join(world.store, 'objects', oid.slice(0, 2), oid.slice(2));
  const stateFile = (): string => join(world.storage, 'maintenance.json');
  const packFolder = (): string => join(world.store, 'objects', 'pack');
  const has = (oid: string): boolean => tryGit(['cat-file', '-e', oid], world.store).code === 0;
  const putBlob = (content: string | Buffer): string =>
    gitLine(['hash-object', '-w', '--stdin'], world.store, { input: content });
  const makeOld = (oid: string): void => {
    const old = Date.now() / 1000 - 2 * DAY_S;
    utimesSync(looseFile(oid), old, old);
  };
  const hostOf = (options: Partial<Parameters<typeof createHost>[0]> = {}): ReturnType<typeof createHost> =>
    createHost({ log: silentLog, product: 'test', environment: world.environment, ...options });

  it('packs what is loose, goes on in warm processes, and tells what it did', async () => {
    for (let number = 0; number < 5; number++) {
      write(cloneOf(session), 'a.txt', `${String(number)}\n`);
      await snapshotOf(bulkhead, session, 'a.txt');
    }
    const pids = bulkhead.pids;
    const result = await bulkhead.maintain();
    assert.ok(result.before.loose > 20 && result.after.loose === 0, JSON.stringify(result));
    assert.deepEqual([result.skipped, result.full, result.after.packs], [[], false, 1]);
    const listed = await bulkhead.snapshots({ session: session.id });
    assert.equal(listed.length, 6);
    write(cloneOf(session), 'a.txt', 'after it\n');
    const after = await snapshotOf(bulkhead, session, 'a.txt');
    assert.equal(contentAt(world.store, after, 'a.txt').toString(), 'after it\n');
    assert.deepEqual(
      pids.filter((pid) => !bulkhead.pids.includes(pid)),
      [],
      'no process had to be started again',
    );
    const recorded = JSON.parse(readFileSync(stateFile(), 'utf8')) as { last: number };
    assert.equal(recorded.last, result.time);
    assert.equal(tryGit(['rev-parse', '--verify', '--quiet', 'refs/bulkhead/claims/store'], world.store).code, 1);
    fsck(world.store);
  });

  it('removes only what nothing has led to for a day', async () => {
    write(cloneOf(session), 'a.txt', 'newest\n');
    const newest = await snapshotOf(bulkhead, session);
    const fresh = putBlob('fresh\n');
    const old = putBlob('old\n');
    const kept = { pins: putBlob('pin\n'), lost: putBlob('lost\n'), records: putBlob('record\n') };
    for (const [kind, oid] of Object.entries(kept)) {
      git(
        ['update-ref', `refs/bulkhead/${kind}/${session.id}${kind === 'records' ? '' : `/${oid}`}`, oid],
        world.store,
      );
      makeOld(oid);
    }
    for (const oid of [old, newest, gitLine(['rev-parse', `${newest}:a.txt`], world.store), session.newest ?? '']) {
      makeOld(oid);
    }
    const { pruned } = await bulkhead.maintain();
    assert.equal(pruned, 1);
    assert.deepEqual([has(old), has(fresh), ...Object.values(kept).map(has)], [false, true, true, true, true]);
    fsck(world.store);
  });

  it('keeps the chain before also when the ref that closed it is gone', async () => {
    write(cloneOf(session), 'a.txt', 'first chain\n');
    const last = await snapshotOf(bulkhead, session);
    const host = await hostOf({ clock: { ...systemClock, now: () => Date.now() + 90_000_000 } });
    const later = await openBulkhead(host, { repository: world.repo.dir, storage: world.storage, create: true });
    write(cloneOf(session), 'a.txt', 'second chain\n');
    const next = await snapshotOf(later, session);
    await later.shutdown();
    const closed = `refs/bulkhead/closed/${session.id}/1`;
    git(['update-ref', '-d', closed], world.store);
    makeOld(last);
    const { closedRefs, pruned } = await bulkhead.maintain();
    assert.deepEqual([closedRefs, pruned], [1, 0]);
    assert.equal(gitLine(['rev-parse', closed], world.store), last);
    assert.deepEqual(
      (await bulkhead.snapshots({ session: session.id })).map(({ oid }) => oid),
      [next, last, session.newest],
    );
  });

  it('removes nothing while something that a snapshot leads to cannot be read', async () => {
    write(cloneOf(session), 'a.txt', 'one\n');
    const lost = await snapshotOf(bulkhead, session);
    write(cloneOf(session), 'a.txt', 'two\n');
    await snapshotOf(bulkhead, session);
    const old = putBlob('old\n');
    makeOld(old);
    unlinkSync(looseFile(lost));
    const { skipped, pruned } = await bulkhead.maintain();
    assert.deepEqual([skipped.map(({ step }) => step), pruned, has(old)], [['prune'], 0, true]);
    assert.ok(has(session.newest ?? ''), 'what is before the lost one is still there');
  });

  it('keeps an object that is used again after a day when it runs before anything leads to it', async () => {
    const content = 'was here a long time ago\n';
    const blob = putBlob(content);
    makeOld(blob);
    // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called with its own object
    const original = LooseObjects.prototype.write;
    let between = 0;
    LooseObjects.prototype.write = function (type, body) {
      if (type === 'tree') {
        between++;
        git(['prune', '--expire=1.day.ago'], world.store);
      }
      return original.call(this, type, body);
    };
    try {
      write(cloneOf(session), 'a.txt', content);
      await snapshotOf(bulkhead, session);
    } finally {
      LooseObjects.prototype.write = original;
    }
    assert.equal(between, 1);
    assert.ok(has(blob));
    fsck(world.store);
  });

  it('loses no snapshot of eight processes that checkpoint all the while', async function () {
    this.timeout(sample(120_000, 600_000));
    const sessions: Session[] = [session];
    while (sessions.length < 4) {
      sessions.push(await bulkhead.createSession({ name: `S${String(sessions.length)}`, from: { kind: 'head' } }));
    }
    const workers = Array.from({ length: 8 }, (_, index) => {
      const of = sessions[index % sessions.length] ?? session;
      const files = Array.from(
        { length: sample(12, 100) },
        (_unused, step) =>
          [`folder ${String(index)}/${String(step % 7)}.txt`, `${String(index)} ${String(step)}\n`] as const,
      );
      return startWorker(world, { kind: 'save', session: of.id, clone: cloneOf(of), files });
    });
    await Promise.all(workers.map(({ ready }) => ready));
    for (const { child } of workers) {
      child.send('go');
    }
    const work: { isDone: boolean } = { isDone: false };
    let runs = 0;
    const all = Promise.all(workers.map(({ result }) => result)).finally(() => {
      work.isDone = true;
    });
    while (!work.isDone) {
      const { skipped } = await bulkhead.maintain();
      assert.deepEqual(skipped, []);
      runs++;
    }
    const results = await all;
    assert.deepEqual(
      results.filter(({ error }) => error !== undefined),
      [],
    );
    assert.ok(runs > 1, `it ran ${String(runs)} times`);
    const listed = new Set((await bulkhead.snapshots({ limit: 1000 })).map(({ oid }) => oid));
    for (const oid of results.flatMap(({ snapshots }) => snapshots)) {
      assert.ok(oid === null || listed.has(oid), `${String(oid)} is lost`);
    }
    fsck(world.store);
  });

  it('goes on after it was killed in the middle, and sweeps what that left behind once it is old', async function () {
    this.timeout(60_000);
    for (let number = 0; number < 8; number++) {
      putBlob(randomBytes(1_500_000));
    }
    // A git that kills its whole group as soon as the pack that it writes is there.
    const real = gitLine(['--exec-path'], world.folder);
    const fake = join(world.folder, 'git');
    writeFileSync(
      fake,
      `#!/bin/sh
case "$*" in
  *repack*)
    "${real}/git" "$@" &
    while ! ls "${packFolder()}" | grep -q '^tmp_pack_'; do kill -0 $! || exit 1; done
    kill -9 0;;
esac
exec "${real}/git" "$@"
`,
    );
    chmodSync(fake, 0o755);
    const killing = await openBulkhead(await hostOf({ gitPath: fake }), {
      repository: world.repo.dir,
      storage: world.storage,
      create: true,
    });
    await assert.rejects(killing.maintain(), /was ended by SIGKILL/);
    await killing.shutdown();
    const leftovers = (): string[] => readdirSync(packFolder()).filter((name) => /^(tmp_|\.tmp-)/.test(name));
    assert.notDeepEqual(leftovers(), []);
    fsck(world.store);
    const again = await bulkhead.maintain();
    assert.deepEqual([again.after.loose, again.swept.files], [0, 0], 'it may belong to a git that still runs');
    for (const name of leftovers()) {
      utimesSync(join(packFolder(), name), 1, 1);
    }
    const lock = join(world.store, 'refs', 'bulkhead', 'sessions', 'left.lock');
    writeFileSync(lock, '');
    utimesSync(lock, 1, 1);
    const { swept } = await bulkhead.maintain();
    assert.ok(swept.files >= 2, JSON.stringify(swept));
    assert.deepEqual([leftovers(), existsSync(lock)], [[], false]);
    fsck(world.store);
  });

  it('ends with all of its processes, and lets go of the store, when it is cancelled or its window is closed', async () => {
    const real = gitLine(['--exec-path'], world.folder);
    const [folder, fake] = [join(world.folder, 'started'), join(world.folder, 'git')];
    mkdirSync(folder);
    // A packing that never ends by itself, in a child of its own.
    writeFileSync(
      fake,
      `#!/bin/sh
case "$*" in
  *repack*)
    sleep 600 &
    echo $! >"${folder}/new" && mv "${folder}/new" "${folder}/$!"
    wait;;
esac
exec "${real}/git" "$@"
`,
    );
    chmodSync(fake, 0o755);
    const window = await openBulkhead(await hostOf({ gitPath: fake }), {
      repository: world.repo.dir,
      storage: world.storage,
      create: true,
    });
    const abort = new AbortController();
    const cancel = (): Promise<void> => {
      abort.abort();
      return Promise.resolve();
    };
    for (const end of [cancel, () => window.shutdown()]) {
      for (const name of readdirSync(folder)) {
        unlinkSync(join(folder, name));
      }
      const watcher = watch(folder);
      const started = new Promise<number>((resolve) => {
        watcher.on('change', (_event, name) => {
          if (/^\d+$/.test(String(name)) && existsSync(join(folder, String(name)))) {
            resolve(Number(name));
          }
        });
      });
      const run = window.maintain(abort.signal.aborted ? {} : { signal: abort.signal });
      const [pid] = await Promise.all([started, assert.rejects(run, /Cancelled/), started.then(end)]);
      watcher.close();
      assert.ok(
        (await livenessOf({ ...(await ownIdentity()), pid, started: null })) === 'dead',
        `${String(pid)} still runs`,
      );
      assert.equal(tryGit(['rev-parse', '--verify', '--quiet', 'refs/bulkhead/claims/store'], world.store).code, 1);
    }
    assert.deepEqual(window.pids, []);
    await bulkhead.maintain();
    fsck(world.store);
  });

  it('is done by one process at a time', async () => {
    const other = await world.open();
    const results = await Promise.allSettled([bulkhead.maintain(), other.maintain()]);
    const failed = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    assert.equal(failed.length, 1);
    assert.ok(failed[0] instanceof BulkheadError && failed[0].code === 'claimed');
    await other.maintain();
  });

  describe('with a disk and a clock of its own', () => {
    const DAYS_AHEAD = 40;
    const maintenanceOf = async (options: {
      readonly free?: number;
      readonly daysAhead?: number;
    }): Promise<{ readonly maintenance: Maintenance; readonly stop: () => Promise<void> }> => {
      const host = await hostOf({
        clock: { ...systemClock, now: () => Date.now() + (options.daysAhead ?? 0) * DAY_S * 1000 },
      });
      const repository = await openUserRepository(host, world.repo.dir);
      const store = await openSnapshotStore(host, storageAt(world.storage), repository);
      const maintenance = new Maintenance({
        host,
        store,
        claims: new Claims(host, store, new LockFolder(storageAt(world.storage).locks, host)),
        storageRoot: world.storage,
        ...(options.free === undefined ? {} : { freeBytes: () => Promise.resolve(options.free ?? 0) }),
      });
      return { maintenance, stop: () => store.stop() };
    };

    it('writes nothing when less than twice of it is free', async () => {
      const { maintenance, stop } = await maintenanceOf({ free: 1000 });
      const { before, after, skipped } = await maintenance.run();
      await stop();
      assert.deepEqual(
        skipped.map(({ step }) => step),
        ['repack'],
      );
      assert.equal(after.packs, before.packs);
    });

    it('packs everything anew once a month, without what is old and with what is fresh though nothing leads to it', async function () {
      if (/ 2\.3[0-6]\./.test(gitLine(['--version'], world.folder))) {
        this.skip();
      }
      const lost = putBlob('packed, then lost\n');
      await bulkhead.maintain();
      // Packed by now, where no prune reaches it; its age is the pack's.
      for (const name of readdirSync(packFolder())) {
        const old = Date.now() / 1000 - 2 * DAY_S;
        utimesSync(join(packFolder(), name), old, old);
      }
      const fresh = putBlob('fresh\n');
      const { maintenance, stop } = await maintenanceOf({ daysAhead: DAYS_AHEAD });
      const { full, skipped } = await maintenance.run();
      assert.deepEqual([full, skipped], [true, []]);
      assert.deepEqual([has(lost), has(fresh)], [false, true]);
      assert.equal((await maintenance.run()).full, false);
      await stop();
      fsck(world.store);
    });

    /** Names that begin like a sample of the folders that it looks into. */
    const makeMuchLoose = (): void => {
      for (const folder of ['17', '3b', '5e', '80', 'a2', 'c5', 'e9', 'fe']) {
        for (let number = 0; number < 50; number++) {
          write(join(world.store, 'objects'), `${folder}/tmp_obj_${String(number)}`, '');
        }
      }
    };

    it('is due when much is loose and the last time is a day ago', async () => {
      const { maintenance, stop } = await maintenanceOf({});
      assert.equal(await maintenance.isDue(), false);
      makeMuchLoose();
      assert.equal(await maintenance.isDue(), true);
      await maintenance.run();
      assert.equal(await maintenance.isDue(), false);
      await stop();
      const later = await maintenanceOf({ daysAhead: 2 });
      assert.equal(await later.maintenance.isDue(), true);
      await later.stop();
    });

    it('is due although the last time was in a future that the clock was set back from', async () => {
      const ahead = Date.now() + DAYS_AHEAD * DAY_S * 1000;
      writeFileSync(stateFile(), JSON.stringify({ format: 1, first: ahead, last: ahead, lastFull: ahead }));
      makeMuchLoose();
      const { maintenance, stop } = await maintenanceOf({});
      assert.equal(await maintenance.isDue(), true);
      const { time } = await maintenance.run();
      const state = JSON.parse(readFileSync(stateFile(), 'utf8')) as { first: number; lastFull: number | null };
      assert.ok(state.first <= time && state.lastFull === null, JSON.stringify(state));
      assert.equal(await maintenance.isDue(), false);
      await stop();
    });

    it('is left to a newer version that has tidied up, which is told once with what to do', async () => {
      makeMuchLoose();
      const [text, old] = ['{"format":2,"later":true}\n', putBlob('old\n')];
      makeOld(old);
      writeFileSync(stateFile(), text);
      const window = await world.open();
      assert.deepEqual([await window.maintenanceIsDue(), await window.maintenanceIsDue()], [false, false]);
      assert.equal(world.warnings.length, 1);
      assert.match(world.warnings[0] ?? '', /newer version.*Update Bulkhead/);
      await assert.rejects(window.maintain(), {
        code: 'maintenance-newer',
        message: /Nothing was changed.*Update Bulkhead/,
      });
      assert.deepEqual([readFileSync(stateFile(), 'utf8'), has(old)], [text, true]);
      assert.deepEqual(readdirSync(packFolder()), []);
      write(cloneOf(session), 'a.txt', 'saves go on\n');
      await snapshotOf(window, session);
    });

    it('writes the file anew that does not tell when the last time was', async () => {
      for (const text of [
        '{"format":1,"first":',
        '{"format":1,"first":1,"last":"never"}',
        '[]',
        '{"first":1,"last":1}',
      ]) {
        writeFileSync(stateFile(), text);
        const { time } = await bulkhead.maintain();
        const state = JSON.parse(readFileSync(stateFile(), 'utf8')) as { format: number; first: number; last: number };
        assert.deepEqual([state.format, state.first, state.last], [1, time, time], text);
      }
    });
  });
});
