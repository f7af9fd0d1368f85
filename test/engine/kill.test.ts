import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Recovered, Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { headTreeOf, Oracle } from '../support/oracle';
import { SeededRandom } from '../support/seededRandom';
import { later } from '../support/shiftedClock';
import { treeOf } from '../support/snapshotTree';
import { isSoak, sample, seed } from '../support/soak';
import {
  arrange,
  KillWorld,
  locksBelow,
  prepare,
  type Prepared,
  refsBelow,
  repositoryState,
  treeState,
} from './killWorld';
import { type KillOrder, TRANSACTION } from './killSwitch';
import type { KillWork } from './kill.worker';
import { cloneOf, fsck, restoreAll, sharedFiles, snapshotOf, write } from './world';

/** Kills per operation, `BULKHEAD_KILLS`; absent: one each in half of the operations. A soak kills at every step of all. */
const KILLS = process.env['BULKHEAD_KILLS'];

/** What a kill is judged by. */
interface Case {
  readonly bulkhead: Bulkhead;
  readonly kill: KillWorld;
  readonly prepared: Prepared;
  /** Files, folders and links of the clone, as they were before the operation. */
  readonly before: Record<string, string>;
  readonly newestBefore: string;
  /** The tree of the newest snapshot when nobody is killed; null when the session is made by the operation. */
  readonly treeAfter: string | null;
  readonly recovered: readonly Recovered[];
}

/** The clone's files and the user's repository before the operation, and what the operation leads to. */
interface Before {
  readonly files: Record<string, string>;
  readonly hers: Record<string, string>;
  readonly treeAfter: string | null;
}

interface Operation {
  readonly name: string;
  readonly work: (prepared: Prepared) => KillWork;
  /** Brings the prepared state to where the operation begins. */
  readonly arrange?: (bulkhead: Bulkhead, prepared: Prepared, kill: KillWorld) => Promise<void>;
  /** The storage itself is made by the operation. */
  readonly withOpening?: boolean;
  /** What it does when nobody is killed, as in the trace: so that there is something to kill. */
  readonly steps?: readonly RegExp[];
  /** Runs after what was cut off has been recovered; throws when anything is neither old nor new. */
  readonly check: (state: Case) => Promise<void> | void;
}

const sessionOf = (state: Case): Promise<Session> => state.bulkhead.session(state.prepared.session.id);
const cloneIn = ({ prepared }: Case): string => cloneOf(prepared.session);

function newestOf({ kill, prepared }: Case): string {
  return gitLine(['rev-parse', prepared.session.shadowRef], kill.world.store);
}

/** The files are as they were. */
function sameFiles(state: Case): void {
  assert.deepEqual(treeState(cloneIn(state)), state.before);
}

/** No new snapshot, or one more with the tree of the work tree. */
function oneSnapshotAtMost(state: Case): void {
  const newest = newestOf(state);
  if (newest !== state.newestBefore) {
    const { store } = state.kill.world;
    assert.equal(gitLine(['rev-parse', `${newest}^`], store), state.newestBefore);
    assert.equal(treeOf(store, newest), state.treeAfter);
  }
}

/** Old or new, told from the files; and an undo leads back to the old ones. */
async function oldOrWritten(
  state: Case,
  trigger: 'restore' | 'undo',
  written: (state: Case) => Record<string, string>,
): Promise<void> {
  const present = treeState(cloneIn(state));
  const [newest] = await state.bulkhead.snapshots({ session: state.prepared.session.id, limit: 1 });
  assert.ok(newest);
  const recorded = (await state.bulkhead.snapshots({ session: state.prepared.session.id })).filter(
    (snapshot) => snapshot.trigger === trigger,
  );
  if (recorded.length === 0) {
    assert.deepEqual(present, state.before, 'nothing is written as long as no snapshot says so');
    return;
  }
  assert.equal(recorded.length, 1, 'it ends with one snapshot');
  assert.deepEqual(present, written(state));
  assert.equal(newest.oid, recorded[0]?.oid);
  await state.bulkhead.undo({
    session: state.prepared.session.id,
    redo: trigger === 'undo',
    consent: 'all',
    agent: 'user',
  });
  assert.deepEqual(treeState(cloneIn(state)), state.before, 'the way back leads to the state before');
}

/** What the two arrangements look like on the disk. */
const states = { first: {} as Record<string, string>, second: {} as Record<string, string> };

