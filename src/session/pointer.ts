import { lstat, readdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BulkheadError, isAbsent } from '../base/errors';
import { isSessionId } from '../core/sessionId';
import { isRealFolder, readTextIfThere, writeFileAtomic } from './files';
import type { Host } from './host';
import { readIndex } from './repositoryIndex';
import { readStorageOwner } from './storage';

/** What `session.json` in a session's folder says: who it is, never where to write. */
export interface SessionFile {
  readonly id: string;
  readonly nonce: string;
}

interface Pointer extends SessionFile {
  readonly storage: string;
}

export const SESSION_FILE = 'session.json';
const POINTER_FILE = 'bulkhead';
const MAX_POINTER_BYTES = 4096;

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null && 'format' in json && json.format === 1 ? { ...json } : undefined;
  } catch {
    // Torn or foreign: as if it were not there.
    return undefined;
  }
}

export async function writeSessionFile(folder: string, file: SessionFile): Promise<void> {
  await writeFileAtomic(join(folder, SESSION_FILE), `${JSON.stringify({ format: 1, ...file })}\n`);
}

export async function readSessionFile(folder: string): Promise<SessionFile | undefined> {
  const json = parse((await readTextIfThere(join(folder, SESSION_FILE))) ?? '');
  const { id, nonce } = json ?? {};
  return typeof id === 'string' && isSessionId(id) && typeof nonce === 'string' ? { id, nonce } : undefined;
}

/** Puts the way back into a clone. It is in the agent's hands, so it is only ever believed after a check. */
export async function writePointer(gitDir: string, pointer: Pointer): Promise<void> {
  await writeFileAtomic(join(gitDir, POINTER_FILE), `${JSON.stringify({ format: 1, ...pointer })}\n`, 0o644);
}

async function readPointer(gitDir: string): Promise<Pointer | undefined> {
  const file = join(gitDir, POINTER_FILE);
  try {
    const stats = await lstat(file);
    if (!stats.isFile() || stats.size > MAX_POINTER_BYTES) {
      return undefined;
    }
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw error;
  }
  const { storage, id, nonce } = parse((await readTextIfThere(file)) ?? '') ?? {};
  return typeof storage === 'string' && typeof id === 'string' && isSessionId(id) && typeof nonce === 'string'
    ? { storage, id, nonce }
    : undefined;
}

export interface CloneLocation {
  readonly storage: string;
  readonly session: string;
  /** Real path of the user's repository. */
  readonly repository: string;
  /** Real path of the clone. */
  readonly clone: string;
}

/**
 * Finds the session's clone around a folder. The pointer in the clone is believed only when the user's index lists the
 * storage that it names, and that storage has a session with this id and nonce whose clone is this very folder.
 * @returns undefined when the folder lies in no clone
 * @throws BulkheadError `pointer-not-believed` when a pointer is there and does not hold
 */
export async function findClone(host: Host, folder: string): Promise<CloneLocation | undefined> {
  let at = await realpath(folder);
  for (;;) {
    const pointer = (await isRealFolder(join(at, '.git'))) ? await readPointer(join(at, '.git')) : undefined;
    if (pointer !== undefined) {
      return believe(host, at, pointer);
    }
    const parent = dirname(at);
    if (parent === at) {
      return findByFolder(host, folder);
    }
    at = parent;
  }
}

async function believe(host: Host, clone: string, pointer: Pointer): Promise<CloneLocation> {
  const listed = (await readIndex(host.environment)).find(({ storage }) => storage === pointer.storage);
  const file = await readSessionFile(dirname(clone));
  const owner = listed === undefined ? null : await readStorageOwner(listed.storage);
  if (listed === undefined || owner === null || file?.id !== pointer.id || file.nonce !== pointer.nonce) {
    throw new BulkheadError(
      'refused',
      'pointer-not-believed',
      `${clone} says that it is a clone of a Bulkhead session, but your list of storages does not confirm that. Nothing was done there; name the storage with --storage if you trust it.`,
      { data: { clone, storage: pointer.storage } },
    );
  }
  return { storage: listed.storage, session: pointer.id, repository: owner, clone };
}

/** An agent may have removed its `.git` with the pointer: the folder's place under a listed storage tells as well. */
async function findByFolder(host: Host, folder: string): Promise<CloneLocation | undefined> {
  const real = await realpath(folder);
  for (const { storage } of await readIndex(host.environment)) {
    const sessions = await realpath(join(storage, 'sessions')).catch(() => undefined);
    if (sessions === undefined || !real.startsWith(`${sessions}/`)) {
      continue;
    }
    const [id = '', name] = real.slice(sessions.length + 1).split('/');
    const owner = await readStorageOwner(storage);
    if (
      isSessionId(id) &&
      name !== undefined &&
      owner !== null &&
      (await readSessionFile(join(sessions, id)))?.id === id
    ) {
      return { storage, session: id, repository: owner, clone: join(sessions, id, name) };
    }
  }
  return undefined;
}

/** Ids of the session folders that are there, whether or not they have a record. */
export async function sessionFolderIds(sessions: string): Promise<string[]> {
  try {
    return (await readdir(sessions)).filter((name) => isSessionId(name));
  } catch (error) {
    if (isAbsent(error)) {
      return [];
    }
    throw error;
  }
}
