import { chmod, lstat, readdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { BulkheadError, isAbsent, ioError } from '../base/errors';
import { isSessionId } from '../core/sessionId';
import type { SessionRecord } from '../core/sessionRecord';
import { exists, isRealFolder, makeFolder, readTextIfThere, writeFileAtomic } from './files';

/** The folders of one storage. Every place is derived from the root and a session's id; no file ever says where to write. */
export interface Storage {
  readonly root: string;
  readonly store: string;
  readonly donor: string;
  readonly sessions: string;
  readonly creating: string;
  readonly trash: string;
  readonly locks: string;
  readonly journal: string;
  /** Where session folders are when they are not under the storage. */
  readonly sessionsRoot: string | null;
}

const STORAGE_FILE = 'storage.json';

export function storageAt(root: string, sessionsRoot: string | null = null): Storage {
  return {
    root,
    store: join(root, 'snapshots.git'),
    donor: join(root, 'donor.git'),
    sessions: sessionsRoot ?? join(root, 'sessions'),
    // On the same file system as the sessions, so that one rename creates and trashes.
    creating: sessionsRoot === null ? join(root, 'creating') : join(sessionsRoot, '.creating'),
    trash: sessionsRoot === null ? join(root, 'trash') : join(sessionsRoot, '.trash'),
    locks: join(root, 'locks'),
    journal: join(root, 'journal'),
    sessionsRoot,
  };
}

export function sessionFolder(storage: Storage, id: string): string {
  if (!isSessionId(id)) {
    throw new BulkheadError('bug', 'session-id', `"${id}" is not the id of a session.`);
  }
  return join(storage.sessions, id);
}

/** Where the clone of a session is, if it is there. */
export function clonePath(storage: Storage, record: Pick<SessionRecord, 'id' | 'repository' | 'slug'>): string {
  return join(sessionFolder(storage, record.id), `${record.repository}-${record.slug}`);
}

/** Where what we know of a work tree's files is kept between reconciles: the stat cache. */
export function statCacheFolder(storage: Storage, session: string): string {
  return session === 'workspace' ? join(storage.root, 'workspace') : sessionFolder(storage, session);
}

async function refuseWorldWritable(path: string): Promise<void> {
  if (process.platform === 'win32') {
    return;
  }
  const stats = await lstat(path);
  if ((stats.mode & 0o002) !== 0) {
    throw new BulkheadError(
      'user',
      'storage-world-writable',
      `Everybody on this machine may write to ${path}. Choose a folder that only you can write to.`,
      {
        data: { path },
      },
    );
  }
}

/** Git refuses to copy from what another user owns, and that user could change every snapshot. */
async function refuseForeignOwner(path: string): Promise<void> {
  const own = process.geteuid?.();
  if (own === undefined || !(await exists(path))) {
    return;
  }
  const { uid } = await lstat(path);
  if (uid !== own) {
    throw new BulkheadError(
      'user',
      'storage-of-another-user',
      `${path} belongs to another user (uid ${String(uid)}), so it is not used; its snapshots are untouched. Make it yours (chown -R ${String(own)} on the storage), or choose another storage.`,
      { data: { path, uid } },
    );
  }
}

/** Reads which repository a storage belongs to; null when it is no storage yet. */
export async function readStorageOwner(root: string): Promise<string | null> {
  const file = join(root, STORAGE_FILE);
  const text = await readTextIfThere(file);
  if (text === undefined) {
    return null;
  }
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null && 'format' in json) {
      // Before anything else: what else a later version writes there is not known.
      if (typeof json.format === 'number' && json.format > 1) {
        throw new BulkheadError(
          'damaged',
          'storage-newer',
          `The storage at ${root} was made by a newer version of Bulkhead. Update Bulkhead.`,
          { data: { root } },
        );
      }
      if (json.format === 1 && 'repository' in json && typeof json.repository === 'string') {
        return json.repository;
      }
    }
  } catch (error) {
    if (error instanceof BulkheadError) {
      throw error;
    }
    // Not JSON: damaged, as below.
  }
  throw new BulkheadError(
    'damaged',
    'storage-damaged',
    `${file} cannot be read. The snapshots in ${join(root, 'snapshots.git')} are not touched.`,
    {
      data: { root },
    },
  );
}

/**
 * Opens a storage for a repository, making its folders when asked to.
 * @returns null when there is none and `create` is false
 * @throws BulkheadError `storage-relative`, `storage-world-writable`, `storage-of-another-repository`, `storage-of-another-user`, or of kind `io`
 */
export async function openStorage(options: {
  readonly root: string;
  readonly repository: string;
  readonly create: boolean;
  readonly sessionsRoot: string | null;
}): Promise<Storage | null> {
  const { root, repository } = options;
  if (!isAbsolute(root)) {
    throw new BulkheadError('user', 'storage-relative', `The storage must be an absolute path, not "${root}".`);
  }
  const owner = await readStorageOwner(root);
  if (owner === null && !options.create) {
    return null;
  }
  if (owner !== null && owner !== repository) {
    throw new BulkheadError(
      'user',
      'storage-of-another-repository',
      `The storage at ${root} belongs to ${owner}, not to ${repository}.`,
      {
        data: { root, owner, repository },
      },
    );
  }
  if (owner === null && (await exists(root)) && (await isRealFolder(root)) && (await holdsForeignFiles(root))) {
    throw new BulkheadError(
      'user',
      'storage-not-empty',
      `${root} holds other files. Choose an empty folder for the storage.`,
      { data: { root } },
    );
  }
  await makeFolder(root);
  await refuseWorldWritable(root);
  for (const folder of [root, join(root, 'snapshots.git'), join(root, 'donor.git')]) {
    await refuseForeignOwner(folder);
  }
  const storage = storageAt(
    root,
    options.sessionsRoot === null ? null : join(options.sessionsRoot, root.split(/[\\/]/).at(-1) ?? 'bulkhead'),
  );
  if (options.sessionsRoot !== null) {
    await makeFolder(options.sessionsRoot);
    await refuseWorldWritable(options.sessionsRoot);
  }
  for (const folder of [
    storage.sessions,
    storage.creating,
    storage.trash,
    storage.locks,
    storage.journal,
    join(root, 'workspace'),
  ]) {
    await makeFolder(folder);
    if (!(await isRealFolder(folder))) {
      throw new BulkheadError(
        'damaged',
        'storage-damaged',
        `${folder} is not a folder of its own. Remove the link, then try again.`,
        { data: { folder } },
      );
    }
  }
  if (owner === null) {
    try {
      await chmod(root, 0o700);
    } catch (error) {
      throw ioError('protect', root, error);
    }
    await writeFileAtomic(join(root, STORAGE_FILE), `${JSON.stringify({ format: 1, repository }, null, 2)}\n`);
  }
  return storage;
}

/** A folder that was made a moment ago by a rival, or by a start that was cut off, holds only what we make ourselves. */
async function holdsForeignFiles(root: string): Promise<boolean> {
  const ours = new Set([
    'sessions',
    'creating',
    'trash',
    'locks',
    'journal',
    'workspace',
    'snapshots.git',
    'donor.git',
    'damaged',
    'maintenance.json',
    'cli.log',
    'cli.log.1',
    STORAGE_FILE,
  ]);
  try {
    return (await readdir(root)).some((name) => !ours.has(name) && !name.startsWith('.tmp-'));
  } catch (error) {
    if (isAbsent(error)) {
      return false;
    }
    throw ioError('open', root, error);
  }
}
