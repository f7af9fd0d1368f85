// What handles whole work trees: new sessions, restore, reconcile, bursts, and the command line as a process.
import { lstatSync, readdirSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { cliFile } from '../support/runCli';
import { cleanEnvironment } from '../support/environment';
import { removeFolder } from '../support/temporary';
import { timed } from './measure';
import { repoPath, save } from './ours';
import {
  addToIndex,
  addWorktree,
  cloneLocal,
  commitAll,
  PrivateIndex,
  readTreeReset,
  scanningRivals,
  status,
} from './rivals';
import { rounds } from './rounds';
import type { World } from './world';

const OURS = 'Bulkhead';

export async function sessionRow(world: World): Promise<void> {
  const { bench, files, user, folder, ours, storage } = world;
  bench.report.next();
  const made: string[] = [];
  const clone = 'git clone --local';
  const worktree = 'git worktree add';
  const place = (name: string, round: number): string => {
    made.push(join(folder, `${name}-${round}`));
    return made.at(-1)!;
  };
  // The rows before have moved the user's HEAD on, which the store and the donor have not seen yet.
  bench.say('new session, after the base moved');
  const moved = await timed(() => ours.bulkhead.createSession({ name: 'moved', from: { kind: 'head' } }));
  const samples = await rounds(
    world,
    'new session',
    [
      [
        `${OURS}, without a spare`,
        async (round) => {
          await ours.bulkhead.createSession({ name: `new ${round}`, from: { kind: 'head' } });
        },
      ],
      [
        clone,
        (round) => {
          cloneLocal(user, place('clone', round));
        },
      ],
      [
        worktree,
        (round) => {
          addWorktree(user, place('worktree', round), `worktree-${round}`);
        },
      ],
    ],
    { count: files > 50_000 ? 2 : 3, warm: false },
  );
  bench.report.table('new session', files, samples);
  const p50 = (who: string): number => samples.get(who)!.p50;
  const own = p50(`${OURS}, without a spare`);
  bench.report.target('session', files, 'of git clone --local, without a spare', own / p50(clone), 1.1, 'x');
  bench.report.note('session', files, `the first one after the base moved: ${moved.toFixed(0)} ms`);
  bench.report.note(
    'session',
    files,
    'with a spare (target: 1/50 of git worktree add, 1/15 when the base moved): not built',
  );
  const beside = besideWorkTree(join(storage, 'sessions', world.session.id)) / 1024 / 1024;
  bench.report.target('session', files, 'on disk beside its work tree and git index', beside, 1, 'MB');
  made.forEach(removeFolder);
}

/** Bytes of a session's folder that no other folder shares, without work tree and git index. */
function besideWorkTree(folder: string): number {
  let bytes = 0;
  const visit = (path: string, inGit: boolean): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const full = join(path, entry.name);
      const isClone = path === folder && entry.isDirectory();
      if (entry.isDirectory()) {
        if (isClone) visit(join(full, '.git'), true);
        else visit(full, inGit);
      } else if (!(inGit && entry.name === 'index')) {
        const stats = lstatSync(full);
        if (stats.nlink === 1) bytes += stats.blocks * 512;
      }
    }
  };
  visit(folder, false);
  return bytes;
}

export async function restoreRow(world: World): Promise<void> {
  const { bench, files, ours, session, clone, user, paths } = world;
  bench.report.next();
  const rival = 'git read-tree -u --reset';
  let target = '';
  let path = '';
  const samples = await rounds(
    world,
    'restore',
    [
      [
        OURS,
        async () => {
          const request = {
            session: session.id,
            target,
            paths: [repoPath(path)],
            consent: 'all',
            agent: 'user',
          } as const;
          const { plan } = await ours.bulkhead.restore(request);
          if (plan.write.length !== 1) throw new Error(`${plan.write.length} files were restored`);
        },
      ],
      [
        rival,
        () => {
          readTreeReset(user);
        },
      ],
    ],
    {
      count: files > 50_000 ? 7 : 15,
      warm: true,
      before: async () => {
        const before = await save(ours.bulkhead, session.id, [paths.edit(clone)]);
        target = before.newest!;
        path = paths.edit(clone);
        await save(ours.bulkhead, session.id, [path]);
        addToIndex(user, paths.edit(user));
      },
    },
  );
  bench.report.table('restore of one file', files, samples);
  const ratio = samples.get(OURS)!.p50 / samples.get(rival)!.p50;
  if (files >= 100_000) bench.report.target('restore', files, `of ${rival}`, ratio, 1 / 10, 'x');
}

export async function reconcileRow(world: World): Promise<void> {
  const { bench, files, ours, session, user, folder } = world;
  bench.report.next();
  const index = new PrivateIndex(join(folder, 'reconcile'), user);
  const samples = await rounds(
    world,
    'reconcile',
    [
      [OURS, () => ours.bulkhead.checkpoint({ session: session.id, trigger: 'reconcile' })],
      [
        'git status',
        () => {
          status(user);
        },
      ],
      [
        'git add -A with a warm private index',
        () => {
          index.addAll();
        },
      ],
    ],
    { count: files > 50_000 ? 5 : 10, warm: true },
  );
  bench.report.table('reconcile with nothing changed', files, samples);
}

export async function burstRow(world: World): Promise<void> {
  const { bench, files, ours, session, clone, user, folder, paths } = world;
  bench.report.next();
  const count = Math.min(1000, files);
  const index = new PrivateIndex(join(folder, 'burst'), clone);
  const [shadow] = scanningRivals(join(folder, 'burst-rivals'), user);
  let changed: string[] = [];
  const samples = await rounds(
    world,
    'burst',
    [
      [OURS, () => save(ours.bulkhead, session.id, changed)],
      [
        PrivateIndex.title,
        () => {
          index.checkpoint(changed);
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
      count: 2,
      warm: true,
      before: () => {
        commitAll(user);
        changed = Array.from({ length: count }, () => paths.edit(clone));
        for (let left = count; left > 0; left--) paths.edit(user);
      },
    },
  );
  commitAll(user);
  bench.report.table(`a burst of ${count.toLocaleString('en')} files`, files, samples);
}

export async function cliRow(world: World): Promise<void> {
  const { bench, files, storage, session, clone, paths } = world;
  bench.report.next();
  const cli = cliFile();
  const node = (args: readonly string[]): void => {
    const run = spawnSync(process.execPath, args, { cwd: clone, env: cleanEnvironment(), encoding: 'utf8' });
    if (run.status !== 0)
      throw new Error(`node ${args.join(' ')} ended with ${run.status ?? run.signal}: ${run.stderr}`);
  };
  const empty = 'an empty node';
  let path = '';
  const samples = await rounds(
    world,
    'command line',
    [
      [
        OURS,
        () => {
          node([cli, 'checkpoint', '--storage', storage, '--session', session.id, path]);
        },
      ],
      [
        empty,
        () => {
          node(['-e', '0']);
        },
      ],
    ],
    {
      count: files > 50_000 ? 10 : 15,
      warm: true,
      before: () => {
        path = paths.edit(clone);
      },
    },
  );
  bench.report.table('bulkhead checkpoint PATH, the whole process', files, samples);
  bench.report.target('cli', files, 'of an empty node', samples.get(OURS)!.p50 / samples.get(empty)!.p50, 3, 'x');
}
