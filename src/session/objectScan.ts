import { join } from 'node:path';
import { isOid, type ObjectFormat, type Oid, zeroOid } from '../core/objectId';
import { CancelledError, endOfStderr } from '../git/gitError';
import { namesIn } from './files';
import type { Host } from './host';
import type { SnapshotStore } from './snapshotStore';

export interface ObjectFaults {
  /** Loose files that are there and are not what their name says, with the reason for people. */
  readonly corrupt: ReadonlyMap<Oid, string>;
  /** Objects that something reachable names, and that cannot be read from anywhere. */
  readonly missing: ReadonlySet<Oid>;
  /** Packs that cannot be trusted, in git's words. */
  readonly packs: readonly string[];
  /** What git holds against the form of commits and trees, as a rule of the person's own history. */
  readonly style: number;
  /** Git gave up before the end: what it said last. */
  readonly stopped: string | null;
}

/** Any exit of fsck is an answer: the bits say what kind of trouble there is. */
const ANY_EXIT = Array.from({ length: 129 }, (_, code) => code);

/** Looks at every loose object, and has git look at packs and at what leads to what. Writes nothing. */
export async function scanObjects(host: Host, store: SnapshotStore, signal?: AbortSignal): Promise<ObjectFaults> {
  const corrupt = await corruptLoose(store, signal);
  const { stdout, stderr } = await host.git.run(
    [`--git-dir=${store.gitDir}`, 'fsck', '--full', '--strict', '--no-dangling', '--no-progress'],
    { signal, background: true, expect: ANY_EXIT },
  );
  const { suspects, ...said } = parseFsck(`${stdout.toString('utf8')}\n${stderr}`, store.format);
  const missing = new Set<Oid>();
  for (const oid of suspects) {
    if (!corrupt.has(oid) && !(await isReadable(store, oid))) {
      missing.add(oid);
    }
  }
  return { corrupt, missing, ...said };
}

interface FsckAnswer extends Pick<ObjectFaults, 'packs' | 'style' | 'stopped'> {
  /** Names that stand in a line that says that something is wrong; facts decide then. */
  readonly suspects: ReadonlySet<Oid>;
}

/** Parses what `fsck` prints, on either stream. */
export function parseFsck(text: string, format: ObjectFormat): FsckAnswer {
  const lines = text.split('\n');
  const named = lines
    .filter((line) => /^(missing|error|fatal|broken|\s+to\b)/.test(line))
    .flatMap((line) => line.match(/\b[0-9a-f]{40,64}\b/g) ?? []);
  const fatal = lines.filter((line) => line.startsWith('fatal:'));
  return {
    suspects: new Set(named.filter((oid) => isOid(oid, format) && oid !== zeroOid(format))),
    packs: lines.filter((line) => /^(error|fatal): .*\.(pack|idx|midx)\b/.test(line)),
    style: lines.filter((line) => /^(error|warning) in (commit|tree|blob|tag) /.test(line)).length,
    stopped: fatal.length === 0 ? null : endOfStderr(fatal.join('\n')),
  };
}

/** Whether an object can be had from this store: whole in its own file, or else from a pack. */
export async function isReadable(store: SnapshotStore, oid: Oid): Promise<boolean> {
  const loose = store.objects.check(oid);
  if (loose.kind === 'absent') {
    return (await store.reader.info(oid)) !== undefined;
  }
  return loose.kind === 'whole';
}

async function corruptLoose(store: SnapshotStore, signal: AbortSignal | undefined): Promise<Map<Oid, string>> {
  const objects = join(store.gitDir, 'objects');
  const found = new Map<Oid, string>();
  for (const folder of (await namesIn(objects)).filter((name) => /^[0-9a-f]{2}$/.test(name))) {
    if (signal?.aborted === true) {
      throw new CancelledError();
    }
    for (const file of await namesIn(join(objects, folder))) {
      const oid = `${folder}${file}`;
      if (isOid(oid, store.format)) {
        const state = store.objects.check(oid);
        if (state.kind === 'corrupt') {
          found.set(oid, state.reason);
        }
      }
    }
  }
  return found;
}
