// Changes that are larger, or more at once, than one saved file; and what a save costs when it must survive a power loss.
import { readFileSync, renameSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loosePath } from '../../src/core/looseObject';
import type { Session } from '../../src/session/api';
import { gitLine } from '../support/git';
import { storeOf } from '../support/snapshotTree';
import { heldBytes, Samples, timed } from './measure';
import { openOurs, repoPath, save } from './ours';
import { commitAll, PrivateIndex, scanningRivals } from './rivals';
import { rounds } from './rounds';
import type { World } from './world';

const OURS = 'Bulkhead';
const GIGABYTE = 1024 ** 3;
const SESSIONS = 20;
const DAY_MS = 86_400_000;

/** Bytes that processes have read from files and pipes; undefined where the system does not tell. */
function bytesRead(pids: readonly number[]): number | undefined {
  try {
    return pids
      .map((pid) => Number(/^rchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? Number.NaN))
      .reduce((sum, value) => sum + value, 0);
  } catch {
    // Not Linux, or a process that has just ended.
    return undefined;
  }
}

/** An untracked file of 1 GB beside a saved one: skipped by its size, without being read. */
export async function largeFileRow(world: World): Promise<void> {
  const { bench, files, clone, user, folder, ours, session, paths } = world;
  bench.report.next();
  const index = new PrivateIndex(join(folder, 'large'), clone);
  const [shadow] = scanningRivals(join(folder, 'large-rivals'), user);
  const large = [clone, user].map((root) => join(root, 'core.dump'));
  for (const file of large) {
    writeFileSync(file, '');
    truncateSync(file, GIGABYTE);
  }
  try {
    let most = 0;
    const samples = await rounds(
      world,
      'a file of 1 GB',
      [
        [
          OURS,
          async () => {
            const path = paths.edit(clone);
            const before = bytesRead([process.pid, ...ours.bulkhead.pids]);
            const { skipped } = await ours.bulkhead.checkpoint({
              session: session.id,
              paths: [path, 'core.dump'].map(repoPath),
              trigger: 'external',
            });
            if (!skipped.some(({ reason }) => reason === 'too-large')) throw new Error('It was not skipped');
            const after = bytesRead([process.pid, ...ours.bulkhead.pids]);
            most = Math.max(most, before === undefined || after === undefined ? Number.NaN : after - before);
          },
        ],
        [
          PrivateIndex.title,
          () => {
            index.checkpoint([paths.edit(clone), 'core.dump']);
          },
        ],
        [
          shadow!.name,
          () => {
            paths.edit(user);
            shadow!.checkpoint();
          },
        ],
      ],
      // Once: the second time an index knows the file's size and time, and reads it no more.
      { count: 1, warm: false },
    );
    bench.report.table('one saved file and an untracked one of 1 GB', files, samples);
    if (!Number.isNaN(most)) {
      bench.report.target('large', files, 'read by one checkpoint, of 1,024 MB', most / 1024 ** 2, 10, 'MB');
    }
  } finally {
    for (const file of large) rmSync(file);
    commitAll(user);
    await ours.bulkhead.checkpoint({ session: session.id, trigger: 'external' });
  }
}

/** A folder of 10,000 files gets another name. */
export async function renameRow(world: World): Promise<void> {
  const { bench, files, clone, user, folder, ours, session } = world;
  bench.report.next();
  const names = ['data', 'renamed'] as const;
  const index = new PrivateIndex(join(folder, 'rename'), clone);
  const [shadow] = scanningRivals(join(folder, 'rename-rivals'), user);
  let round = 0;
  const samples = await rounds(
    world,
    'rename of a folder',
    [
      [
        OURS,
        async () => {
          const { changed } = await ours.bulkhead.checkpoint({
            session: session.id,
            paths: names.map(repoPath),
            trigger: 'external',
          });
          if (changed.length !== 2 * files) throw new Error(`${changed.length} changes were recorded`);
        },
      ],
      [
        'add --all on a warm private index',
        () => {
          index.addAll();
        },
      ],
      [
        shadow!.name,
        () => {
          shadow!.checkpoint();
        },
      ],
    ],
    {
      count: 4,
      warm: true,
      before: () => {
        const [from, to] = round++ % 2 === 0 ? names : [names[1], names[0]];
        for (const root of [clone, user]) renameSync(join(root, from), join(root, to));
      },
    },
  );
  if (round % 2 === 1) for (const root of [clone, user]) renameSync(join(root, names[1]), join(root, names[0]));
  await ours.bulkhead.checkpoint({ session: session.id, trigger: 'external' });
  commitAll(user);
  bench.report.table('rename of a folder with 10,000 files', files, samples);
}

/** Twenty sessions save a file each in the same moment. */
export async function togetherRow(world: World): Promise<void> {
  const { bench, files, ours, paths } = world;
  bench.report.next();
  bench.say(`together: making ${SESSIONS} sessions`);
  const sessions: Session[] = [world.session];
  while (sessions.length < SESSIONS) {
    sessions.push(await ours.bulkhead.createSession({ name: `together ${sessions.length}`, from: { kind: 'head' } }));
  }
  const alone = `${OURS}, one session alone`;
  const each = `${OURS}, each of ${SESSIONS} at once`;
  const all = `${OURS}, until all ${SESSIONS} are recorded`;
  const samples = new Map([alone, each, all].map((who) => [who, new Samples()]));
  for (let round = 0; round <= 20; round++) {
    const counts = round > 0;
    const add = (who: string, ms: number): void => {
      if (counts) samples.get(who)!.add(ms);
    };
    for (const session of sessions.slice(0, 5)) {
      const path = paths.edit(session.path!);
      add(alone, await timed(() => save(ours.bulkhead, session.id, [path])));
    }
    const edited = sessions.map((session) => [session, paths.edit(session.path!)] as const);
    add(
      all,
      await timed(() =>
        Promise.all(
          edited.map(async ([session, path]) => {
            add(each, await timed(() => save(ours.bulkhead, session.id, [path])));
          }),
        ),
      ),
    );
  }
  bench.report.table(`${SESSIONS} sessions save at once`, files, samples);
  const p50 = (who: string): number => samples.get(who)!.p50;
  bench.report.note(
    'together',
    files,
    `all of them take ${(p50(all) / p50(alone)).toFixed(1)} times as long as one (one after the other: ${SESSIONS})`,
  );
  await noteWindowMemory(world, sessions);
}

