import { join } from 'node:path';
import { describeHolder, parseHolder } from '../core/holder';
import { emptyTreeOid, type Oid } from '../core/objectId';
import { baseRef, claimRef, recordRef, sessionOfShadowRef, shadowRef } from '../core/refName';
import { isSessionId } from '../core/sessionId';
import { listReadableRefs } from '../git/forEachRef';
import type { Repair } from './api';
import { findUnheldChains, restoreClosedRefs } from './closedChains';
import { moveToDamaged } from './doctorPlace';
import { exists } from './files';
import { type Findings, NOTHING_LOST, REPAIR } from './findings';
import { livenessOfHolder } from './holders';
import type { Host } from './host';
import { isReadable } from './objectScan';
import type { Records } from './records';
import type { SnapshotHealth } from './snapshotHealth';
import { isDamage, type SnapshotStore } from './snapshotStore';

export interface RefPlaces {
  readonly host: Host;
  readonly root: string;
  readonly store: SnapshotStore;
  readonly records: Records;
  readonly health: SnapshotHealth;
}

export interface StoredRefs {
  /** Oid by ref name. */
  readonly refs: ReadonlyMap<string, Oid>;
  /** Refs whose file cannot be read. */
  readonly broken: readonly string[];
}

export async function readRefs(host: Host, store: SnapshotStore): Promise<StoredRefs> {
  return listReadableRefs(host.git, store.gitDir, ['refs/bulkhead']);
}

/** Sessions that a record or a shadow ref names. */
export function sessionsOf({ refs, broken }: StoredRefs): readonly string[] {
  const sessions = new Set<string>();
  for (const ref of [...refs.keys(), ...broken]) {
    const id = sessionOfShadowRef(ref) ?? /^refs\/bulkhead\/records\/([^/]+)$/.exec(ref)?.[1];
    if (id !== undefined && (isSessionId(id) || id === 'workspace')) {
      sessions.add(id);
    }
  }
  return [...sessions].sort();
}

/** Every shadow ref, record, base, pin, closed chain, branch and claim. */
export async function checkRefs(
  places: RefPlaces,
  stored: StoredRefs,
  options: { readonly objectsAreDamaged: boolean },
  findings: Findings,
): Promise<void> {
  for (const session of sessionsOf(stored)) {
    await checkShadowRef(places, session, stored, options, findings);
    await checkRecord(places, session, stored, findings);
  }
  for (const [ref, oid] of stored.refs) {
    if (sessionOfShadowRef(ref) === undefined && !(await isReadable(places.store, oid))) {
      const session = ref.split('/')[3];
      findings.add(
        'error',
        'ref-target-lost',
        { session: session !== undefined && isSessionId(session) ? session : null, subject: ref },
        {
          message: `${ref} leads to ${oid}, which is missing or corrupt.`,
          safe: 'What other refs lead to is not affected.',
          advice: `A repair looks for it in your repository, in the donor and in the clones. ${REPAIR}`,
          repairable: true,
        },
      );
    }
  }
  for (const ref of stored.broken.filter((broken) => sessionOfShadowRef(broken) === undefined)) {
    findings.add(
      'error',
      'ref-unreadable',
      { subject: ref },
      {
        message: `The file of ${ref} cannot be read.`,
        safe: 'What other refs lead to is not affected.',
        advice:
          'What it led to is not known, so nothing is guessed. Bring the file back from a backup, or move it away.',
      },
    );
  }
  for (const { session, oid } of await findUnheldChains(places.host, places.store)) {
    findings.add(
      'error',
      'closed-ref-missing',
      { session, subject: oid },
      {
        message: `No ref leads to an older chain of snapshots, the last of which is ${oid}.`,
        safe: 'It is still there: maintenance gives it its ref back before it removes anything.',
        advice: REPAIR,
        repairable: true,
      },
    );
  }
  await checkClaims(places, stored, findings);
}

