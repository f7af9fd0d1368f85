import { lstat, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError, isAbsent } from '../base/errors';
import { describeHolder, HOLDER_TTL_MS } from '../core/holder';
import { isSessionId } from '../core/sessionId';
import type { Repair } from './api';
import { makeFolder } from './files';
import { type Findings, NOTHING_LOST, REPAIR } from './findings';
import type { Host } from './host';
import { readSessionFile, sessionFolderIds } from './pointer';
import type { Records } from './records';
import { sessionFolder, type Storage } from './storage';
import { livenessOfHolder } from './holders';
import { LOCK_SUFFIX, LockFile, type SeenLock } from './lockFile';
import { findLeftovers, type Leftover, LEFTOVER_AGE_MS, sweepLeftovers } from './storeLeftovers';

interface FolderPlaces {
  readonly host: Host;
  readonly storage: Storage;
  readonly records: Records;
  /** Whether the store has a snapshot of a session. */
  readonly hasSnapshots: (session: string) => Promise<boolean>;
  readonly recordedIds: readonly string[];
}

interface Entry {
  readonly name: string;
  readonly path: string;
}

/** Session folders, folders that were being made, locks, unfinished operations and temporary files. */
export async function checkFolders(places: FolderPlaces, findings: Findings): Promise<void> {
  const { host, storage } = places;
  await checkSessions(places, findings);
  for (const { path } of await halfMade(host, storage)) {
    findings.add(
      'warning',
      'half-made-folder',
      { subject: path },
      {
        message: `${path} was being made when its process ended.`,
        safe: 'No session was started in it. What was carried over into it is still in your checkout.',
        advice: `It can go to the trash. ${REPAIR}`,
        repairable: true,
      },
    );
  }
  for (const { seen, holder } of await deadLocks(host, storage)) {
    findings.add(
      'warning',
      'lock-left',
      { subject: seen.path },
      {
        message: `A lock was left by ${holder}.`,
        safe: 'Nothing is blocked for long by it: whoever needs it takes it over.',
        advice: `It can go. ${REPAIR}`,
        repairable: true,
      },
    );
  }
  for (const { path } of await entries(storage.journal)) {
    findings.add(
      'warning',
      'operation-unfinished',
      { subject: path },
      {
        message: 'An operation of several steps is under way, or its process ended in the middle.',
        safe: 'The snapshot that was made before its first step is there.',
        advice: 'If nothing is running, start Bulkhead on that session: it finishes the operation or takes it back.',
      },
    );
  }
  const leftovers = await allLeftovers(host, storage);
  if (leftovers.length > 0) {
    const bytes = leftovers.reduce((sum, leftover) => sum + leftover.bytes, 0);
    findings.add(
      'warning',
      'temporary-files',
      { subject: leftovers[0]?.path ?? null },
      {
        message: `Killed processes left ${String(leftovers.length)} temporary files and locks behind, ${String(Math.ceil(bytes / 1000))} kB.`,
        safe: NOTHING_LOST,
        advice: `They can go; so does the next maintenance. ${REPAIR}`,
        repairable: true,
      },
    );
  }
}

async function checkSessions(places: FolderPlaces, findings: Findings): Promise<void> {
  const { storage, records } = places;
  const folders = new Set(await sessionFolderIds(storage.sessions));
  for (const id of places.recordedIds) {
    const record = await records.read(id).catch(() => undefined);
    if (record?.parsed.kind !== 'ok') {
      continue;
    }
    const { state, nonce, name } = record.parsed.record;
    const folder = sessionFolder(storage, id);
    if (state === 'ready' && !folders.has(id)) {
      findings.add(
        'warning',
        'session-folder-missing',
        { session: id, subject: folder },
        {
          message: `The folder of the session "${name}" is gone.`,
          safe: 'Its snapshots are still there.',
          advice: 'Start a new session from its newest snapshot, or delete it.',
        },
      );
    } else if (folders.has(id) && (await readSessionFile(folder))?.nonce !== nonce) {
      findings.add(
        'error',
        'session-folder-foreign',
        { session: id, subject: folder },
        {
          message: `The folder of the session "${name}" is not the one that was made for it, so nothing is done in it.`,
          safe: 'Its snapshots are still there, and nothing in the folder was touched.',
          advice: 'Put the right folder back, or move this one away and start a new session from the newest snapshot.',
        },
      );
    } else if (state === 'trashed' && folders.has(id)) {
      findings.add(
        'warning',
        'trash-unfinished',
        { session: id, subject: folder },
        {
          message: `The session "${name}" was deleted, and its folder is not in the trash yet.`,
          safe: 'Its snapshots are still there, and so is the folder.',
          advice: `The folder can go to the trash. ${REPAIR}`,
          repairable: true,
        },
      );
    }
  }
  for (const { name, path } of await orphans(places)) {
    findings.add(
      'warning',
      'session-folder-orphaned',
      { session: name, subject: path },
      {
        message: `${path} has no record of a session and no snapshots.`,
        safe: 'Nothing in it was touched.',
        advice: `It can go to the trash, where it can be looked at. ${REPAIR}`,
        repairable: true,
      },
    );
  }
}

