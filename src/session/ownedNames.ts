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
  const owner = parseOwnedName(name);
  const self = await ownIdentity();
  return owner?.machine === machine(self) ? livenessOf({ ...self, pid: owner.pid, started: owner.started }) : 'unknown';
}

interface Owner extends Pick<ProcessIdentity, 'pid' | 'started'> {
  readonly machine: string;
}

/** Undefined for a name that nobody made to be owned. */
export function parseOwnedName(name: string): Owner | undefined {
  const [, home, pid, started] = /^[a-z]+-([0-9a-f]{12})-(\d{1,15})-(\d+|unknown)-[0-9a-f]{8}$/.exec(name) ?? [];
  return home === undefined || pid === undefined || started === undefined
    ? undefined
    : { machine: home, pid: Number(pid), started: started === 'unknown' ? null : started };
}

/** One start of one machine, and the space in which its process numbers count. */
function machine({ host, boot, space }: ProcessIdentity): string {
  return createHash('sha256')
    .update([host, boot ?? '', space ?? ''].join('\0'))
    .digest('hex')
    .slice(0, 12);
}