async function checkShadowRef(
  { health }: RefPlaces,
  session: string,
  stored: StoredRefs,
  options: { readonly objectsAreDamaged: boolean },
  findings: Findings,
): Promise<void> {
  const ref = shadowRef(session);
  const about = { session, subject: ref };
  if (!stored.refs.has(ref) && !stored.broken.includes(ref)) {
    if (session !== 'workspace') {
      const newest = await health.newestWhole(session);
      findings.add('error', 'shadow-ref-missing', about, {
        message: `${ref} is gone, so the session seems to have no snapshots.`,
        safe: newest === null ? 'Its clone is not touched.' : `Its snapshots are still there; the newest is ${newest}.`,
        advice:
          newest === null ? 'A checkpoint starts a new history.' : `A repair puts it back to ${newest}. ${REPAIR}`,
        repairable: newest !== null,
      });
    }
    return;
  }
  // A whole look at every snapshot takes long; it is worth it when something is damaged somewhere.
  const { damage, good } = options.objectsAreDamaged ? await health.suspect(session) : await health.standing(session);
  if (damage !== null) {
    findings.add('error', 'snapshot-damaged', about, {
      message: damage.text,
      safe:
        good === null
          ? 'The files in its work tree are not touched.'
          : `Snapshot ${good} and what is before it are whole.`,
      advice: `A repair looks for what is lost in your repository, the donor and the work tree; if that does not help, it puts the ref back to the newest whole snapshot and notes the damaged one. ${REPAIR}`,
      repairable: good !== null || stored.refs.has(ref),
    });
  }
}

async function checkRecord(
  { records, store }: RefPlaces,
  session: string,
  { refs }: StoredRefs,
  findings: Findings,
): Promise<void> {
  if (session === 'workspace') {
    return;
  }
  const about = { session, subject: recordRef(session) };
  const safe = 'Its snapshots can be listed, and its clone is not touched.';
  const rescue = 'Start a new session from its newest snapshot, which brings the work along.';
  try {
    const record = await records.read(session);
    if (record === undefined) {
      findings.add('error', 'record-missing', about, {
        message: `The record of session ${session} is gone.`,
        safe,
        advice: rescue,
      });
    } else if (record.parsed.kind === 'damaged') {
      findings.add('error', 'record-damaged', about, {
        message: `The record of session ${session} cannot be read: ${record.parsed.reason}.`,
        safe,
        advice: rescue,
      });
    } else if (record.parsed.kind === 'newer') {
      findings.add('info', 'record-newer', about, {
        message: `Session ${session} was changed by a newer version of Bulkhead.`,
        safe,
        advice: 'Update Bulkhead to work with it.',
      });
    } else {
      const { base, name } = record.parsed.record;
      if (base.commit !== null && !refs.has(baseRef(session))) {
        findings.add(
          'warning',
          'base-ref-missing',
          { session, subject: baseRef(session) },
          {
            message: `Nothing keeps the base of "${name}" in the store.`,
            safe: NOTHING_LOST,
            advice: `Its ref can be made again. ${REPAIR}`,
            repairable: true,
          },
        );
      }
      if (base.tree !== emptyTreeOid(store.format) && !(await isReadable(store, base.tree))) {
        findings.add(
          'error',
          'base-lost',
          { session, subject: base.tree },
          {
            message: `The base of "${name}" is missing or corrupt, so nothing can be recorded in it.`,
            safe: 'Its snapshots and the files of its clone are not touched.',
            advice: `A repair looks for it in your repository, the donor and the clones. ${REPAIR}`,
            repairable: true,
          },
        );
      }
    }
  } catch (error) {
    if (!isDamage(error)) {
      throw error;
    }
    findings.add('error', 'record-damaged', about, { message: error.message, safe, advice: rescue });
  }
}

