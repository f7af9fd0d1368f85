import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { BulkheadError } from '../base/errors';
import { SAVE_LOCK_CAP_MS } from '../core/holder';
import { makeFolder, readTextIfThere, writeFileAtomic } from './files';
import { newHolder } from './holders';
import type { Host } from './host';
import { LockFolder } from './locks';

const WAIT_MS = 5000;

/** The user's list of which storage belongs to which repository; the first one of a repository is used by every window and product. */
export interface IndexEntry {
  /** Real path of the work tree's root. */
  readonly repository: string;
  readonly storage: string;
}

type Environment = Readonly<NodeJS.ProcessEnv>;

function home(environment: Environment): string {
  return environment['HOME'] ?? homedir();
}

function fromEnvironment(environment: Environment, name: string, fallback: string): string {
  const value = environment[name];
  return value === undefined || value === '' ? fallback : value;
}

/** Where the index lives: `$XDG_STATE_HOME/bulkhead/repositories.json`, or the platform's like of it. */
export function indexFile(environment: Environment, platform: NodeJS.Platform = process.platform): string {
  const folder =
    platform === 'win32'
      ? fromEnvironment(environment, 'LOCALAPPDATA', join(home(environment), 'AppData', 'Local'))
      : platform === 'darwin' && environment['XDG_STATE_HOME'] === undefined
        ? join(home(environment), 'Library', 'Application Support')
        : fromEnvironment(environment, 'XDG_STATE_HOME', join(home(environment), '.local', 'state'));
  return join(folder, 'bulkhead', 'repositories.json');
}

/** Where a storage is made when nobody names a place: `$XDG_DATA_HOME/bulkhead`, or the platform's like of it. */
export function defaultStorageRoot(environment: Environment, platform: NodeJS.Platform = process.platform): string {
  const folder =
    platform === 'win32'
      ? fromEnvironment(environment, 'LOCALAPPDATA', join(home(environment), 'AppData', 'Local'))
      : platform === 'darwin' && environment['XDG_DATA_HOME'] === undefined
        ? join(home(environment), 'Library', 'Application Support')
        : fromEnvironment(environment, 'XDG_DATA_HOME', join(home(environment), '.local', 'share'));
  return join(folder, 'bulkhead', 'storage');
}

/** @throws BulkheadError `index-damaged`, `index-newer` */
export function parseIndex(text: string, file: string): IndexEntry[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw damaged(file, cause);
  }
  if (typeof json !== 'object' || json === null || !('format' in json) || !('repositories' in json)) {
    throw damaged(file);
  }
  if (json.format !== 1) {
    throw new BulkheadError(
      'damaged',
      'index-newer',
      `${file} was written by a newer version of Bulkhead. Update Bulkhead.`,
      { data: { file } },
    );
  }
  if (!Array.isArray(json.repositories)) {
    throw damaged(file);
  }
  return json.repositories.map((entry: unknown) => {
    if (
      typeof entry !== 'object' ||
      entry === null ||
      !('repository' in entry) ||
      !('storage' in entry) ||
      typeof entry.repository !== 'string' ||
      typeof entry.storage !== 'string'
    ) {
      throw damaged(file);
    }
    return { repository: entry.repository, storage: entry.storage };
  });
}

function damaged(file: string, cause?: unknown): BulkheadError {
  return new BulkheadError(
    'damaged',
    'index-damaged',
    `The list of storages at ${file} cannot be read. No snapshot is lost: name the storage with --storage, or move the file away to start a new list.`,
    { data: { file }, cause },
  );
}

/** @throws BulkheadError `index-damaged`, `index-newer` */
export async function readIndex(environment: Environment): Promise<readonly IndexEntry[]> {
  const file = indexFile(environment);
  const text = await readTextIfThere(file);
  return text === undefined ? [] : parseIndex(text, file);
}

export async function storageOf(environment: Environment, repository: string): Promise<string | null> {
  return (await readIndex(environment)).find((entry) => entry.repository === repository)?.storage ?? null;
}

/** Adds a storage at the end of the list; the first one of a repository stays the one that is used. */
export async function addToIndex(host: Host, entry: IndexEntry): Promise<void> {
  const known = (entries: readonly IndexEntry[]): boolean =>
    entries.some(({ repository, storage }) => repository === entry.repository && storage === entry.storage);
  if (known(await readIndex(host.environment))) {
    return;
  }
  const file = indexFile(host.environment);
  await makeFolder(dirname(file));
  // Two processes that add at once must not lose one of the entries; one that was killed here must keep nobody waiting.
  const locked = await new LockFolder(dirname(file), host).acquire(basename(file), {
    holder: await newHolder(host, 'list of storages', host.product),
    waitMs: WAIT_MS,
    capMs: SAVE_LOCK_CAP_MS,
  });
  if (locked.kind === 'busy') {
    throw new BulkheadError(
      'busy',
      'index-locked',
      `Another process is changing the list of storages at ${file}. Try again in a moment.`,
      { data: { file, holder: locked.holder ?? null } },
    );
  }
  try {
    const entries = await readIndex(host.environment);
    if (!known(entries)) {
      await writeFileAtomic(file, `${JSON.stringify({ format: 1, repositories: [...entries, entry] }, null, 2)}\n`);
    }
  } finally {
    if (locked.kind === 'held') {
      locked.lock.release();
    }
  }
}
