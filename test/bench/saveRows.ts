// One saved file: ours, the yardsticks and the products in the same minutes.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pauseBetweenSaves, rotated, Samples, timed } from './measure';
import { CountingGit, openOurs, residentKilobytes, save } from './ours';
import { commitAll, PrivateIndex, scanningRivals } from './rivals';
import { WarmPlumbing } from './warmPlumbing';
import type { World } from './world';

const OURS = 'Bulkhead';
const AT_ONCE = ', one right after the other';
/** Saves in a row without a pause. */
const IN_A_ROW = 8;

/** p50 of ours by number of files, for the comparison of sizes. */
export type SaveTimes = Map<number, number>;

export async function saveRow(world: World, times: SaveTimes): Promise<void> {
  const { bench, files, clone, user, folder, ours, session, paths } = world;
  const { report } = bench;
  report.next();
  bench.say('preparing the rivals');
  const plumbing = new WarmPlumbing(ours.host.git, folder, clone);
  const index = new PrivateIndex(folder, clone);
  const rivals = scanningRivals(`${folder}/rivals`, user);
  const told: readonly (readonly [string, (path: string) => unknown])[] = [
    [OURS, (path) => save(ours.bulkhead, session.id, [path])],
    [WarmPlumbing.title, (path) => plumbing.checkpoint(path)],
  ];
  const samples = new Map<string, Samples>();
  const measure = async (who: string, work: () => unknown, counts: boolean): Promise<void> => {
    const ms = await timed(work);
    const known = samples.get(who) ?? new Samples();
    samples.set(who, known);
    if (counts) known.add(ms);
  };
  const rounds = bench.options.rounds ?? (files > 50_000 ? 6 : files > 5000 ? 12 : 20);
  // Quick ones are measured more often in each round, to get a picture of the same length.
  const quick = Math.max(5, Math.round(120 / rounds));
  for (let round = 0; round <= rounds; round++) {
    // The first round warms up.
    const counts = round > 0;
    bench.say(counts ? `save, round ${round} of ${rounds}` : 'warming up');
    for (let time = 0; time < quick; time++) {
      const path = paths.edit(clone);
      for (const [who, work] of rotated(told, time)) {
        await pauseBetweenSaves();
        await measure(who, () => work(path), counts);
      }
      if (time < 3) await measure(PrivateIndex.title, () => index.checkpoint([path]), counts);
    }
    for (const [who, work] of rotated(told, round)) {
      await pauseBetweenSaves();
      for (let time = 0; time < IN_A_ROW; time++) {
        const path = paths.edit(clone);
        await measure(who + AT_ONCE, () => work(path), counts);
      }
    }
    paths.edit(user);
    for (const rival of rotated(rivals, round)) await measure(rival.name, () => rival.checkpoint(), counts);
    commitAll(user);
  }
  await plumbing.stop();
  report.table('one saved file', files, samples);

  const p50 = (who: string): number => samples.get(who)!.p50;
  times.set(files, p50(OURS));
  const products = rivals.filter(({ product }) => product).sort((a, b) => p50(a.name) - p50(b.name));
  const fastest = products[0]!.name;
  const isLarge = files >= 100_000;
  if (isLarge || files <= 1000) {
    const what = `of the fastest product (${fastest})`;
    report.target('save', files, what, p50(OURS) / p50(fastest), isLarge ? 1 / 100 : 1 / 4, 'x');
  }
  if (isLarge) {
    report.target('save', files, 'of a warm private index', p50(OURS) / p50(PrivateIndex.title), 1 / 20, 'x');
  }
  report.target('save', files, 'of warm plumbing', p50(OURS) / p50(WarmPlumbing.title), 0.75, 'x');
  const small = times.get(1000);
  if (isLarge && small !== undefined) {
    report.target('save', files, 'of the time at 1,000 files', p50(OURS) / small, 1.5, 'x');
  }
  report.note(
    'save',
    files,
    `one right after the other: ${(p50(OURS + AT_ONCE) / p50(WarmPlumbing.title + AT_ONCE)).toFixed(2)} x of warm plumbing`,
  );
  report.note('save', files, `stretch on a quiet machine: p50 of 2 ms; ${p50(OURS).toFixed(2)} ms here`);
}

/** One of 10,000 files that lie in one folder. */
export async function folderRow(world: World): Promise<void> {
  const { bench, files, clone, folder, ours, session, paths } = world;
  bench.report.next();
  const plumbing = new WarmPlumbing(ours.host.git, folder, clone);
  const index = new PrivateIndex(folder, clone);
  const samples = new Map([OURS, WarmPlumbing.title, PrivateIndex.title].map((who) => [who, new Samples()]));
  for (let round = 0; round <= 30; round++) {
    const path = paths.edit(clone);
    const told: readonly (readonly [string, () => unknown])[] = [
      [OURS, () => save(ours.bulkhead, session.id, [path])],
      [WarmPlumbing.title, () => plumbing.checkpoint(path)],
      [PrivateIndex.title, () => index.checkpoint([path])],
    ];
    for (const [who, work] of rotated(told, round)) {
      await pauseBetweenSaves();
      const ms = await timed(work);
      if (round > 0) samples.get(who)!.add(ms);
    }
  }
  await plumbing.stop();
  bench.report.table('one of 10,000 files in one folder', files, samples);
  const p50 = (who: string): number => samples.get(who)!.p50;
  bench.report.target('folder', files, 'of a warm private index', p50(OURS) / p50(PrivateIndex.title), 1 / 4, 'x');
}

/** Git processes that checkpoints start, those of git's own children included. */
export async function processesRow(world: World, session: string, clone: string, label: string): Promise<void> {
  const { bench, files, folder, user, storage, ours, paths } = world;
  if (process.platform === 'win32') return;
  bench.report.next();
  const counting = new CountingGit(folder, ours.host.git.path);
  const { bulkhead } = await openOurs(user, storage, { gitPath: counting.path });
  try {
    for (let warm = 0; warm < 3; warm++) await save(bulkhead, session, [paths.edit(clone)]);
    const before = counting.started;
    for (let time = 0; time < 20; time++) await save(bulkhead, session, [paths.edit(clone)]);
    bench.report.target(
      'processes',
      files,
      `started by 20 checkpoints, ${label}`,
      counting.started - before,
      0,
      'processes',
    );
  } finally {
    await bulkhead.shutdown();
  }
}

/** What a session that is worked in holds in memory beside the window. */
export async function memoryRow(world: World): Promise<void> {
  const { bench, files, user, storage, session, clone, paths } = world;
  bench.report.next();
  const { bulkhead } = await openOurs(user, storage);
  try {
    for (let time = 0; time < 20; time++) await save(bulkhead, session.id, [paths.edit(clone)]);
    // A file that git does not know is asked about, which takes a further process.
    writeFileSync(join(clone, 'new.txt'), 'new\n');
    await save(bulkhead, session.id, ['new.txt']);
    const held = bulkhead.pids.map(residentKilobytes);
    if (held.some((memory) => memory === undefined)) {
      bench.report.note('memory', files, 'this system does not tell the memory of a process');
      return;
    }
    const sum = (pick: 'rss' | 'own'): number => held.reduce((total, memory) => total + memory![pick], 0) / 1024;
    const what = `git processes of a warm session (${held.length}; shared pages counted once: ${sum('own').toFixed(1)} MB)`;
    bench.report.target('memory', files, what, sum('rss'), 40, 'MB');
  } finally {
    await bulkhead.shutdown();
  }
}
