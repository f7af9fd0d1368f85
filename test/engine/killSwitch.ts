// Counts every step by which a process changes something outside of itself, and kills it at one of them, or lets it stand still
// there. Imported before anything else, so that no module has kept an unpatched function.
import childProcess, { type ChildProcess, type SpawnOptions } from 'node:child_process';
import fs, { constants } from 'node:fs';
import { join } from 'node:path';

export interface KillOrder {
  /** Counted from 1; 0 only counts. */
  readonly step: number;
  readonly moment: 'before' | 'after';
  /**
   * Everybody, as when the power fails, or this process alone: its children then see the end of their input. For a transaction
   * of refs also `git`, the child that has just taken its lock files, and `prepared`, everybody at that moment.
   */
  readonly victim: 'group' | 'node' | 'git' | 'prepared';
}

/** The first step whose name matches: the process stands still there, alive, until its input ends, and then goes on. */
export interface StandStill {
  readonly at: string;
  readonly moment: KillOrder['moment'];
}

/** What the trace says of a transaction of refs. */
export const TRANSACTION = 'transaction ';

/** Written to the output by a process that stands still. */
export const STANDING = 'standing still\n';

let order: KillOrder | StandStill | undefined;
let steps = 0;
const trace: string[] = [];

/** From now on steps count. */
export function arm(given: KillOrder | StandStill): void {
  order = given;
}

export function disarm(): { readonly steps: number; readonly trace: readonly string[] } {
  order = undefined;
  return { steps, trace };
}

/** Takes the number of this step and ends the process when it is the one. */
function begin(name: string): number {
  if (order === undefined) {
    return 0;
  }
  steps += 1;
  trace.push(name);
  end(steps, 'before');
  return steps;
}

/** @returns whom this moment of this step is to kill */
function victimOf(step: number, moment: KillOrder['moment']): KillOrder['victim'] | undefined {
  return order !== undefined && 'victim' in order && order.step === step && order.moment === moment
    ? order.victim
    : undefined;
}

function end(step: number, moment: KillOrder['moment']): void {
  const victim = victimOf(step, moment);
  if (victim === 'group') {
    killEverybody();
  } else if (victim === 'node') {
    process.kill(process.pid, 'SIGKILL');
  }
  if (victim === 'group' || victim === 'node') {
    // The signal may reach another thread first.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
  }
  if (order !== undefined && 'at' in order && order.moment === moment && RegExp(order.at).test(trace[step - 1] ?? '')) {
    order = undefined;
    standStill();
  }
}

/** The children that lead a group of their own: work in the background. */
const leaders = new Set<number>();

function killEverybody(): void {
  for (const pid of leaders) {
    process.kill(-pid, 'SIGKILL');
  }
  process.kill(0, 'SIGKILL');
}

const { readSync, writeSync } = fs;

/** Nothing of this process goes on, no timer either; only what it had asked others to do. */
function standStill(): void {
  writeSync(1, STANDING);
  readSync(0, Buffer.alloc(1));
}

type AnyFunction = (...args: unknown[]) => unknown;
type Patchable = Record<string, AnyFunction | undefined>;

const describe = (name: string, args: readonly unknown[]): string =>
  `${name} ${args
    .slice(0, 2)
    .filter((arg) => typeof arg === 'string')
    .join(' ')}`;

function writes(flags: unknown): boolean {
  return typeof flags === 'number'
    ? (flags & (constants.O_WRONLY | constants.O_RDWR | constants.O_CREAT)) !== 0
    : typeof flags === 'string' && flags !== 'r';
}

function patchSync(holder: Patchable, name: string, counts: (args: readonly unknown[]) => boolean = () => true): void {
  const original = holder[name];
  if (original === undefined) {
    return;
  }
  holder[name] = function (this: unknown, ...args: unknown[]) {
    if (!counts(args)) {
      return original.apply(this, args);
    }
    const step = begin(describe(name, args));
    const result = original.apply(this, args);
    end(step, 'after');
    return result;
  };
}

function patchPromise(
  holder: Patchable,
  name: string,
  counts: (args: readonly unknown[]) => boolean = () => true,
): void {
  const original = holder[name];
  if (original === undefined) {
    return;
  }
  holder[name] = async function (this: unknown, ...args: unknown[]) {
    if (!counts(args)) {
      return original.apply(this, args);
    }
    const step = begin(describe(name, args));
    const result = await original.apply(this, args);
    end(step, 'after');
    return result;
  };
}

function patchCallback(holder: Patchable, name: string): void {
  const original = holder[name];
  if (original === undefined) {
    return;
  }
  holder[name] = function (this: unknown, ...args: unknown[]) {
    const callback = args.at(-1);
    if (typeof callback !== 'function') {
      return original.apply(this, args);
    }
    const step = begin(describe(name, args));
    return original.call(this, ...args.slice(0, -1), (...results: unknown[]) => {
      end(step, 'after');
      (callback as AnyFunction)(...results);
    });
  };
}

