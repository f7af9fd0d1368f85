import { randomBytes } from 'node:crypto';
import { threadId } from 'node:worker_threads';
import type { Holder, HolderRecord, Liveness } from '../core/holder';
import type { Host } from './host';
import { livenessOf, ownIdentity } from './processIdentity';

export async function newHolder(host: Host, purpose: string, agent: string): Promise<Holder> {
  const now = host.clock.now();
  return {
    format: 1,
    ...(await ownIdentity()),
    thread: threadId,
    agent,
    nonce: randomBytes(4).toString('hex'),
    purpose,
    since: now,
    time: now,
  };
}

/** What this process holds now. What bears its name and is not here was left behind, by a release that failed. */
const heldHere = new Set<string>();

export function rememberHeld(holder: Holder): void {
  heldHere.add(holder.nonce);
}

export function forgetHeld(holder: Holder): void {
  heldHere.delete(holder.nonce);
}

/** Whether the holder is proven alive or dead. A record that cannot be read proves nothing. */
export async function livenessOfHolder(record: HolderRecord): Promise<Liveness> {
  if (record.kind !== 'ok') {
    return 'unknown';
  }
  const { holder } = record;
  const liveness = await livenessOf(holder);
  const isOwn = liveness === 'alive' && holder.pid === process.pid && holder.thread === threadId;
  return isOwn && !heldHere.has(holder.nonce) ? 'dead' : liveness;
}
