import { lstat, readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BulkheadError, ioError, isAbsent } from '../base/errors';
import { isSessionId } from '../core/sessionId';
import { isRealFolder, readTextIfThere, writeFileAtomic } from './files';
import type { Host } from './host';
import { readIndex } from './repositoryIndex';
import { readStorageOwner, storageAt } from './storage';

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
const MAX_BYTES = 4096;

/** Torn, foreign or of another format: as if it were not there. */
function parseObject(text: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null && 'format' in json && json.format === 1 ? { ...json } : {};
  } catch {
    return {};
  }
}

export function parseSessionFile(text: string): SessionFile | undefined {
  const { id, nonce } = parseObject(text);
  return typeof id === 'string' && isSessionId(id) && typeof nonce === 'string' ? { id, nonce } : undefined;
}

export function parsePointer(text: string): Pointer | undefined {
  const { storage } = parseObject(text);
  const file = parseSessionFile(text);
  return typeof storage === 'string' && file !== undefined ? { storage, ...file } : undefined;
}

export async function writeSessionFile(folder: string, file: SessionFile): Promise<void> {
  await writeFileAtomic(join(folder, SESSION_FILE), `${JSON.stringify({ format: 1, ...file })}\n`);
}

export async function readSessionFile(folder: string): Promise<SessionFile | undefined> {
  return parseSessionFile(await readSmall(join(folder, SESSION_FILE)));
}

/** Such a file may be of an agent's making: what is no small plain file is as good as absent, or empty. */
async function readSmall(file: string): Promise<string> {
  try {
    const stats = await lstat(file);
    if (!stats.isFile() || stats.size > MAX_BYTES) {
      return '';
    }
  } catch (error) {
    if (isAbsent(error)) {
      return '';
    }
    throw ioError('look at', file, error);
  }
  return (await readTextIfThere(file)) ?? '';
}

/** Puts the way back into a clone. It is in the agent's hands, so it is only ever believed after a check. */
export async function writePointer(gitDir: string, pointer: Pointer): Promise<void> {
  await writeFileAtomic(join(gitDir, POINTER_FILE), `${JSON.stringify({ format: 1, ...pointer })}\n`, 0o644);
}

async function readPointer(gitDir: string): Promise<Pointer | undefined> {
  return parsePointer(await readSmall(join(gitDir, POINTER_FILE)));
}

export interface CloneLocation {
  readonly storage: string;
  readonly session: string;
  /** Real path of the user's repository. */
  readonly repository: string;
  /** Real path of the clone. */
  readonly clone: string;
}

/** A folder of a session on the way up from some place, and the clone in it that leads there. */
interface Placed {
  readonly clone: string;
  readonly file: SessionFile;
  /** Where the folders of sessions lie: `sessions`, or the trash. */
  readonly container: string;
}

/**
 * Finds the session's clone around a folder. Its place says which session it is: the folder above the clone is named after
 * the session and holds `session.json`, and an agent that is confined to its clone can write neither. The outermost one
 * counts, because inside a clone such folders can be made up. The pointer in the clone only has to agree, or to be gone.
 * @returns undefined when the folder lies in no clone
 * @throws BulkheadError `pointer-not-believed` when the user's index does not list the storage, or a pointer does not hold
 */
export async function findClone(host: Host, folder: string): Promise<CloneLocation | undefined> {
  const real = await realpath(folder);
  let placed: Placed | undefined;
  let planted: { readonly clone: string; readonly pointer: Pointer } | undefined;
  for (let at = real; dirname(at) !== at; at = dirname(at)) {
    placed = (await placeOf(at)) ?? placed;
    if (planted === undefined && (await isRealFolder(join(at, '.git')))) {
      const pointer = await readPointer(join(at, '.git'));
      planted = pointer === undefined ? undefined : { clone: at, pointer };
    }
  }
  if (placed !== undefined) {
    return believe(host, placed);
  }
  if (planted !== undefined) {
    throw notBelieved(planted.clone, planted.pointer.storage);
  }
  return undefined;
}

async function placeOf(clone: string): Promise<Placed | undefined> {
  const folder = dirname(clone);
  // In the trash the time of the deletion follows the id.
  const [id = ''] = basename(folder).split('-');
  const file = isSessionId(id) ? await readSessionFile(folder) : undefined;
  return file?.id === id ? { clone, file, container: dirname(folder) } : undefined;
}

async function believe(host: Host, { clone, file, container }: Placed): Promise<CloneLocation> {
  const pointer = (await isRealFolder(join(clone, '.git'))) ? await readPointer(join(clone, '.git')) : undefined;
  const storage = await storageAround(host, container, pointer);
  const owner = storage === undefined ? null : await readStorageOwner(storage);
  const holds =
    pointer === undefined || (pointer.storage === storage && pointer.id === file.id && pointer.nonce === file.nonce);
  if (storage === undefined || owner === null || !holds) {
    throw notBelieved(clone, pointer?.storage ?? null);
  }
  return { storage, session: file.id, repository: owner, clone };
}

/** The listed storage that keeps its sessions in this folder. */
async function storageAround(host: Host, container: string, pointer: Pointer | undefined): Promise<string | undefined> {
  for (const { storage } of await readIndex(host.environment)) {
    const { sessions, creating, trash } = storageAt(storage);
    for (const folder of [sessions, creating, trash]) {
      if ((await realpathIfThere(folder)) === container) {
        return storage;
      }
    }
    // Clones under a folder of the user's choice: below it is one named after the storage.
    const names = [basename(container), basename(dirname(container))];
    if (pointer?.storage === storage && names.includes(basename(storage))) {
      return storage;
    }
  }
  return undefined;
}

async function realpathIfThere(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw ioError('look at', path, error);
  }
}

function notBelieved(clone: string, storage: string | null): BulkheadError {
  return new BulkheadError(
    'refused',
    'pointer-not-believed',
    `${clone} looks like a clone of a Bulkhead session, but your list of storages does not confirm that. Nothing was done there; name the storage with --storage if you trust it.`,
    { data: { clone, storage } },
  );
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
