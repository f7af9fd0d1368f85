import { createHash, randomBytes } from 'node:crypto';
import { isProvenDead, ownIdentity, type ProcessIdentity } from './processIdentity';

/** A name for something half made that tells who makes it, so that nobody has to guess from its age whether it is left over. */
export async function ownedName(prefix: string): Promise<string> {
  const self = await ownIdentity();
  const random = randomBytes(4).toString('hex');
  return [prefix, machine(self), String(self.pid), self.started ?? 'unknown', random].join('-');
}

/** Whether the process that such a name tells of is proven dead; undefined when the name tells nothing that can be proven here. */
export async function isOwnerDead(name: string): Promise<boolean | undefined> {
  const match = /^[a-z]+-([0-9a-f]{12})-(\d{1,15})-(\d+|unknown)-[0-9a-f]{8}$/.exec(name);
  const self = await ownIdentity();
  if (match?.[1] !== machine(self)) {
    return undefined;
  }
  return isProvenDead({
    host: self.host,
    boot: self.boot,
    pid: Number(match[2]),
    started: match[3] === 'unknown' ? null : (match[3] ?? null),
  });
}

/** One start of one machine. */
function machine({ host, boot }: ProcessIdentity): string {
  return createHash('sha256')
    .update(`${host}\0${boot ?? ''}`)
    .digest('hex')
    .slice(0, 12);
}