/** What a window itself holds for sessions that are only listed, and for sessions that are saved in; its git processes are the row `memory`. */
async function noteWindowMemory({ bench, files, user, storage, paths }: World, sessions: Session[]): Promise<void> {
  const before = heldBytes();
  const { bulkhead } = await openOurs(user, storage);
  try {
    await bulkhead.sessions();
    const listed = heldBytes();
    for (const session of sessions) {
      for (let time = 0; time < 5; time++) await save(bulkhead, session.id, [paths.edit(session.path!)]);
    }
    const warm = heldBytes();
    const megabytes = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(2)} MB`;
    bench.report.note(
      'together',
      files,
      `memory of the window itself: ${megabytes(listed - before)} with ${sessions.length} sessions listed, and ${megabytes((warm - listed) / sessions.length)} more for each that was saved in; caches of the store included`,
    );
  } finally {
    await bulkhead.shutdown();
  }
}

/** What it costs to flush every object and the ref to the disk. */
export async function fsyncRow(world: World): Promise<void> {
  const { bench, files, ours, user, storage, clone, session, paths } = world;
  bench.report.next();
  const flushing = await openOurs(user, storage, { settings: { fsync: true } });
  try {
    const off = `${OURS}, bulkhead.store.fsync off`;
    const on = `${OURS}, bulkhead.store.fsync on`;
    const samples = await rounds(
      world,
      'fsync',
      [
        [off, () => save(ours.bulkhead, session.id, [paths.edit(clone)])],
        [on, () => save(flushing.bulkhead, session.id, [paths.edit(clone)])],
      ],
      { count: 40, warm: true },
    );
    bench.report.table('one saved file that must survive a power loss', files, samples);
  } finally {
    await flushing.bulkhead.shutdown();
  }
}

/** Saves while the store is being packed beside them, and, once a month, pruned and packed anew as a whole. */
export async function maintenanceRow(world: World): Promise<void> {
  const { bench, files, ours, storage, clone, session, paths } = world;
  bench.report.next();
  const quiet = `${OURS}, nothing else`;
  const packing = `${OURS}, while the store is packed`;
  const monthly = `${OURS}, while it is pruned and packed anew`;
  const samples = new Map([quiet, packing, monthly].map((who) => [who, new Samples()]));
  const add = async (who: string): Promise<void> => {
    const path = paths.edit(clone);
    samples.get(who)!.add(await timed(() => save(ours.bulkhead, session.id, [path])));
  };
  let packed = 0;
  for (let round = 1; round <= 6; round++) {
    bench.say(`maintenance, round ${round} of 6`);
    const busy = round <= 3 ? packing : monthly;
    // Something to pack: the blobs and trees of a burst.
    const burst = new Set(Array.from({ length: Math.min(1000, files) }, () => paths.edit(clone)));
    await save(ours.bulkhead, session.id, [...burst]);
    for (let time = 0; time < 40; time++) await add(quiet);
    if (busy === monthly) makeOld(storage);
    const state = { isDone: false };
    const maintenance = ours.bulkhead.maintain().then((result) => {
      state.isDone = true;
      packed += result.before.loose - result.after.loose;
      if (result.full !== (busy === monthly) || result.pruned > 0 !== result.full) {
        throw new Error(`Not what was to be measured: ${JSON.stringify(result)}`);
      }
    });
    while (!state.isDone) await add(busy);
    await maintenance;
  }
  if (packed <= 0) throw new Error('Nothing was packed');
  bench.report.table('one saved file while the store is maintained', files, samples);
  const p95 = (who: string): number => samples.get(who)!.p95;
  bench.report.target(
    'maintenance',
    files,
    'p95 while it is packed, of that without',
    p95(packing) / p95(quiet),
    2,
    'x',
  );
  bench.report.target('maintenance', files, 'p95 while it is packed anew', p95(monthly) / p95(quiet), 2, 'x');
  bench.report.note('maintenance', files, `${packed} objects were packed`);
}

/** The store as it is after a month: the last full repack is long ago, and something lies there that nothing leads to. */
function makeOld(storage: string): void {
  const store = storeOf(storage);
  const state = join(storage, 'maintenance.json');
  const long = Date.now() - 40 * DAY_MS;
  writeFileSync(
    state,
    JSON.stringify({ ...(JSON.parse(readFileSync(state, 'utf8')) as object), first: long, lastFull: null }),
  );
  const garbage = gitLine(['hash-object', '-w', '--stdin'], store, { input: `garbage of ${String(Date.now())}\n` });
  const old = (Date.now() - 2 * DAY_MS) / 1000;
  utimesSync(join(store, 'objects', loosePath(garbage)), old, old);
}
