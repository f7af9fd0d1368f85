/**
 * The record of who holds a lock, a lease or a claim, and the rule by which it may be taken over. Pure: who is alive, and
 * what time it is, are found out elsewhere.
 */

/** Who a process is, told apart from a later process with the same number. */
export interface ProcessIdentity {
  readonly host: string;
  readonly pid: number;
  /** Changes with every start of the machine; null where the platform does not tell. */
  readonly boot: string | null;
  /** When the process started, in the platform's own unit; only compared. Null where the platform does not tell. */
  readonly started: string | null;
  /** In which space of process numbers the pid counts: containers of one machine have several. Null where there is but one, or in an old record. */
  readonly space: string | null;
}

/** The holder of a lock, claim or lease. Times are milliseconds since 1970-01-01 UTC. */
export interface Holder extends ProcessIdentity {
  readonly format: 1;
  readonly thread: number;
  readonly agent: string;
  /** Tells two holds of one process apart: only who knows it may release or renew. */
  readonly nonce: string;
  readonly purpose: string;
  /** When it was taken. */
  readonly since: number;
  /** The last sign of life that was written into the record. */
  readonly time: number;
}

/** What a place of a lock says about its holder. */
export type HolderRecord =
  | { readonly kind: 'ok'; readonly holder: Holder }
  /** Written by a later version of Bulkhead: its rules are not known, so it is respected and never rewritten. */
  | { readonly kind: 'newer'; readonly format: number }
  /** Torn, empty or foreign: nothing is known of the holder. */
  | { readonly kind: 'unreadable' };

/** What is known of a process. `alive` and `dead` are proven; every doubt is `unknown`. */
export type Liveness = 'alive' | 'dead' | 'unknown';

/**
 * How long a holder that nothing is known of keeps what it holds after its last sign of life, in milliseconds. Longer than
 * any stall of a loaded machine that was seen, short enough to be waited for.
 */
export const HOLDER_TTL_MS = 300_000;
/** How often a holder gives a sign of life, in milliseconds: four may fail before anybody may doubt it. */
export const HEARTBEAT_MS = 60_000;

/**
 * The longest life of a hold, in milliseconds: from then on its holder is told that it is lost and renews it no more, and
 * one time to live later anybody may take it. A heartbeat proves a running timer, not that the work behind it gets on.
 */
export const SAVE_LOCK_CAP_MS = 10 * 60_000;
/** A restore, apply or delete of the largest repository takes minutes, on a slow network drive tens of them. */
export const CLAIM_CAP_MS = 60 * 60_000;
/** A window records for days; twice a day it gives its lease back and takes it anew, unless another one was waiting. */
export const LEASE_CAP_MS = 12 * 60 * 60_000;

/**
 * Whether something that is held may be taken over: on proof of death at once; from a holder that is proven alive only one
 * time to live after its cap, however silent it was (a machine that sleeps silences all of them); without proof either way
 * when its last sign of life is further away than the time to live, in either direction, because clocks get set back.
 */
export function mayBeTaken(held: {
  readonly liveness: Liveness;
  /** Null when nobody can tell. */
  readonly since: number | null;
  readonly renewed: number | null;
  readonly now: number;
  readonly capMs: number;
}): boolean {
  const { liveness, since, renewed, now, capMs } = held;
  if (liveness === 'dead') {
    return true;
  }
  if (since !== null && now - since > capMs + HOLDER_TTL_MS) {
    return true;
  }
  return liveness === 'unknown' && renewed !== null && Math.abs(now - renewed) > HOLDER_TTL_MS;
}

export function formatHolder(holder: Holder): string {
  return JSON.stringify(holder);
}

export function parseHolder(text: string): HolderRecord {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Not JSON: torn, or of another hand.
    return { kind: 'unreadable' };
  }
  if (typeof json !== 'object' || json === null) {
    return { kind: 'unreadable' };
  }
  const { format, host, pid, boot, started, space, thread, agent, nonce, purpose, since, time } = json as Record<
    string,
    unknown
  >;
  if (typeof format === 'number' && Number.isSafeInteger(format) && format > 1) {
    return { kind: 'newer', format };
  }
  if (
    format !== 1 ||
    typeof host !== 'string' ||
    typeof pid !== 'number' ||
    !isTextOrNull(boot) ||
    !isTextOrNull(started) ||
    typeof thread !== 'number' ||
    typeof agent !== 'string' ||
    typeof nonce !== 'string' ||
    typeof purpose !== 'string' ||
    typeof time !== 'number'
  ) {
    return { kind: 'unreadable' };
  }
  return {
    kind: 'ok',
    holder: {
      format,
      host,
      pid,
      boot,
      started,
      // Records of the first versions have neither.
      space: typeof space === 'string' ? space : null,
      thread,
      agent,
      nonce,
      purpose,
      since: typeof since === 'number' ? since : time,
      time,
    },
  };
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

/** "checkpoint by claude-code (process 123 on host, for 3 s)". */
export function describeHolder(holder: Holder, now: number): string {
  return `${holder.purpose} by ${holder.agent} (process ${String(holder.pid)} on ${holder.host}, for ${spanText(now - holder.since)})`;
}

/** "3 s", "4 min", "2 h": how long something has lasted; nothing is shorter than 0 s. */
export function spanText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) {
    return `${String(seconds)} s`;
  }
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${String(minutes)} min` : `${String(Math.round(minutes / 60))} h`;
}
