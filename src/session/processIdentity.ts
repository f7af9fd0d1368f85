import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { errnoOf } from '../base/errors';
import type { Liveness, ProcessIdentity } from '../core/holder';

async function bootId(): Promise<string | null> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch {
    // Not Linux.
    return null;
  }
}

async function pidSpace(): Promise<string | null> {
  try {
    return await readlink('/proc/self/ns/pid');
  } catch {
    // Not Linux, or a kernel without namespaces.
    return null;
  }
}

const GONE = Symbol('gone');

/** Field 22 of /proc/<pid>/stat; the second field may hold spaces and brackets, so the count starts behind the last bracket. */
export function parseProcessStat(text: string): string | null | typeof GONE {
  const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // A zombie has ended and only waits for a parent that may never ask (the first process of many containers does not).
  if (state === 'Z' || state === 'X') {
    return GONE;
  }
  const started = fields[18];
  return started !== undefined && /^\d+$/.test(started) ? started : null;
}

async function startOf(pid: number): Promise<string | null | typeof GONE> {
  try {
    return parseProcessStat(await readFile(`/proc/${String(pid)}/stat`, 'latin1'));
  } catch {
    // Not Linux, no such process, or one that a mount option of /proc hides: the signal below tells which.
    return null;
  }
}

let own: Promise<ProcessIdentity> | undefined;

/** The identity of this process. */
export function ownIdentity(): Promise<ProcessIdentity> {
  own ??= (async () => {
    const [boot, started, space] = await Promise.all([bootId(), startOf(process.pid), pidSpace()]);
    return { host: hostname(), pid: process.pid, boot, started: started === GONE ? null : started, space };
  })();
  return own;
}

/**
 * What can be proven of a process. Dead: same host, and another boot, or its number is free or used by a process that
 * started at another time. Alive: same host and boot, and a process of that number that started at that time. Every doubt
 * (another host, another container, an odd number, a platform that does not tell) is `unknown`.
 */
export async function livenessOf(other: ProcessIdentity): Promise<Liveness> {
  const self = await ownIdentity();
  if (other.host !== self.host || !Number.isSafeInteger(other.pid) || other.pid <= 0) {
    return 'unknown';
  }
  if (other.boot !== null && self.boot !== null && other.boot !== self.boot) {
    return 'dead';
  }
  if (other.space !== null && other.space !== self.space) {
    // The number counts in another container, where we cannot look.
    return 'unknown';
  }
  const started = await startOf(other.pid);
  if (started === GONE) {
    return 'dead';
  }
  if (started !== null && other.started !== null) {
    if (started !== other.started) {
      return 'dead';
    }
    return other.boot === null ? 'unknown' : 'alive';
  }
  try {
    process.kill(other.pid, 0);
    return 'unknown';
  } catch (error) {
    return errnoOf(error) === 'ESRCH' ? 'dead' : 'unknown';
  }
}
