import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { BulkheadError } from '../../src/base/errors';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { useOwnHome } from '../support/environment';
import { gitLine } from '../support/git';
import { fillDisk, readOnly, skipWithoutMounts, smallDisk, unmountAll } from '../support/mounts';
import { SeededRandom } from '../support/seededRandom';
import { contentAt } from '../support/snapshotTree';
import { sample, seed } from '../support/soak';
import { checkpoint, cloneOf, EngineWorld, filesIn, fsck, read, restoreAll, snapshotOf, write } from './world';

const MEGABYTES = 24;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('faults of disks', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;

  beforeEach(() => {
    world = new EngineWorld();
  });

  afterEach(async () => {
    fsck(world.store);
    await world.close();
    unmountAll();
  });

  /** An outcome, or one of our errors; anything else fails. */
  const outcome = async <T>(work: Promise<T>): Promise<T | BulkheadError> =>
    work.catch((error: unknown) => {
      assert.ok(
        error instanceof BulkheadError,
        `not one of our errors: ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
      );
      return error;
    });
  const failure = async (work: Promise<unknown>): Promise<BulkheadError> => {
    const result = await outcome(work);
    assert.ok(result instanceof BulkheadError, 'it has to fail');
    return result;
  };
  const newSession = (name: string): Promise<Session> => bulkhead.createSession({ name, from: { kind: 'head' } });
  const isFull = (error: BulkheadError): void => {
    assert.deepEqual(
      [error.kind, ['io-enospc', 'restore-incomplete'].includes(error.code)],
      ['io', true],
      `${error.code}: ${error.message}`,
    );
    assert.match(error.message, /disk is full/);
  };

  describe('that are full', () => {
    const ROUNDS = sample(6, 60);
    let random: SeededRandom;

    beforeEach('a storage on a small disk', async function () {
      this.timeout(60_000);
      if (smallDisk(MEGABYTES, world.storage) === undefined) {
        skipWithoutMounts(this);
      }
      random = new SeededRandom(seed());
      bulkhead = await world.open();
    });

    /** Nothing left, next to nothing, or enough for some of the steps. */
    const room = (round: number): number => (round === 0 ? 0 : random.integer(0, 200_000));

    it('make no half session, and the next one is whole', async function () {
      this.timeout(300_000);
      await newSession('Before');
      let failures = 0;
      for (const round of numbers(ROUNDS)) {
        const free = fillDisk(world.storage, room(round));
        const result = await outcome(newSession(`Round ${String(round)}`));
        if (result instanceof BulkheadError) {
          isFull(result);
          failures++;
        }
        free();
        for (const session of await bulkhead.sessions({ all: true })) {
          assert.equal(session.state, 'ready', session.reason ?? '');
          assert.equal(gitLine(['status', '--porcelain'], cloneOf(session)), '');
        }
        fsck(world.store);
      }
      assert.ok(failures > 0);
      const after = await newSession('After');
      assert.equal(read(cloneOf(after), 'a.txt'), 'one\ntwo\nthree\n');
    });

    it('lose nothing of a save or a reconcile, and the next one works', async function () {
      this.timeout(300_000);
      const session = await newSession('Full');
      const clone = cloneOf(session);
      let newest = session.newest;
      let failures = 0;
      for (const round of numbers(2 * ROUNDS)) {
        const content = random.bytes(random.integer(1, 60_000));
        write(clone, `folder/${String(round)}.bin`, content);
        const paths = round % 2 === 0 ? [`folder/${String(round)}.bin`] : [];
        const free = fillDisk(world.storage, room(round));
        const result = await outcome(checkpoint(bulkhead, session, ...paths));
        const now = gitLine(['rev-parse', session.shadowRef], world.store);
        if (result instanceof BulkheadError) {
          isFull(result);
          failures++;
          assert.equal(now, newest, 'the ref stands where it stood');
        }
        free();
        fsck(world.store);
        newest = result instanceof BulkheadError ? await snapshotOf(bulkhead, session, ...paths) : now;
        assert.deepEqual(contentAt(world.store, newest, `folder/${String(round)}.bin`), content);
      }
      assert.ok(failures > 0);
      assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
    });

    it('leave a restore undone or cut off, and never without its safety snapshot', async function () {
      this.timeout(300_000);
      const session = await newSession('Full');
      const clone = cloneOf(session);
      for (const file of numbers(20)) {
        write(clone, `many/${String(file)}.bin`, random.bytes(10_000));
      }
      const target = await snapshotOf(bulkhead, session);
      const wanted = filesIn(clone);
      let failures = 0;
      for (const round of numbers(ROUNDS)) {
        rmSync(`${clone}/many`, { recursive: true });
        write(clone, 'unsaved.txt', `only on disk, round ${String(round)}\n`);
        const present = filesIn(clone);
        const free = fillDisk(world.storage, room(round));
        const result = await outcome(restoreAll(bulkhead, session, target));
        free();
        fsck(world.store);
        assert.equal(gitLine(['for-each-ref', 'refs/bulkhead/claims'], world.store), '');
        if (result instanceof BulkheadError) {
          isFull(result);
          failures++;
          if (result.code === 'restore-incomplete') {
            const undo = String(result.data['undo']);
            assert.equal(
              contentAt(world.store, undo, 'unsaved.txt').toString(),
              `only on disk, round ${String(round)}\n`,
            );
            await restoreAll(bulkhead, session, undo);
          }
          assert.deepEqual(filesIn(clone), present);
          await restoreAll(bulkhead, session, target);
        }
        assert.deepEqual(filesIn(clone), wanted);
      }
      assert.ok(failures > 0);
    });
  });

  describe('that are read-only', () => {
    let session: Session;
    let first: string;

    beforeEach('a session with a snapshot', async () => {
      bulkhead = await world.open();
      session = await newSession('Read-only');
      write(cloneOf(session), 'a.txt', 'first\n');
      first = await snapshotOf(bulkhead, session);
      write(cloneOf(session), 'a.txt', 'second\n');
    });

    it('refuse saves and restores when the store is on one, list and compare all the same, and go on later', async function () {
      const writable = readOnly(world.storage) ?? skipWithoutMounts(this);
      for (const work of [
        () => checkpoint(bulkhead, session),
        () => checkpoint(bulkhead, session, 'a.txt'),
        () => restoreAll(bulkhead, session, first),
        () => newSession('Another'),
      ]) {
        const error = await failure(work());
        assert.equal(error.kind, 'io', `${error.code}: ${error.message}`);
      }
      // Another window can be opened.
      for (const window of [bulkhead, await world.open()]) {
        const listed = await window.snapshots({ session: session.id });
        assert.deepEqual([listed.length, listed[0]?.oid], [2, first]);
        assert.deepEqual(
          (await window.sessions()).map(({ state }) => state),
          ['ready'],
        );
        const diff = await window.diff(
          { kind: 'tree', oid: listed[1]?.tree ?? '' },
          { kind: 'tree', oid: listed[0]?.tree ?? '' },
        );
        assert.equal(diff.files.length, 1);
      }
      assert.equal(read(cloneOf(session), 'a.txt'), 'second\n');
      writable();
      await snapshotOf(bulkhead, session, 'a.txt');
      await restoreAll(bulkhead, session, first);
      assert.equal(read(cloneOf(session), 'a.txt'), 'first\n');
    });

    it('can be recorded when the work tree is on one, and a restore fails with its first write', async function () {
      write(cloneOf(session), 'later.txt', 'later\n');
      const writable = readOnly(cloneOf(session)) ?? skipWithoutMounts(this);
      const present = filesIn(cloneOf(session));
      const saved = await snapshotOf(bulkhead, session, 'a.txt');
      assert.equal(contentAt(world.store, saved, 'a.txt').toString(), 'second\n');
      const everything = await snapshotOf(bulkhead, session);
      const error = await failure(restoreAll(bulkhead, session, first));
      assert.deepEqual([error.kind, error.code], ['io', 'restore-incomplete'], error.message);
      assert.match(error.message, /read-only|may not write/i);
      assert.deepEqual(filesIn(cloneOf(session)), present);
      writable();
      await restoreAll(bulkhead, session, first);
      assert.equal(read(cloneOf(session), 'a.txt'), 'first\n');
      await restoreAll(bulkhead, session, everything);
      assert.deepEqual(filesIn(cloneOf(session)), present);
    });
  });
});
