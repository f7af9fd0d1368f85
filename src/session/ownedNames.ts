import { createHash, randomBytes } from 'node:crypto';
import type { Liveness, ProcessIdentity } from '../core/holder';
import { livenessOf, ownIdentity } from './processIdentity';

/** A name for something half made that tells who makes it, so that nobody has to guess from its age whether it is left over. */
export async function ownedName(prefix: string): Promise<string> {
  const self = await ownIdentity();
  const random = randomBytes(4).toString('hex');
  return [prefix, machine(self), String(self.pid), self.started ?? 'unknown', random].join('-');
}

/** What is known of the process that such a name tells of; `unknown` when the name tells nothing that can be proven here. */
export async function livenessOfOwner(name: string): Promise<Liveness> {
  const match = /^[a-z]+-([0-9a-f]{12})-(\d{1,15})-(\d+|unknown)-[0-9a-f]{8}$/.exec(name);
  const self = await ownIdentity();
  if (match?.[1] !== machine(self)) {
    return 'unknown';
  }
  const started = match[3] === undefined || match[3] === 'unknown' ? null : match[3];
  return livenessOf({ ...self, pid: Number(match[2]), started });
}

/** One start of one machine, and the space in which its process numbers count. */
function machine({ host, boot, space }: ProcessIdentity): string {
  return createHash('sha256')
    .update([host, boot ?? '', space ?? ''].join('\0'))
    .digest('hex')
    .slice(0, 12);
}