const NAMES = [
  'writeFile',
  'appendFile',
  'rename',
  'mkdir',
  'unlink',
  'rmdir',
  'symlink',
  'link',
  'chmod',
  'utimes',
  'copyFile',
  'truncate',
];

function patchFileSystem(): void {
  const promises = fs.promises as unknown as Patchable;
  const sync = fs as unknown as Patchable;
  for (const name of NAMES) {
    patchPromise(promises, name);
    patchSync(sync, `${name}Sync`);
    patchCallback(sync, name);
  }
  for (const name of ['writeSync', 'fchmodSync', 'futimesSync', 'ftruncateSync', 'cpSync']) {
    patchSync(sync, name);
  }
  patchSync(sync, 'openSync', ([, flags]) => writes(flags));
  patchRecursiveRemoval(promises);
  const open = promises['open'] as AnyFunction;
  let isHandlePatched = false;
  promises['open'] = async (...args: unknown[]) => {
    const step = writes(args[1]) ? begin(describe('open', args)) : 0;
    const handle = (await open.apply(fs.promises, args)) as object;
    if (!isHandlePatched) {
      isHandlePatched = true;
      const prototype = Object.getPrototypeOf(handle) as Patchable;
      for (const name of ['writeFile', 'write', 'writev', 'truncate', 'chmod', 'utimes']) {
        patchPromise(prototype, name);
      }
    }
    end(step, 'after');
    return handle;
  };
}

/** Node removes a folder in one go that nothing can be counted in: here it is taken apart. */
function patchRecursiveRemoval(promises: Patchable): void {
  const remove = promises['rm'] as AnyFunction;
  const walk = async (path: string): Promise<void> => {
    const stats = fs.lstatSync(path, { throwIfNoEntry: false });
    if (stats?.isDirectory() === true) {
      for (const name of fs.readdirSync(path)) {
        await walk(join(path, name));
      }
      await fs.promises.rmdir(path);
    } else if (stats !== undefined) {
      await fs.promises.unlink(path);
    }
  };
  promises['rm'] = async (...args: unknown[]) => {
    const [path, options] = args as [string, { readonly recursive?: boolean } | undefined];
    if (options?.recursive === true && order !== undefined) {
      return walk(path);
    }
    const step = fs.existsSync(path) ? begin(describe('rm', args)) : 0;
    await remove.apply(fs.promises, args);
    end(step, 'after');
    return undefined;
  };
}

function patchChildren(): void {
  const holder = childProcess as unknown as Patchable;
  const spawn = holder['spawn'] as AnyFunction;
  holder['spawn'] = (...args: unknown[]) => {
    const words = Array.isArray(args[1]) ? (args[1] as string[]) : [];
    const name = words.findIndex((word) => !word.startsWith('-') && !word.includes('/') && !word.includes('='));
    const step = begin(`spawn ${words.slice(name).join(' ')}`);
    const child = spawn(...args) as ChildProcess;
    const { pid } = child;
    if (pid !== undefined && (args[2] as SpawnOptions | undefined)?.detached === true) {
      leaders.add(pid);
      child.on('exit', () => leaders.delete(pid));
    }
    if (child.stdin !== null) {
      patchInput(child);
    }
    end(step, 'after');
    return child;
  };
}

/** The end of what `update-ref` is sent: it takes its lock files, then moves the refs. */
const COMMIT = 'commit\n';

function patchInput(child: ChildProcess): void {
  const input = child.stdin as unknown as Patchable;
  patchSync(input, 'end');
  const write = input['write'] as AnyFunction;
  input['write'] = (...args: unknown[]) => {
    const text = typeof args[0] === 'string' ? args[0] : '';
    const isTransaction = text.endsWith(`prepare\n${COMMIT}`);
    const step = begin(isTransaction ? TRANSACTION + text.split('\n').slice(1, -3).join(', ') : `write ${text.trim()}`);
    const victim = isTransaction ? victimOf(step, 'before') : undefined;
    if (victim !== undefined) {
      killWhenPrepared(child, victim);
      return write.call(child.stdin, text.slice(0, -COMMIT.length));
    }
    const result = write.apply(child.stdin, args);
    end(step, 'after');
    return result;
  };
}

function killWhenPrepared(child: ChildProcess, victim: KillOrder['victim']): void {
  let answer = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    answer += chunk.toString();
    if (answer.includes('prepare: ok')) {
      if (victim === 'prepared') {
        killEverybody();
      }
      child.kill('SIGKILL');
    }
  });
}

patchFileSystem();
patchChildren();