const restored = (): Record<string, string> => ({
  ...states.first,
  // Ignored, and in no snapshot: not the restore's to delete.
  'ignored.log': states.second['ignored.log'] ?? '',
});

async function createdOrNot({ bulkhead, kill }: Case): Promise<void> {
  const made = (await bulkhead.sessions({ all: true })).filter(({ name }) => name === 'Made');
  assert.ok(made.length <= 1);
  for (const session of made) {
    assert.equal(gitLine(['rev-parse', 'HEAD'], cloneOf(session)), kill.world.repo.resolve('HEAD'));
    assert.equal(treeOf(kill.world.store, session.shadowRef), session.newestTree);
  }
  const known = new Set((await bulkhead.sessions({ all: true })).map(({ id }) => id));
  assert.deepEqual(
    readdirSync(join(kill.world.storage, 'sessions')).filter((id) => !known.has(id)),
    [],
    'no folder without a session',
  );
}

const DAY_MS = 86_400_000;

/** What there is to tidy up after a month, and what has to stay. */
interface Aged {
  /** Objects that nothing leads to, one loose and one packed. */
  readonly rubbish: readonly string[];
  /** The ref that closed the first chain, which is gone. */
  readonly closed: string;
  /** Its last snapshot. */
  readonly last: string;
  /** All snapshots of both chains, the newest first. */
  readonly listed: readonly string[];
}

let aged: Aged;

/** A store that nobody has tidied up for long: all of it is old enough to be removed, unless something leads to it. */
async function age(bulkhead: Bulkhead, { session, first }: Prepared, kill: KillWorld): Promise<void> {
  const { store, storage } = kill.world;
  const putBlob = (input: string): string => gitLine(['hash-object', '-w', '--stdin'], store, { input });
  const packed = putBlob('packed, then lost\n');
  await bulkhead.maintain();
  const loose = putBlob('loose, and lost\n');
  const tomorrow = await kill.world.open({}, kill.world.repo.dir, later(DAY_MS + 60_000));
  await snapshotOf(tomorrow, session, 'a.txt');
  const closed = `refs/bulkhead/closed/${session.id}/1`;
  assert.equal(gitLine(['rev-parse', closed], store), first, 'a second chain has begun');
  const listed = (await bulkhead.snapshots({ session: session.id })).map(({ oid }) => oid);
  git(['update-ref', '-d', closed], store);
  write(store, 'objects/pack/tmp_pack_left', 'half a pack');
  const old = (Date.now() - 2 * DAY_MS) / 1000;
  for (const file of globSync('objects/{??,pack}/*', { cwd: store })) {
    utimesSync(join(store, file), old, old);
  }
  const time = Date.now() - 40 * DAY_MS;
  writeFileSync(
    join(storage, 'maintenance.json'),
    JSON.stringify({ format: 1, first: time, last: time, lastFull: time }),
  );
  aged = { rubbish: [packed, loose], closed, last: first, listed };
}

/** Since git 2.37; an older one never packs everything anew. */
const hasCruft = !/ 2\.3[0-6]\./.test(gitLine(['--version'], '/'));

