import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/base/clock';
import { BulkheadError } from '../../src/base/errors';
import { formatHolder, HEARTBEAT_MS, type Holder, HOLDER_TTL_MS, SAVE_LOCK_CAP_MS } from '../../src/core/holder';
import type { HeldLock, LockLoss } from '../../src/session/heldLock';
import { newHolder } from '../../src/session/holders';
import { createHost, type Host } from '../../src/session/host';
import { LockFolder, type Locked } from '../../src/session/locks';
import { cleanEnvironment } from '../support/environment';
import { ShiftedClock } from '../support/shiftedClock';
import { sample } from '../support/soak';
import { temporaryFolder } from '../support/temporary';
import { LockWorker } from './lockWorkers';

const RACERS = 8;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

describe('locks', () => {
  let folder: string;
  let host: Host;
  let warnings: string[];
  const workers: LockWorker[] = [];

  beforeEach(async () => {
    folder = temporaryFolder('locks');
    warnings = [];
    host = await createHost({
      log: {
        debug: () => undefined,
        info: () => undefined,
        warn: (message) => warnings.push(message),
        error: (message) => warnings.push(message),
      },
      product: 'test',
      environment: cleanEnvironment(),
    });
  });

  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.kill()));
  });

  const file = (name: string): string => join(folder, `${name}.lock`);
  const worker = async (): Promise<LockWorker> => {
    const started = await LockWorker.start({ locks: folder });
    workers.push(started);
    return started;
  };
  const at = (clock: Clock): Host => ({ ...host, clock });
  const after = (ms: number): Host => {
    const clock = new ShiftedClock();
    clock.sleep(ms);
    return at(clock);
  };
  const take = async (
    name: string,
    options: { readonly by?: Host; readonly onLost?: (loss: LockLoss) => void } = {},
  ): Promise<Locked> => {
    const by = options.by ?? host;
    return new LockFolder(folder, by).acquire(name, {
      holder: await newHolder(by, 'checkpoint', 'codex'),
      waitMs: 0,
      capMs: SAVE_LOCK_CAP_MS,
      ...(options.onLost === undefined ? {} : { onLost: options.onLost }),
    });
  };
  const held = (locked: Locked): HeldLock => (locked.kind === 'held' ? locked.lock : assert.fail(locked.kind));
  const put = async (name: string, changes: Partial<Record<keyof Holder, unknown>>): Promise<string> => {
    const text = formatHolder({ ...(await newHolder(host, 'checkpoint', 'codex')), ...changes } as Holder);
    writeFileSync(file(name), text);
    return text;
  };

  it('gives a lock to one of eight processes that ask at once, whether it is free or a dead holder left it', async function () {
    this.timeout(sample(60_000, 600_000));
    const killed = await worker();
    assert.equal(await killed.order({ kind: 'take', name: 'left' }), 'held');
    await killed.kill();
    const record = readFileSync(file('left'), 'utf8');
    const racers = await Promise.all(Array.from({ length: RACERS }, () => worker()));
    for (let round = 0; round < sample(12, 500); round++) {
      const name = `round-${String(round)}`;
      if (round % 2 === 1) {
        writeFileSync(file(name), record);
      }
      const answers = await Promise.all(racers.map((racer) => racer.order({ kind: 'take', name })));
      assert.deepEqual(
        answers.sort(),
        [...Array.from({ length: RACERS - 1 }, () => 'busy'), 'held'],
        `round ${String(round)}`,
      );
      await Promise.all(racers.map((racer) => racer.order({ kind: 'release' })));
      assert.equal(existsSync(file(name)), false);
    }
    assert.deepEqual(readdirSync(folder), ['left.lock'], 'nothing is left over');
  });

  it('tells a holder that somebody else has its lock, and lets it release nothing', async () => {
    const losses: LockLoss[] = [];
    const first = held(await take('one', { onLost: (loss) => losses.push(loss) }));
    assert.equal(first.verify(), true);
    rmSync(file('one'));
    const second = held(await take('one'));
    assert.equal(first.verify(), false);
    assert.deepEqual(losses, ['taken-over']);
    first.release();
    first.release();
    assert.equal(second.verify(), true);
    second.release();
    assert.equal(existsSync(file('one')), false);
  });

  it('takes a lock at once from a holder that was killed, and makes others wait for one that lives', async () => {
    const holder = await worker();
    assert.equal(await holder.order({ kind: 'take', name: 'one' }), 'held');
    const busy = await take('one');
    assert.equal(busy.kind === 'busy' ? busy.holder?.pid : undefined, holder.child.pid);
    await holder.kill();
    held(await take('one')).release();
  });

  it('takes a lock at once whose holder had a number that is another process by now, or lived before the machine started', async function () {
    if (process.platform !== 'linux') {
      this.skip();
    }
    await put('reused', { started: '1', nonce: 'other' });
    held(await take('reused')).release();
    await put('rebooted', { boot: 'another one', nonce: 'other' });
    held(await take('rebooted')).release();
  });

  it('takes a lock at once that this process itself left behind', async function () {
    if (process.platform !== 'linux') {
      this.skip();
    }
    await put('own', { nonce: 'left' });
    held(await take('own')).release();
  });

  const doubtful: readonly (readonly [string, Partial<Record<keyof Holder, unknown>>])[] = [
    ['on another host', { host: `not-${hostname()}` }],
    ['in another container', { space: 'pid:[1]' }],
    ['with a number that no process has', { pid: 0 }],
    ['with an odd number', { pid: 1.5 }],
    ['that cannot be told from a later process', { pid: process.ppid, started: null, boot: null }],
  ];
  for (const [name, changes] of doubtful) {
    it(`waits for a holder ${name}, and takes over after the time to live`, async () => {
      const text = await put('one', changes);
      assert.equal((await take('one')).kind, 'busy');
      assert.equal((await take('one', { by: after(HOLDER_TTL_MS - 10 * SECOND) })).kind, 'busy');
      assert.equal(readFileSync(file('one'), 'utf8'), text);
      held(await take('one', { by: after(HOLDER_TTL_MS + 10 * SECOND) })).release();
    });
  }

  const bare: readonly (readonly [string, () => void])[] = [
    ['an empty file', () => writeFileSync(file('one'), '')],
    ['a folder without a record, as the first versions made it,', () => mkdirSync(file('one'))],
    ['a link that leads nowhere', () => symlinkSync('nowhere', file('one'))],
  ];
  for (const [name, make] of bare) {
    it(`waits for ${name} and takes over when its time is further away than the time to live, past or future`, async () => {
      for (const ms of [HOLDER_TTL_MS, -HOLDER_TTL_MS]) {
        make();
        assert.equal((await take('one')).kind, 'busy');
        assert.equal((await take('one', { by: after(ms * 0.9) })).kind, 'busy');
        held(await take('one', { by: after(ms * 1.1) })).release();
      }
    });
  }

  it('reads the record beside a folder, as the first versions wrote it', async () => {
    const holder = await worker();
    assert.equal(await holder.order({ kind: 'take', name: 'one' }), 'held');
    mkdirSync(file('two'));
    writeFileSync(join(folder, 'two.holder'), readFileSync(file('one')));
    const busy = await take('two');
    assert.equal(busy.kind === 'busy' ? busy.holder?.pid : undefined, holder.child.pid);
    await holder.kill();
    held(await take('two')).release();
    assert.deepEqual(readdirSync(folder), ['one.lock']);
  });

  it('does not take over from a living holder for its silence, only one time to live after its cap', async function () {
    if (process.platform !== 'linux') {
      this.skip();
    }
    const holder = await worker();
    assert.equal(await holder.order({ kind: 'take', name: 'one' }), 'held');
    assert.equal((await take('one', { by: after(SAVE_LOCK_CAP_MS) })).kind, 'busy');
    assert.equal((await take('one', { by: after(-SAVE_LOCK_CAP_MS) })).kind, 'busy');
    const taken = held(await take('one', { by: after(SAVE_LOCK_CAP_MS + HOLDER_TTL_MS + MINUTE) }));
    assert.equal(await holder.order({ kind: 'release' }), 'released');
    assert.equal(taken.verify(), true, 'the late release of the first one does nothing');
    taken.release();
  });

  it('gives signs of life up to the cap, and none after it', async () => {
    const clock = new ShiftedClock();
    const losses: LockLoss[] = [];
    const start = clock.now();
    const lock = held(await take('one', { by: at(clock), onLost: (loss) => losses.push(loss) }));
    const renewed = (): number => Math.round(statSync(file('one')).mtimeMs) - start;
    assert.equal(renewed(), 0);
    clock.pass(HEARTBEAT_MS);
    assert.equal(renewed(), HEARTBEAT_MS);
    clock.pass(SAVE_LOCK_CAP_MS - HEARTBEAT_MS - 1);
    assert.ok(renewed() < SAVE_LOCK_CAP_MS);
    assert.deepEqual(losses, []);
    const last = renewed();
    clock.pass(SAVE_LOCK_CAP_MS);
    assert.deepEqual(losses, ['too-long']);
    assert.equal(renewed(), last);
    assert.equal(lock.verify(), false);
    lock.release();
    assert.equal(existsSync(file('one')), false, 'what nobody else has taken is not left behind');
  });

  for (const [name, ms] of [
    ['slept', HOLDER_TTL_MS + SECOND],
    ['had its clock set back', -HOLDER_TTL_MS - 2 * HEARTBEAT_MS],
  ] as const) {
    it(`loses a lock instead of reviving it after the machine ${name} for longer than the time to live`, async () => {
      const clock = new ShiftedClock();
      const losses: LockLoss[] = [];
      const lock = held(await take('one', { by: at(clock), onLost: (loss) => losses.push(loss) }));
      const before = statSync(file('one')).mtimeMs;
      clock.sleep(ms);
      clock.pass(HEARTBEAT_MS);
      assert.deepEqual(losses, ['silent']);
      assert.equal(statSync(file('one')).mtimeMs, before);
      lock.release();
      held(await take('one', { by: at(clock) })).release();
    });
  }

  it('respects a newer version, warns once per lock with what to do, and takes over after its time to live', async () => {
    const text = JSON.stringify({ format: 2, who: 'a later version' });
    const locks = new LockFolder(folder, host);
    const acquire = async (name: string): Promise<Locked> =>
      // Long enough to be seen as a hang if it waited.
      locks.acquire(name, {
        holder: await newHolder(host, 'checkpoint', 'codex'),
        waitMs: 60 * MINUTE,
        capMs: SAVE_LOCK_CAP_MS,
      });
    for (const name of ['one', 'two']) {
      writeFileSync(file(name), text);
      const { mtimeMs } = statSync(file(name));
      for (let time = 0; time < 2; time++) {
        assert.equal((await acquire(name)).kind, 'newer');
      }
      assert.deepEqual([readFileSync(file(name), 'utf8'), statSync(file(name)).mtimeMs], [text, mtimeMs]);
    }
    assert.equal(warnings.length, 2, warnings.join('\n'));
    assert.match(warnings[0] ?? '', /lock one .*newer version of Bulkhead.*Update Bulkhead/);
    held(await take('one', { by: after(HOLDER_TTL_MS + SECOND) })).release();
  });

  it('goes on without a folder for locks, and says so once', async () => {
    rmSync(folder, { recursive: true });
    const locks = new LockFolder(folder, host);
    for (const name of ['one', 'two']) {
      const holder = await newHolder(host, 'checkpoint', 'codex');
      assert.equal((await locks.acquire(name, { holder, waitMs: 0, capMs: SAVE_LOCK_CAP_MS })).kind, 'absent');
    }
    assert.equal(warnings.length, 1, warnings.join('\n'));
    assert.deepEqual(await locks.list(), []);
    assert.equal(existsSync(folder), false);
  });

  it('stops and says so when the folder for locks cannot be written or is a loop', async function () {
    const refused = async (code: string): Promise<void> => {
      const error = await take('one').then(
        (locked) => assert.fail(`it was ${locked.kind}`),
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof BulkheadError, String(error));
      assert.deepEqual([error.kind, error.code], ['io', code]);
      assert.ok(error.message.includes(file('one')), error.message);
    };
    rmSync(folder, { recursive: true });
    symlinkSync(folder, folder);
    await refused('io-eloop');
    rmSync(folder);
    mkdirSync(folder, { mode: 0o555 });
    // The administrator may write everywhere: for a moment we are somebody else.
    const isRoot = process.getuid?.() === 0;
    if (isRoot) {
      process.seteuid?.(65_534);
    }
    try {
      await refused('io-eacces');
    } finally {
      if (isRoot) {
        process.seteuid?.(0);
      }
    }
  });

  it('gets past a guard that was left by a process that was killed in the middle of taking over', async () => {
    await put('one', { host: 'elsewhere' });
    mkdirSync(`${file('one')}.guard`);
    const old = Date.now() / 1000 - 3600;
    utimesSync(`${file('one')}.guard`, old, old);
    const by = after(HOLDER_TTL_MS + SECOND);
    assert.equal((await take('one', { by })).kind, 'busy');
    held(await take('one', { by })).release();
    assert.deepEqual(readdirSync(folder), []);
  });
});
