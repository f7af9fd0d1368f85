import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { errnoOf } from '../base/errors';

/** Who a process is, told apart from a later process with the same number. */
export interface ProcessIdentity {
  readonly host: string;
  readonly pid: number;
  /** Changes with every start of the machine; null where the platform does not tell. */
  readonly boot: string | null;
  /** When the process started, in the platform's own unit; only compared. Null where the platform does not tell. */
  readonly started: string | null;
}

async function bootId(): Promise<string | null> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch {
    // Not Linux.
    return null;
  }
}

const GONE = Symbol('gone');

/** Field 22 of /proc/<pid>/stat; the second field may hold spaces and brackets, so the count starts behind the last bracket. */
async function startOf(pid: number): Promise<string | null | typeof GONE> {
  try {
    const text = await readFile(`/proc/${String(pid)}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended and only waits for a parent that may never ask (the first process of many containers does not).
    return fields[0] === 'Z' || fields[0] === 'X' ? GONE : (fields[19] ?? null);
  } catch (error) {
    return process.platform === 'linux' && errnoOf(error) === 'ENOENT' ? GONE : null;
  }
}

let own: Promise<ProcessIdentity> | undefined;

/** The identity of this process. */
export function ownIdentity(): Promise<ProcessIdentity> {
  own ??= (async () => {
    const started = await startOf(process.pid);
    return { host: hostname(), pid: process.pid, boot: await bootId(), started: started === GONE ? null : started };
  })();
  return own;
}

/**
 * Whether a process is proven dead: same host, and another boot, or its number is free or used by a process that started
 * at another time. Every doubt (another host, an odd answer) means "not proven".
 */
export async function isProvenDead(other: ProcessIdentity): Promise<boolean> {
  const self = await ownIdentity();
  if (other.host !== self.host || !Number.isSafeInteger(other.pid) || other.pid <= 0) {
    return false;
  }
  if (other.boot !== null && self.boot !== null && other.boot !== self.boot) {
    return true;
  }
  if (other.pid === self.pid && other.started === self.started) {
    return false;
  }
  const started = await startOf(other.pid);
  if (started === GONE) {
    return true;
  }
  if (started !== null && other.started !== null) {
    return started !== other.started;
  }
  try {
    process.kill(other.pid, 0);
    return false;
  } catch (error) {
    return errnoOf(error) === 'ESRCH';
  }
}

/** The holder of a lock, claim or lease. */
export interface Holder extends ProcessIdentity {
  readonly format: 1;
  readonly thread: number;
  readonly agent: string;
  readonly nonce: string;
  readonly purpose: string;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly time: number;
}

/** Reads a holder record; undefined when it is none or of a newer format. */
export function parseHolder(text: string): Holder | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Torn or foreign: nothing is known of the holder.
    return undefined;
  }
  if (typeof json !== 'object' || json === null) {
    return undefined;
  }
  const { format, host, pid, boot, started, thread, agent, nonce, purpose, time } = json as Record<string, unknown>;
  const textOrNull = (value: unknown): value is string | null => value === null || typeof value === 'string';
  if (
    format !== 1 ||
    typeof host !== 'string' ||
    typeof pid !== 'number' ||
    !textOrNull(boot) ||
    !textOrNull(started) ||
    typeof thread !== 'number' ||
    typeof agent !== 'string' ||
    typeof nonce !== 'string' ||
    typeof purpose !== 'string' ||
    typeof time !== 'number'
  ) {
    return undefined;
  }
  return { format, host, pid, boot, started, thread, agent, nonce, purpose, time };
}

/** "checkpoint by claude-code (process 123 on host, for 3 s)". */
export function describeHolder(holder: Holder, now: number): string {
  const seconds = Math.max(0, Math.round((now - holder.time) / 1000));
  return `${holder.purpose} by ${holder.agent} (process ${String(holder.pid)} on ${holder.host}, for ${String(seconds)} s)`;
}