const OPERATIONS: readonly Operation[] = [
  {
    name: 'create, with the storage',
    work: () => ({ kind: 'create', name: 'Made', carryUncommitted: false }),
    withOpening: true,
    check: createdOrNot,
  },
  {
    name: 'create, with work carried over',
    work: () => ({ kind: 'create', name: 'Made', carryUncommitted: true }),
    check: async (state) => {
      sameFiles(state);
      await createdOrNot(state);
    },
  },
  {
    name: 'checkpoint of a saved file',
    work: ({ session }) => ({ kind: 'checkpoint', session: session.id, paths: ['a.txt', 'swap/inside/file.txt'] }),
    check: (state) => {
      sameFiles(state);
      oneSnapshotAtMost(state);
    },
  },
  {
    name: 'reconcile',
    work: ({ session }) => ({ kind: 'checkpoint', session: session.id }),
    check: (state) => {
      sameFiles(state);
      oneSnapshotAtMost(state);
    },
  },
  {
    name: 'restore',
    work: ({ session, first }) => ({ kind: 'restore', session: session.id, target: first }),
    check: (state) => oldOrWritten(state, 'restore', restored),
  },
  {
    name: 'recovery of a restore',
    work: () => ({ kind: 'recover' }),
    arrange: async (bulkhead, { session, first }, kill) => {
      await bulkhead.shutdown();
      const work = { kind: 'restore', session: session.id, target: first } as const;
      kill.save();
      const counted = await kill.run(work, { step: 0, moment: 'before', victim: 'group' });
      assert.ok(counted.kind === 'done');
      kill.restore();
      // In the middle of the files.
      const renames = counted.trace.flatMap((step, index) => (step.startsWith('renameSync /proc') ? [index + 1] : []));
      const middle = renames[Math.floor(renames.length / 2)] ?? assert.fail('no file is written');
      assert.equal((await kill.run(work, { step: middle, moment: 'before', victim: 'group' })).kind, 'killed');
    },
    check: (state) => {
      assert.deepEqual(treeState(cloneIn(state)), restored());
    },
  },
  {
    name: 'maintenance of the store',
    work: () => ({ kind: 'maintain' }),
    check: async (state) => {
      sameFiles(state);
      const { session } = state.prepared;
      const listed = await state.bulkhead.snapshots({ session: session.id });
      assert.deepEqual(
        listed.filter(({ damage }) => damage !== null),
        [],
      );
      // A git that is killed may leave what it had half written; the next time goes on and has something to show for it.
      await state.bulkhead.maintain();
      assert.deepEqual(await state.bulkhead.snapshots({ session: session.id }), listed);
    },
  },
  {
    name: 'maintenance of a store that is a month old',
    work: () => ({ kind: 'maintain' }),
    arrange: age,
    steps: [
      /^(rm|unlink) .*tmp_pack_left$/,
      /^transaction update refs\/bulkhead\/closed\//,
      /^spawn prune /,
      hasCruft ? /^spawn repack .*--cruft / : /^spawn repack /,
      /^rename .*maintenance\.json$/,
    ],
    check: async (state) => {
      sameFiles(state);
      const { store } = state.kill.world;
      const { session } = state.prepared;
      const listed = async (): Promise<unknown> =>
        (await state.bulkhead.snapshots({ session: session.id })).map(({ oid, damage }) => [oid, damage]);
      const whole = aged.listed.map((oid) => [oid, null]);
      assert.deepEqual(await listed(), whole);
      const { skipped } = await state.bulkhead.maintain();
      assert.deepEqual(skipped, []);
      assert.deepEqual(await listed(), whole);
      assert.equal(gitLine(['rev-parse', aged.closed], store), aged.last);
      assert.deepEqual(
        aged.rubbish.map((oid) => tryGit(['cat-file', '-e', oid], store).code !== 0),
        [hasCruft, true],
        'what nothing leads to is gone in the end',
      );
    },
  },
  {
    name: 'undo',
    work: ({ session }) => ({ kind: 'undo', session: session.id }),
    arrange: async (bulkhead, { session, first }) => {
      await restoreAll(bulkhead, session, first);
    },
    check: (state) => oldOrWritten(state, 'undo', () => states.second),
  },
  {
    name: 'apply as a branch',
    work: ({ session }) => ({ kind: 'apply', session: session.id }),
    check: async (state) => {
      sameFiles(state);
      const { repo } = state.kill.world;
      const applied = (): string[] => Object.keys(refsBelow(join(repo.dir, '.git'), 'refs/heads/killed*'));
      const made = applied();
      assert.ok(made.length <= 1, 'one branch comes from one apply');
      const session = await sessionOf(state);
      if (made.length === 0) {
        assert.equal(session.base?.commit, repo.resolve('HEAD'));
        await state.bulkhead.apply({ session: session.id, mode: 'branch' });
      } else {
        assert.equal(session.base?.commit, repo.resolve('killed'), 'the base moved with the branch');
        await assert.rejects(state.bulkhead.apply({ session: session.id, mode: 'branch' }), {
          code: 'nothing-to-apply',
        });
      }
      assert.deepEqual(applied(), ['refs/heads/killed']);
      assert.equal(treeOf(repo.dir, 'killed'), (await sessionOf(state)).newestTree);
    },
  },
  {
    name: 'delete',
    work: ({ session }) => ({ kind: 'remove', session: session.id }),
    check: async (state) => {
      const { state: now } = await sessionOf(state);
      const folder = join(state.kill.world.storage, 'sessions', state.prepared.session.id);
      const inTrash = readdirSync(join(state.kill.world.storage, 'trash'));
      if (now === 'ready') {
        sameFiles(state);
        assert.deepEqual(inTrash, []);
      } else {
        assert.equal(now, 'trashed');
        assert.equal(existsSync(folder), false);
        assert.equal(inTrash.length, 1);
        assert.deepEqual(
          treeState(join(state.kill.world.storage, 'trash', inTrash[0] ?? '', cloneIn(state).split('/').at(-1) ?? '')),
          state.before,
        );
      }
    },
  },
  {
    name: 'reset',
    work: ({ session }) => ({ kind: 'reset', session: session.id }),
    check: async (state) => {
      const ref = state.prepared.session.id;
      const old = await sessionOf(state);
      if (old.state === 'ready') {
        sameFiles(state);
      }
      const ready = async (): Promise<string[]> =>
        (await state.bulkhead.sessions()).filter(({ name }) => name === 'Killed').map(({ id }) => id);
      const before = await ready();
      assert.equal(before.length, 1, 'either the old one or its successor is there');
      const { session, made } = await state.bulkhead.resetSession(ref, { force: true });
      assert.equal(made, old.state === 'ready', 'one successor, whoever made it');
      assert.deepEqual(await ready(), [session.id]);
      assert.deepEqual(readdirSync(join(state.kill.world.storage, 'trash')).length, 1);
    },
  },
  {
    name: 'rename',
    work: ({ session }) => ({ kind: 'rename', session: session.id, name: 'Another name' }),
    check: async (state) => {
      sameFiles(state);
      assert.ok(['Killed', 'Another name'].includes((await sessionOf(state)).name));
    },
  },
];

