import assert from 'node:assert/strict';
import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../src/base/clock';
import { BulkheadError } from '../../src/base/errors';
import { silentLog } from '../../src/base/log';
import {
  CLAIM_CAP_MS,
  formatHolder,
  HEARTBEAT_MS,
  type Holder,
  HOLDER_TTL_MS,
  parseHolder,
} from '../../src/core/holder';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { Claims, type HeldClaim } from '../../src/session/claims';
import { newHolder } from '../../src/session/holders';
import { createHost } from '../../src/session/host';
import { LockFolder } from '../../src/session/locks';
import type { SnapshotStore } from '../../src/session/snapshotStore';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { later, ShiftedClock } from '../support/shiftedClock';
import { openInnerStore } from './innerStore';
import { LockWorker } from './lockWorkers';
import { checkpoint, cloneOf, EngineWorld, fsck, read, restoreAll, snapshotOf, write } from './world';

const MINUTE = 60_000;

describe('claims', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  const workers: LockWorker[] = [];
  const stores: SnapshotStore[] = [];

  before('a repository', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
  });

  beforeEach(() => {
    world.warnings.length = 0;
  });

  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.kill()));
    await Promise.all(stores.splice(0).map((store) => store.stop()));
  });

  after(async () => {
    fsck(world.store);
    await world.close();
  });

  /** A session with one change after its start. */
  const changed = async (): Promise<Session> => {
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    write(cloneOf(session), 'a.txt', 'changed\n');
    await snapshotOf(bulkhead, session);
    return session;
  };
  const refOf = (session: Session): string => `refs/bulkhead/claims/${session.id}`;
  const claimOf = (session: Session): string =>
    gitLine(['for-each-ref', '--format=%(objectname)', refOf(session)], world.store);
  const plant = (session: Session, text: string): string => {
    const oid = gitLine(['hash-object', '-w', '--stdin'], world.store, { input: text });
    git(['update-ref', refOf(session), oid], world.store);
    return oid;
  };
  const claims = async (clock: Clock = systemClock): Promise<Claims> => {
    const { host, store } = await openInnerStore(world, clock);
    stores.push(store);
    return new Claims(host, store, new LockFolder(join(world.storage, 'locks'), host));
  };
  const claimedByProcess = async (session: Session): Promise<LockWorker> => {
    const worker = await LockWorker.start(
      { locks: join(world.storage, 'locks'), repository: world.repo.dir, storage: world.storage },
      world.environment,
    );
    workers.push(worker);
    assert.equal(await worker.order({ kind: 'claim', session: session.id }), 'claimed');
    return worker;
  };
  const holder = async (changes: Partial<Holder>): Promise<string> =>
    formatHolder({
      ...(await newHolder(await createHost({ log: silentLog, product: 'test' }), 'restore', 'codex')),
      ...changes,
    });
  const errorOf = async (work: Promise<unknown>): Promise<BulkheadError> => {
    const error = await work.then(
      () => assert.fail('it has to fail'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof BulkheadError, String(error));
    return error;
  };
  const restoredBy = async (window: Bulkhead, session: Session): Promise<void> => {
    await restoreAll(window, session, session.newest ?? '');
    assert.equal(read(cloneOf(session), 'a.txt'), 'one\ntwo\nthree\n');
  };

  it('are not taken over from a living process that was silent for ten minutes, and at once when it is killed', async function () {
    if (process.platform !== 'linux') {
      this.skip();
    }
    const session = await changed();
    const worker = await claimedByProcess(session);
    const claim = claimOf(session);
    for (const ms of [10 * MINUTE, -10 * MINUTE, CLAIM_CAP_MS]) {
      const window = await world.open({}, world.repo.dir, later(ms));
      const error = await errorOf(restoreAll(window, session, session.newest ?? ''));
      assert.deepEqual([error.kind, error.code], ['busy', 'claimed']);
      assert.ok(error.message.includes(String(worker.child.pid)), error.message);
      assert.equal(claimOf(session), claim);
      assert.equal(read(cloneOf(session), 'a.txt'), 'changed\n');
    }
    await worker.kill();
    await restoredBy(bulkhead, session);
    assert.equal(claimOf(session), '');
  });

  it('of the dead stand until what was begun under them is finished, and are taken away by who has nothing to finish', async () => {
    const session = await changed();
    const worker = await claimedByProcess(session);
    const claim = claimOf(session);
    await worker.kill();
    const own = await claims();
    const onWait = (): void => assert.fail('nobody is waited for');
    await own.waitUntilFree(session.id, { waitMs: MINUTE, leavesOver: true, onWait });
    assert.equal(claimOf(session), claim);
    await own.waitUntilFree(session.id, { waitMs: MINUTE, leavesOver: false, onWait });
    assert.equal(claimOf(session), '');
  });

  it('are taken over from a living process one time to live after the cap', async () => {
    const session = await changed();
    plant(session, await holder({ nonce: 'wedged', thread: 7 }));
    assert.equal((await errorOf(restoreAll(bulkhead, session, session.newest ?? ''))).code, 'claimed');
    await restoredBy(await world.open({}, world.repo.dir, later(CLAIM_CAP_MS + HOLDER_TTL_MS + MINUTE)), session);
  });

  it('of a holder that nothing is known of end with the time to live, also when it lies in the future', async () => {
    for (const ms of [HOLDER_TTL_MS, -HOLDER_TTL_MS]) {
      const session = await changed();
      plant(session, await holder({ host: 'elsewhere' }));
      const early = await world.open({}, world.repo.dir, later(ms * 0.9));
      assert.equal((await errorOf(restoreAll(early, session, session.newest ?? ''))).code, 'claimed');
      await restoredBy(await world.open({}, world.repo.dir, later(ms * 1.1)), session);
    }
  });

  it('that this process left behind, because they could not be removed, keep nobody waiting', async function () {
    if (process.platform !== 'linux') {
      this.skip();
    }
    const session = await changed();
    plant(session, await holder({ nonce: 'left' }));
    await restoredBy(bulkhead, session);
  });

  it('of a newer version are respected, never rewritten, and warned about once with what to do', async () => {
    const session = await changed();
    const text = '{"format":2,"who":"a later version"}';
    const oid = plant(session, text);
    for (let time = 0; time < 2; time++) {
      const error = await errorOf(restoreAll(bulkhead, session, session.newest ?? ''));
      assert.equal(error.code, 'claimed');
      assert.match(error.message, /newer version of Bulkhead.*Update Bulkhead/);
    }
    assert.equal(claimOf(session), oid);
    assert.equal(world.warnings.filter((warning) => warning.includes('newer version')).length, 1);
    assert.equal(read(cloneOf(session), 'a.txt'), 'changed\n');
    // By the age of the ref: nothing else is known.
    await restoredBy(await world.open({}, world.repo.dir, later(HOLDER_TTL_MS + MINUTE)), session);
  });

  it('of a newer version that git keeps packed count from when they were seen first', async () => {
    const session = await changed();
    plant(session, '{"format":2}');
    git(['pack-refs', '--all', '--prune'], world.store);
    const clock = { shift: 0 };
    const window = await world.open({}, world.repo.dir, {
      ...systemClock,
      now: () => systemClock.now() + clock.shift,
    });
    assert.equal((await errorOf(restoreAll(window, session, session.newest ?? ''))).code, 'claimed');
    clock.shift = HOLDER_TTL_MS + MINUTE;
    await restoredBy(window, session);
  });

  it('stay with whoever took them over: the former holder is told, and releases nothing', async () => {
    const session = await changed();
    let signal: AbortSignal | undefined;
    const error = await errorOf(
      (await claims()).hold(session.id, 'restore', 'codex', async (claim: HeldClaim) => {
        signal = claim.signal;
        await claim.check();
        plant(session, await holder({ nonce: 'stranger', host: 'elsewhere' }));
        await claim.check();
      }),
    );
    assert.deepEqual([error.kind, error.code], ['busy', 'claim-lost']);
    assert.equal(signal?.aborted, true);
    const standing = parseHolder(git(['cat-file', 'blob', refOf(session)], world.store).toString());
    assert.equal(standing.kind === 'ok' ? standing.holder.nonce : '', 'stranger');
    git(['update-ref', '-d', refOf(session)], world.store);
  });

  it('are renewed up to the cap and keep their beginning, then their holder is told', async () => {
    const session = await changed();
    const clock = new ShiftedClock();
    const start = clock.now();
    const all = await claims(clock);
    await all.hold(session.id, 'restore', 'codex', async (claim) => {
      const record = async (): Promise<Holder> => {
        const found = await all.find(session.id);
        return found?.record.kind === 'ok' ? found.record.holder : assert.fail('no claim');
      };
      clock.pass(HEARTBEAT_MS);
      await claim.check();
      const first = await record();
      assert.deepEqual([first.since - start, first.time - start], [0, HEARTBEAT_MS]);
      // The machine slept for longer than the time to live: nobody took it, so it goes on.
      clock.sleep(10 * MINUTE);
      clock.pass(HEARTBEAT_MS);
      await claim.check();
      const second = await record();
      assert.deepEqual([second.since - start, second.time - start], [0, 10 * MINUTE + 2 * HEARTBEAT_MS]);
      clock.sleep(CLAIM_CAP_MS);
      clock.pass(HEARTBEAT_MS);
      assert.equal((await errorOf(claim.check())).code, 'claim-lost');
      assert.equal(claim.signal.aborted, true);
      clock.pass(HEARTBEAT_MS);
      assert.deepEqual(await record(), second);
      // It can still say what came of it: the claim stands until somebody takes it.
      assert.equal((await all.find(session.id))?.oid, all.ownClaim(session.id));
    });
    assert.equal(claimOf(session), '');
  });

  it('get rid of a lock file that a killed git left on them more than a minute ago', async () => {
    const session = await changed();
    write(join(world.store, 'refs', 'bulkhead', 'claims'), `${session.id}.lock`, '');
    const lockFile = join(world.store, `${refOf(session)}.lock`);
    writeFileSync(lockFile, '');
    const old = Date.now() / 1000 - 120;
    utimesSync(lockFile, old, old);
    await restoredBy(bulkhead, session);
  });

  for (const packed of [false, true]) {
    it(`hold back a save of somebody else only while they stand${packed ? ', also when git keeps them packed' : ''}`, async () => {
      const session = await changed();
      write(cloneOf(session), 'a.txt', 'saved meanwhile\n');
      plant(session, await holder({ host: 'elsewhere' }));
      if (packed) {
        git(['pack-refs', '--all', '--prune'], world.store);
      }
      const waits = new Promise<string>((resolve) => {
        const listening = bulkhead.onDidChangeWaiting(() => {
          const [entry] = bulkhead.waiting();
          if (entry !== undefined) {
            listening.dispose();
            resolve(`${entry.what}: ${entry.holder}`);
          }
        });
      });
      const save = checkpoint(bulkhead, session);
      assert.match(await waits, /^claim: restore by codex \(process \d+ on elsewhere/);
      git(['update-ref', '-d', refOf(session)], world.store);
      assert.notEqual((await save).snapshot, null);
    });
  }
});