async function checkClaims({ host, store }: RefPlaces, { refs }: StoredRefs, findings: Findings): Promise<void> {
  for (const { ref, holder } of await deadClaims(host, store, refs)) {
    findings.add(
      'warning',
      'claim-left',
      { subject: ref },
      {
        message: `${ref} was left by ${holder}.`,
        safe: 'Whoever needs it next takes it over.',
        advice: `It can go. ${REPAIR}`,
        repairable: true,
      },
    );
  }
}

async function deadClaims(
  host: Host,
  store: SnapshotStore,
  refs: ReadonlyMap<string, Oid>,
): Promise<readonly { readonly ref: string; readonly oid: Oid; readonly holder: string }[]> {
  const found: { readonly ref: string; readonly oid: Oid; readonly holder: string }[] = [];
  for (const [ref, oid] of refs) {
    if (!ref.startsWith('refs/bulkhead/claims/')) {
      continue;
    }
    try {
      const record = parseHolder((await store.blob(oid)).toString('utf8'));
      if (record.kind === 'ok' && (await livenessOfHolder(record)) === 'dead') {
        found.push({ ref, oid, holder: describeHolder(record.holder, host.clock.now()) });
      }
    } catch (error) {
      if (!isDamage(error)) {
        throw error;
      }
      // Told as a ref that leads nowhere; who holds it cannot be known.
    }
  }
  return found;
}

/** Puts shadow refs back to what is whole, and gives bases and chains their refs back. */
export async function repairRefs(places: RefPlaces): Promise<readonly Repair[]> {
  const { host, store, root, records, health } = places;
  const repairs: Repair[] = [];
  const move = async (code: string, ref: string, from: Oid | null, to: Oid | null, what: string): Promise<void> => {
    const result = await store.move('doctor', [{ ref, from, to }]);
    if (result.kind === 'done') {
      repairs.push({ code, subject: ref, what });
    } else {
      host.log.warn(`${ref} was not mended: ${result.kind}`);
    }
  };
  const stored = await readRefs(host, store);
  for (const session of sessionsOf(stored)) {
    const ref = shadowRef(session);
    if (stored.broken.includes(ref)) {
      await setAside(root, store, ref);
    }
    const standing = await health.suspect(session);
    if (standing.damage !== null && standing.good !== null && standing.ref !== standing.good) {
      const what = `Moved from ${standing.ref ?? 'a place that could not be read'} to ${standing.good}.`;
      await move('snapshot-damaged', ref, standing.ref, standing.good, what);
    } else if (standing.ref === null && session !== 'workspace') {
      const found = await health.newestWhole(session);
      if (found !== null) {
        await move('shadow-ref-missing', ref, null, found, `Made again; it leads to ${found}.`);
      }
    }
    const record = session === 'workspace' ? undefined : await records.read(session).catch(() => undefined);
    const base = record?.parsed.kind === 'ok' ? record.parsed.record.base.commit : null;
    if (base !== null && !stored.refs.has(baseRef(session)) && (await isReadable(store, base))) {
      await move('base-ref-missing', baseRef(session), null, base, `Made again; it leads to ${base}.`);
    }
  }
  const closed = await restoreClosedRefs(host, store);
  if (closed > 0) {
    repairs.push({
      code: 'closed-ref-missing',
      subject: 'refs/bulkhead/closed',
      what: `${String(closed)} chains of snapshots have their refs again.`,
    });
  }
  for (const { ref, oid, holder } of await deadClaims(host, store, stored.refs)) {
    if (ref !== claimRef('store')) {
      await move('claim-left', ref, oid, null, `Removed the claim of ${holder}.`);
    }
  }
  return repairs;
}

/** A ref's file that cannot be read stands in the way of every change of that ref. */
async function setAside(root: string, store: SnapshotStore, ref: string): Promise<void> {
  const file = join(store.gitDir, ref);
  if (await exists(file)) {
    await moveToDamaged(root, file, ref.replaceAll('/', '-'));
  }
}