/** Sweeps what is left of killed processes, and moves folders that belong to nobody into the trash. */
export async function repairFolders(places: FolderPlaces): Promise<readonly Repair[]> {
  const { host, storage, records } = places;
  const repairs: Repair[] = [];
  const stamp = new Date(host.clock.now()).toISOString().replace(/[:.]/g, '-');
  const toTrash = async (code: string, path: string, name: string): Promise<void> => {
    await makeFolder(storage.trash);
    const target = join(storage.trash, name);
    try {
      await rename(path, target);
    } catch (error) {
      throw ioError('move to the trash', path, error);
    }
    repairs.push({ code, subject: path, what: `Moved to ${target}.` });
  };
  for (const { name, path } of await orphans(places)) {
    await toTrash('session-folder-orphaned', path, `${name}-${stamp}`);
  }
  for (const { name, path } of await halfMade(host, storage)) {
    await toTrash('half-made-folder', path, `half-made-${name}-${stamp}`);
  }
  for (const id of await sessionFolderIds(storage.sessions)) {
    const record = await records.read(id).catch(() => undefined);
    if (record?.parsed.kind === 'ok' && record.parsed.record.state === 'trashed') {
      const folder = sessionFolder(storage, id);
      if ((await readSessionFile(folder))?.nonce === record.parsed.record.nonce) {
        await toTrash('trash-unfinished', folder, record.parsed.record.trashed ?? `${id}-${stamp}`);
      }
    }
  }
  for (const { lock, seen, holder } of await deadLocks(host, storage)) {
    if (lock.takeAway(seen)) {
      repairs.push({ code: 'lock-left', subject: seen.path, what: `Removed the lock of ${holder}.` });
    }
  }
  const leftovers = await allLeftovers(host, storage);
  if (leftovers.length > 0) {
    const { files, bytes } = await sweepLeftovers(leftovers);
    repairs.push({
      code: 'temporary-files',
      subject: leftovers[0]?.path ?? '',
      what: `Removed ${String(files)} files, ${String(Math.ceil(bytes / 1000))} kB.`,
    });
  }
  return repairs;
}

/** Folders of sessions that neither a record nor a snapshot knows, and that are too old to be in the making. */
async function orphans({ host, storage, hasSnapshots, recordedIds }: FolderPlaces): Promise<readonly Entry[]> {
  const known = new Set(recordedIds);
  const found: Entry[] = [];
  for (const { name, path } of await oldEntries(host, storage.sessions)) {
    if (isSessionId(name) && !known.has(name) && !(await hasSnapshots(name))) {
      found.push({ name, path });
    }
  }
  return found;
}

async function halfMade(host: Host, storage: Storage): Promise<readonly Entry[]> {
  const folders = new Set([storage.creating, join(storage.root, 'creating')]);
  return (await Promise.all([...folders].map((folder) => oldEntries(host, folder)))).flat();
}

async function deadLocks(
  host: Host,
  storage: Storage,
): Promise<readonly { readonly lock: LockFile; readonly seen: SeenLock; readonly holder: string }[]> {
  const found: { readonly lock: LockFile; readonly seen: SeenLock; readonly holder: string }[] = [];
  for (const { path } of (await entries(storage.locks)).filter(({ name }) => name.endsWith(LOCK_SUFFIX))) {
    const lock = new LockFile(path.slice(0, -LOCK_SUFFIX.length), host);
    const seen = lock.look();
    if (seen === undefined) {
      continue;
    }
    const { record } = seen;
    if (record.kind === 'ok' && (await livenessOfHolder(record)) === 'dead') {
      found.push({ lock, seen, holder: describeHolder(record.holder, host.clock.now()) });
    } else if (record.kind === 'unreadable' && Math.abs(host.clock.now() - seen.renewed) > HOLDER_TTL_MS) {
      found.push({ lock, seen, holder: 'a process that did not say who it is' });
    }
  }
  return found;
}

async function allLeftovers(host: Host, storage: Storage): Promise<readonly Leftover[]> {
  const now = host.clock.now();
  const own: Leftover[] = [];
  for (const { name, path } of await oldEntries(host, storage.root)) {
    if (name.startsWith('.tmp-')) {
      own.push({ path, kind: 'temporary', bytes: (await lstat(path)).size, ageMs: await ageOf(host, path) });
    }
  }
  return [...(await findLeftovers(storage.store, now)), ...(await findLeftovers(storage.donor, now)), ...own];
}

async function oldEntries(host: Host, folder: string): Promise<readonly Entry[]> {
  const found: Entry[] = [];
  for (const entry of await entries(folder)) {
    if ((await ageOf(host, entry.path)) > LEFTOVER_AGE_MS) {
      found.push(entry);
    }
  }
  return found;
}

async function entries(folder: string): Promise<readonly Entry[]> {
  try {
    return (await readdir(folder)).map((name) => ({ name, path: join(folder, name) }));
  } catch (error) {
    if (isAbsent(error)) {
      return [];
    }
    throw ioError('open', folder, error);
  }
}

/** In milliseconds; 0 for what went away meanwhile. */
async function ageOf(host: Host, path: string): Promise<number> {
  try {
    return host.clock.now() - (await lstat(path)).mtimeMs;
  } catch (error) {
    if (isAbsent(error)) {
      return 0;
    }
    throw ioError('look at', path, error);
  }
}
