import { messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import { closedRef, sessionOfShadowRef } from '../core/refName';
import { isSessionRef } from '../core/sessionId';
import { parseMessage, type SnapshotMeta } from '../core/snapshotMessage';
import { listRefs } from '../git/forEachRef';
import type { Host } from './host';
import { isDamage, type SnapshotStore } from './snapshotStore';

interface Tip {
  readonly session: string;
  readonly oid: Oid;
}

const CLOSED = /^refs\/bulkhead\/closed\/([^/]+)\/\d+$/;

/** Chains that the first snapshot of a later one names, and that no ref leads to: git takes them for rubbish. */
export async function findUnheldChains(host: Host, store: SnapshotStore): Promise<readonly Tip[]> {
  const standing = await listRefs(host.git, store.gitDir, [
    'refs/bulkhead/sessions',
    'refs/bulkhead/workspace',
    'refs/bulkhead/closed',
  ]);
  const queue: Tip[] = [];
  const held = new Set<Oid>();
  const refs = new Set<string>();
  for (const [ref, oid] of standing) {
    const session = sessionOfShadowRef(ref) ?? CLOSED.exec(ref)?.[1];
    if (session !== undefined && isSessionRef(session)) {
      queue.push({ session, oid });
      held.add(oid);
      refs.add(ref);
    }
  }
  const unheld: Tip[] = [];
  for (let tip = queue.pop(); tip !== undefined; tip = queue.pop()) {
    const { session } = tip;
    const number = (await metaOf(store, tip.oid))?.chain.number ?? 1;
    if (number <= 1 || refs.has(closedRef(session, number - 1))) {
      continue;
    }
    const previous = await previousChain(host, store, tip.oid);
    if (previous !== null && !held.has(previous) && (await metaOf(store, previous)) !== undefined) {
      held.add(previous);
      unheld.push({ session, oid: previous });
      queue.push({ session, oid: previous });
    }
  }
  return unheld;
}

/** Gives back to each such chain the ref that closed it. @returns how many */
export async function restoreClosedRefs(host: Host, store: SnapshotStore): Promise<number> {
  let restored = 0;
  for (const { session, oid } of await findUnheldChains(host, store)) {
    const meta = await metaOf(store, oid);
    if (meta === undefined) {
      continue;
    }
    const ref = closedRef(session, meta.chain.number);
    const result = await store.move('maintenance', [{ ref, from: null, to: oid }]);
    if (result.kind === 'done') {
      restored++;
      host.log.info(`${ref} was gone and names ${oid} again`);
    } else {
      host.log.warn(`${ref} could not be made: ${result.kind}`);
    }
  }
  return restored;
}

async function previousChain(host: Host, store: SnapshotStore, tip: Oid): Promise<Oid | null> {
  try {
    const [first = ''] = (
      await host.git.text([`--git-dir=${store.gitDir}`, 'rev-list', '--first-parent', '--max-parents=0', tip])
    ).split('\n');
    return (await metaOf(store, first))?.previous ?? null;
  } catch (error) {
    // The chain is damaged; then git removes nothing at all.
    host.log.debug(`the first snapshot of the chain of ${tip} is not found: ${messageOf(error)}`);
    return null;
  }
}

async function metaOf(store: SnapshotStore, oid: Oid): Promise<SnapshotMeta | undefined> {
  try {
    return parseMessage((await store.commit(oid)).message)?.meta;
  } catch (error) {
    if (isDamage(error)) {
      return undefined;
    }
    throw error;
  }
}