describe('a kill', () => {
  useOwnHome();
  const random = new SeededRandom(seed());
  const base = new KillWorld();
  let prepared: Prepared;
  let oracle: Oracle | undefined;

  before('one prepared world for all operations', async () => {
    const bulkhead = await base.world.open();
    prepared = await prepare(base.world, bulkhead);
    const clone = cloneOf(prepared.session);
    states.second = treeState(clone);
    await base.world.close();
    base.save();
    arrange(clone, 'first');
    states.first = treeState(clone);
    base.restore();
  });

  after(() => {
    base.remove();
  });

  const left = [...OPERATIONS];
  const half = Array.from({ length: Math.ceil(OPERATIONS.length / 2) }, () =>
    left.splice(random.integer(0, left.length - 1), 1),
  ).flat();
  const isAll = isSoak || KILLS !== undefined || process.env['BULKHEAD_KILL'] !== undefined;
  for (const operation of isAll ? OPERATIONS : half) {
    it(`at any step of ${operation.name} leaves old or new`, async function () {
      this.timeout(sample(60_000, 3_600_000));
      base.restore();
      if (operation.arrange !== undefined) {
        const bulkhead = await base.world.open();
        await operation.arrange(bulkhead, prepared, base);
        await base.world.close();
      }
      const before = treeState(cloneOf(prepared.session));
      const hers = repositoryState(base.world.repo.dir);
      const start = new KillWorld(base.world);
      if (operation.withOpening === true) {
        start.forgetStorage();
      }
      start.save();
      const work = operation.work(prepared);
      const counted = await start.run(work, { step: 0, moment: 'before', victim: 'group' }, operation.withOpening);
      assert.ok(counted.kind === 'done');
      for (const step of operation.steps ?? [/./]) {
        assert.ok(
          counted.trace.some((name) => step.test(name)),
          `no step is ${String(step)}`,
        );
      }
      const treeAfter = operation.withOpening === true ? null : treeOf(base.world.store, prepared.session.shadowRef);
      if (work.kind === 'checkpoint' && work.paths === undefined) {
        assert.equal(treeAfter, treeOnDisk(prepared.session));
      }
      const orders = kills(counted.trace);
      let killed = 0;
      for (const order of isSoak ? orders : choose(orders, counted.trace)) {
        start.restore();
        base.world.warnings.length = 0;
        const run = await start.run(work, order, operation.withOpening);
        killed += run.kind === 'killed' ? 1 : 0;
        const step = `${order.moment} step ${String(order.step)}, ${counted.trace[order.step - 1] ?? ''} (${order.victim})`;
        try {
          await judge(operation, work, start, { files: before, hers, treeAfter });
        } catch (error) {
          throw new Error(
            `killed ${step}: ${base.world.warnings.splice(0).join('; ')} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
            {
              cause: error,
            },
          );
        } finally {
          await base.world.close();
        }
      }
      console.log(`      ${String(killed)} kills at ${String(counted.steps)} steps`);
      start.removeSaved();
    });
  }

  /** What git itself would record of a clone. */
  function treeOnDisk(session: Session): string {
    const { store, repo } = base.world;
    oracle ??= new Oracle({ objects: [join(store, 'objects'), join(repo.dir, '.git', 'objects')] });
    const clone = cloneOf(session);
    return oracle.tree({ workTree: clone, baseTree: session.base?.tree ?? '', headTree: headTreeOf(clone) });
  }

  function kills(trace: readonly string[]): KillOrder[] {
    return trace.flatMap((name, index) => [
      ...(['before', 'after'] as const).flatMap((moment) =>
        (['group', 'node'] as const).map((victim) => ({ step: index + 1, moment, victim })),
      ),
      ...(name.startsWith(TRANSACTION)
        ? (['git', 'prepared'] as const).map((victim) => ({ step: index + 1, moment: 'before' as const, victim }))
        : []),
    ]);
  }

  /** Some of all, and one while a ref's lock file stands, by git or by us. `BULKHEAD_KILL="97 after group"` repeats one kill of a failed run. */
  function choose(orders: readonly KillOrder[], trace: readonly string[]): KillOrder[] {
    const [step, moment, victim] = (process.env['BULKHEAD_KILL'] ?? '').split(' ');
    if (victim !== undefined) {
      return orders.filter(
        (order) => order.step === Number(step) && order.moment === moment && order.victim === victim,
      );
    }
    const atRefs = orders.filter((order) => {
      const name = trace[order.step - 1] ?? '';
      return name.startsWith(TRANSACTION)
        ? order.victim === 'git' || order.victim === 'prepared'
        : /refs\/bulkhead\/\S+\.lock/.test(name);
    });
    return [...Array.from({ length: Number(KILLS ?? '1') }, () => random.pick(orders)), random.pick(atRefs)];
  }

  async function judge(operation: Operation, work: KillWork, kill: KillWorld, before: Before): Promise<void> {
    const { world } = kill;
    const newestBefore = operation.withOpening === true ? '' : kill.newestSaved(prepared.session.shadowRef);
    const bulkhead = await world.open();
    const recovered: Recovered[] = [];
    bulkhead.onDidRecover((each) => recovered.push(each));
    const waits: string[] = [];
    bulkhead.onDidChangeWaiting(() => waits.push(...bulkhead.waiting().map(({ holder }) => holder)));
    await bulkhead.recover({ sweep: true });
    for (const folder of ['journal', 'creating']) {
      assert.deepEqual(readdirSync(join(world.storage, folder)), [], `${folder} is empty`);
    }
    for (const { name, state } of await bulkhead.sessions({ all: true })) {
      assert.ok(state === 'ready' || state === 'trashed', `${name} is ${state}`);
    }
    const applied = ['.git/refs/heads/killed', '.git/logs/refs/heads/killed'];
    assert.deepEqual(
      Object.entries(repositoryState(world.repo.dir)).filter(([path]) => !applied.includes(path)),
      Object.entries(before.hers),
      'her repository is as it was, but for the branch of an apply',
    );
    assert.deepEqual(refsBelow(world.store, 'refs/bulkhead/claims'), {}, 'no claim stays');
    const { files, treeAfter } = before;
    await operation.check({ bulkhead, kill, prepared, before: files, newestBefore, treeAfter, recovered });

    for (const session of await bulkhead.sessions()) {
      if (session.id !== prepared.session.id && !['Made', 'Killed'].includes(session.name)) {
        continue;
      }
      await bulkhead.checkpoint({ session: session.id, trigger: 'manual', agent: 'codex' });
      assert.equal(
        treeOf(world.store, session.shadowRef),
        treeOnDisk(session),
        `the next checkpoint of ${session.name} has what is on the disk`,
      );
    }
    if (work.kind === 'create') {
      await bulkhead.createSession({ name: 'After all', from: { kind: 'head' } });
    }
    assert.deepEqual(waits, [], 'nobody had to wait for the dead');
    fsck(world.store);
    for (const folder of ['sessions', 'trash']) {
      for (const place of [world.repo.dir, world.store]) {
        assert.deepEqual(
          sharedFiles(join(world.storage, folder), place),
          [],
          `files of ${folder} that are also others`,
        );
      }
    }
    assert.deepEqual(locksBelow(world.storage), [], 'no lock stays');
    assert.deepEqual(locksBelow(join(world.repo.dir, '.git')), []);
  }
});
