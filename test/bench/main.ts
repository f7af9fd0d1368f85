// `npm run bench`: how long things take, beside what others do for the same, in the same minutes on the same machine.
// Nothing is judged by a time alone: targets are ratios wherever there is somebody to compare with.
import { mkdirSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { cacheFolder, inRoot } from '../scripts/project';
import { sharedHome } from '../support/environment';
import { gitLine } from '../support/git';
import { runFolder } from './fixtures';
import { fsyncRow, largeFileRow, maintenanceRow, renameRow, togetherRow } from './changeRows';
import { contentionRow, listRow } from './manyRows';
import { save } from './ours';
import { type Options, readOptions, type Row, USAGE } from './options';
import { folderRow, memoryRow, processesRow, saveRow, type SaveTimes } from './saveRows';
import { number, Report } from './table';
import { burstRow, cliRow, reconcileRow, restoreRow, sessionRow } from './treeRows';
import { type Bench, closeWorld, makeWorld, type World } from './world';

const IDLE_MS = 65_000;

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    console.log(USAGE);
    return;
  }
  const started = Date.now();
  const cache = cacheFolder();
  // From here on nothing of the person who runs this counts.
  Object.assign(process.env, sharedHome().env);
  const folder = runFolder();
  const say = (text: string): void => {
    console.error(`  ${String(Math.round((Date.now() - started) / 1000)).padStart(4)} s  ${text}`);
  };
  const report = new Report();
  const bench: Bench = { options, report, cache, folder, say };
  const machine = describeMachine(options, folder);
  console.log(
    [
      `${machine.cores} cores (${machine.cpu}), ${machine.memory} GB, ${machine.system}; load ${machine.load}`,
      `git ${machine.git}, node ${machine.node}, ${machine.date}`,
      `Seed ${options.seed}. fsync: git's own default for everybody (${machine.fsync}); ours with bulkhead.store.fsync off.`,
      'Hooks, automatic maintenance and the settings of this user are off for everybody.',
    ].join('\n'),
  );

  const times: SaveTimes = new Map();
  const idle = await watchIdle(bench);
  if (options.rows.has('folder') || options.rows.has('rename')) {
    await inWorld(bench, 'folder', 10_000, async (world) => {
      if (options.rows.has('folder')) await folderRow(world);
      if (options.rows.has('rename')) await renameRow(world);
    });
  }
  for (const files of options.sizes) {
    const wants = (...rows: Row[]): boolean => rows.some((row) => options.rows.has(row));
    const isSmallest = files === options.sizes[0];
    const perSize = wants('save', 'processes', 'memory', 'session', 'restore', 'reconcile', 'burst', 'cli');
    if (!perSize && !(isSmallest && wants('contention', 'list', 'large', 'together', 'fsync', 'maintenance'))) continue;
    await inWorld(bench, 'nested', files, async (world) => {
      if (wants('save')) await saveRow(world, times);
      if (wants('processes')) await processesRow(world, world.session.id, world.clone, 'once warm');
      if (wants('memory')) await memoryRow(world);
      if (wants('cli')) await cliRow(world);
      if (wants('reconcile')) await reconcileRow(world);
      if (wants('restore')) await restoreRow(world);
      if (wants('burst')) await burstRow(world);
      if (isSmallest && wants('fsync')) await fsyncRow(world);
      if (isSmallest && wants('large')) await largeFileRow(world);
      if (isSmallest && wants('maintenance')) await maintenanceRow(world);
      if (wants('session')) await sessionRow(world);
      if (isSmallest && wants('together')) await togetherRow(world);
      if (isSmallest && wants('list')) await listRow(world);
      if (isSmallest && wants('contention')) await contentionRow(world);
    });
  }
  await idle();

  report.summary();
  mkdirSync(inRoot('out'), { recursive: true });
  const files = [inRoot('out/bench.json'), ...(options.json === undefined ? [] : [options.json])];
  const seconds = Math.round((Date.now() - started) / 1000);
  report.write(files, { ...machine, options: { ...options, rows: [...options.rows] }, seconds });
  console.log(`\n${seconds} s. Written to ${files.join(' and ')}.`);
}

async function inWorld(
  bench: Bench,
  shape: 'nested' | 'folder',
  files: number,
  work: (world: World) => Promise<void>,
): Promise<void> {
  const world = await makeWorld(bench, shape, files);
  try {
    await work(world);
  } finally {
    await closeWorld(world);
  }
}

/** A session that nobody works in any more, kept open until the end of the run. */
async function watchIdle(bench: Bench): Promise<() => Promise<void>> {
  if (!bench.options.rows.has('memory')) return async () => {};
  const world = await makeWorld(bench, 'nested', 1000);
  await save(world.ours.bulkhead, world.session.id, [world.paths.edit(world.clone)]);
  const since = Date.now();
  return async () => {
    bench.report.next();
    const seconds = Math.round((Date.now() - since) / 1000);
    if (Date.now() - since < IDLE_MS) {
      bench.report.note('memory', 1000, `idle for ${seconds} s only: too short a run to see processes end`);
    } else {
      const left = world.ours.bulkhead.pids.length;
      bench.report.target('memory', 1000, `git processes of a session idle for ${seconds} s`, left, 0, 'processes');
    }
    await closeWorld(world);
  };
}

function describeMachine(options: Options, cwd: string) {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memory: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()}`,
    load: loadavg()
      .map((value) => value.toFixed(1))
      .join(' '),
    git: gitLine(['--version'], cwd).replace('git version ', ''),
    node: process.versions.node,
    fsync: 'packs yes, loose objects and refs no',
    date: new Date().toISOString(),
    sizes: options.sizes.map(number).join(', '),
  };
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  // Leaves through `exit`, where temporary folders are removed.
  process.once(signal, () => process.exit(code));
}
main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
