import assert from 'node:assert/strict';
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { git, gitLine } from '../support/git';
import { removeFolder, temporaryFolder } from '../support/temporary';
import { type KillOrder, STANDING, type StandStill } from './killSwitch';
import type { KillReport, KillTask } from './kill.worker';
import { cloneOf, contents, EngineWorld, snapshotOf, write } from './world';

/** A prepared storage, clone and repository that every run of an operation starts from, byte for byte. */
export class KillWorld {
  readonly world: EngineWorld;
  readonly #saved = temporaryFolder('killed');

  /** Another saved state of the same world, or one of a world of its own. */
  constructor(world: EngineWorld = new EngineWorld()) {
    this.world = world;
  }

  /** Keeps the present state, to come back to. No process of ours may be running in it. */
  save(): void {
    for (const folder of this.#folders()) {
      copy(folder, join(this.#saved, nameOf(folder)));
    }
  }

  restore(): void {
    for (const folder of this.#folders()) {
      copy(join(this.#saved, nameOf(folder)), folder);
    }
  }

  #folders(): string[] {
    return [this.world.folder, this.world.home.home];
  }

  /** As before the first start. */
  forgetStorage(): void {
    for (const folder of [this.world.storage, join(this.world.home.home, '.local')]) {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Where a ref of the store stood when the state was saved. */
  newestSaved(ref: string): string {
    return gitLine(['rev-parse', ref], join(this.#saved, nameOf(this.world.folder), 'storage', 'snapshots.git'));
  }

  removeSaved(): void {
    removeFolder(this.#saved);
  }

  remove(): void {
    for (const folder of [...this.#folders(), this.#saved]) {
      removeFolder(folder);
    }
  }

  /** Runs an operation in a process group of its own. */
  async run(work: KillTask['work'], kill: KillOrder, withOpening = false): Promise<KillRun> {
    const child = this.#start(work, kill, withOpening);
    child.stdin.end();
    const { code, signal, stdout, stderr } = await endOf(child);
    if (signal === 'SIGKILL') {
      // A git that it had started goes on without it, and may write until it has ended.
      await endOfAll(this.world.home.home);
      return { kind: 'killed' };
    }
    assert.equal(code, 0, `the operation failed: ${stderr}`);
    return { kind: 'done', ...(JSON.parse(stdout) as KillReport) };
  }

  /** Runs an operation in a process of its own that is alive and stands still when this resolves. */
  async standStill(work: KillTask['work'], stop: StandStill): Promise<StandingStill> {
    const child = this.#start(work, stop, false);
    const ended = endOf(child);
    const standing = new Promise<'standing'>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        if (chunk.toString().startsWith(STANDING)) {
          resolve('standing');
        }
      });
    });
    const first = await Promise.race([standing, ended]);
    assert.equal(first, 'standing', `it did not come to ${stop.at}`);
    return {
      pid: pidOf(child),
      goOn: async () => {
        child.stdin.end();
        const { code, stderr } = await ended;
        assert.equal(code, 0, `the operation failed: ${stderr}`);
      },
    };
  }

  #start(work: KillTask['work'], kill: KillTask['kill'], withOpening: boolean): Child {
    const { repo, storage, environment } = this.world;
    const task: KillTask = { repository: repo.dir, storage, work, kill, withOpening };
    return spawn(process.execPath, [join(import.meta.dirname, 'kill.worker.js'), JSON.stringify(task)], {
      env: environment,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
  }
}

/** A process that stands still in the middle of an operation. */
export interface StandingStill {
  readonly pid: number;
  /** Lets it do the rest, and resolves when it has ended; fails when it could not. */
  goOn(): Promise<void>;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

interface ChildEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function endOf(child: Child): Promise<ChildEnd> {
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, stdout, stderr };
}

function pidOf(child: Child): number {
  return child.pid ?? assert.fail('it was started');
}

/** Nobody is told when a process ends that is not its own child, so this one looks again and again. */
async function endOfAll(home: string): Promise<void> {
  while (existsSync('/proc/self/environ') && readdirSync('/proc').some((pid) => isAliveWith(home, pid))) {
    await setTimeout(5);
  }
}

/**
 * Told by the environment, because what runs in the background is in a group and a session of its own. One that has ended and
 * that nobody has waited for yet has none any more.
 */
function isAliveWith(home: string, pid: string): boolean {
  if (!/^\d+$/.test(pid)) {
    return false;
  }
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`HOME=${home}`);
  } catch {
    // It ended meanwhile, or belongs to somebody else.
    return false;
  }
}

export type KillRun = { readonly kind: 'killed' } | ({ readonly kind: 'done' } & KillReport);

function nameOf(folder: string): string {
  return folder.replaceAll('/', '_');
}

function copy(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  execFileSync('cp', ['-a', from, to]);
}

/** A work tree with all that a restore has to put right: changes, deletions, links, modes, and folders in the place of files. */
export function arrange(clone: string, version: 'first' | 'second'): void {
  for (const path of ['swap', 'other swap', 'link', 'tool', 'deep', 'new', 'ignored.log', 'src']) {
    rmSync(join(clone, path), { recursive: true, force: true });
  }
  const isFirst = version === 'first';
  write(clone, 'a.txt', `${version}\n`);
  write(clone, '.gitignore', '*.log\n');
  write(clone, isFirst ? 'swap' : 'swap/inside/file.txt', version);
  write(clone, isFirst ? 'other swap/one.txt' : 'other swap', version);
  if (isFirst) {
    write(clone, 'other swap/two.txt', version);
    write(clone, 'src/b.ts', 'export const b = 2;\n');
    write(clone, 'deep/er/and/deeper.txt', version);
    symlinkSync('a.txt', join(clone, 'link'));
  } else {
    write(clone, 'link', 'no link any more');
    write(clone, 'new/file.txt', version);
    write(clone, 'new/large.bin', Buffer.alloc(20_000, version));
  }
  write(clone, 'tool', '#!/bin/sh\n');
  chmodSync(join(clone, 'tool'), isFirst ? 0o755 : 0o644);
}

/** Files and folders of a work tree: a half of an operation may be an empty folder. */
export function treeState(folder: string): Record<string, string> {
  const found = contents(folder, (path) => path === '.git');
  const walk = (path: string): void => {
    for (const entry of readdirSync(join(folder, path), { withFileTypes: true })) {
      if (entry.isDirectory() && entry.name !== '.git') {
        const child = path === '' ? entry.name : `${path}/${entry.name}`;
        found[`${child}/`] = 'folder';
        walk(child);
      }
    }
  };
  walk('');
  return found;
}

/** The user's repository without the objects, which an apply brings before anything leads to them. */
export function repositoryState(folder: string): Record<string, string> {
  return contents(folder, (path) => path === '.git/objects' || path === '.git/index');
}

/** Lock files and half-written files anywhere below a folder. */
export function locksBelow(folder: string): string[] {
  const found: string[] = [];
  const walk = (path: string): void => {
    for (const name of existsSync(path) ? readdirSync(path) : []) {
      const child = join(path, name);
      if (name.endsWith('.lock')) {
        found.push(child);
      } else if (lstatSync(child).isDirectory()) {
        walk(child);
      }
    }
  };
  walk(folder);
  return found;
}

export interface Prepared {
  readonly session: Session;
  /** The snapshot of the first arrangement; the work tree has the second one, which is in no snapshot yet. */
  readonly first: string;
}

/** Two sessions, one with a history and unrecorded work; the checkout has unrecorded work as well. */
export async function prepare(world: EngineWorld, bulkhead: Bulkhead): Promise<Prepared> {
  const session = await bulkhead.createSession({ name: 'Killed', from: { kind: 'head' } });
  await bulkhead.createSession({ name: 'Bystander', from: { kind: 'head' } });
  const clone = cloneOf(session);
  arrange(clone, 'first');
  const first = await snapshotOf(bulkhead, session);
  arrange(clone, 'second');
  write(clone, 'ignored.log', 'in no snapshot\n');
  write(world.repo.dir, 'uncommitted.txt', 'work of hers\n');
  return { session, first };
}

export function refsBelow(gitDir: string, prefix: string): Record<string, string> {
  const lines = git([`--git-dir=${gitDir}`, 'for-each-ref', '--format=%(refname) %(objectname)', prefix], gitDir);
  return Object.fromEntries(
    lines
      .toString()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(' ') as [string, string]),
  );
}
