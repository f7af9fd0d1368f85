import { access, chmod, constants, lstat, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { BulkheadError, ioError } from '../base/errors';
import type { Repair } from './api';
import { exists, makeFolder, writeFileAtomic } from './files';
import { type Findings, NOTHING_LOST, REPAIR } from './findings';
import type { Host } from './host';
import { freeBytes } from './maintenance';
import { addToIndex, indexFile, readIndex } from './repositoryIndex';
import { readStorageOwner } from './storage';

const LOW_BYTES = 500_000_000;
const TOO_LOW_BYTES = 50_000_000;

export interface Place {
  readonly root: string;
  readonly repository: string;
}

/** The storage's own file, its permissions, the disk, and the user's list of storages. */
export async function checkPlace(host: Host, place: Place, findings: Findings): Promise<void> {
  await checkOwner(host, place, findings);
  await checkPermissions(place.root, findings);
  await checkDisk(place.root, findings);
  await checkIndex(host, place, findings);
  if (!host.git.can('cruft')) {
    findings.add(
      'info',
      'git-without-cruft',
      { subject: host.git.version.text },
      {
        message: `Git ${host.git.version.text} cannot pack the whole store anew and keep what is fresh, so maintenance leaves that out.`,
        safe: NOTHING_LOST,
        advice: 'Git 2.37 or newer can.',
      },
    );
  }
}

async function checkOwner(host: Host, { root, repository }: Place, findings: Findings): Promise<void> {
  const file = join(root, 'storage.json');
  try {
    const owner = await readStorageOwner(root);
    if (owner === repository) {
      return;
    }
    findings.add(
      'error',
      owner === null ? 'storage-missing' : 'storage-of-another-repository',
      { subject: file },
      {
        message:
          owner === null
            ? `${file} is gone, so nobody knows which repository the storage belongs to.`
            : `The storage belongs to ${owner}, not to ${repository}.`,
        safe: 'The snapshots in it are not touched.',
        advice: owner === null ? await adviceForOwner(host, { root, repository }) : 'Name the right one with --repo.',
        repairable: owner === null && (await isListed(host, { root, repository })),
      },
    );
  } catch (error) {
    if (!(error instanceof BulkheadError) || error.kind !== 'damaged') {
      throw error;
    }
    const isNewer = error.code === 'storage-newer';
    findings.add(
      'error',
      error.code,
      { subject: file },
      {
        message: error.message,
        safe: 'The snapshots in it are not touched.',
        advice: isNewer ? 'Update Bulkhead.' : await adviceForOwner(host, { root, repository }),
        repairable: !isNewer && (await isListed(host, { root, repository })),
      },
    );
  }
}

async function adviceForOwner(host: Host, place: Place): Promise<string> {
  return (await isListed(host, place))
    ? `Your list of storages says that it belongs to ${place.repository}: --repair writes the file anew and keeps the old one in damaged/.`
    : 'Your list of storages does not say whose it is, so nothing is guessed. Write the file by hand: {"format": 1, "repository": "<real path>"}.';
}

async function isListed(host: Host, { root, repository }: Place): Promise<boolean> {
  return readIndex(host.environment).then(
    (entries) => entries.some((entry) => entry.storage === root && entry.repository === repository),
    // A list that cannot be read proves nothing; it is a finding of its own.
    () => false,
  );
}

async function checkPermissions(root: string, findings: Findings): Promise<void> {
  const { mode } = await lstat(root);
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    findings.add(
      (mode & 0o022) !== 0 ? 'error' : 'warning',
      'storage-permissions',
      { subject: root },
      {
        message: `Other users of this machine may ${(mode & 0o022) !== 0 ? 'write to' : 'read'} ${root}.`,
        safe: NOTHING_LOST,
        advice: `Only you should: chmod 700. ${REPAIR}`,
        repairable: true,
      },
    );
  }
  for (const folder of [root, join(root, 'snapshots.git'), join(root, 'snapshots.git', 'objects')]) {
    try {
      await access(folder, constants.W_OK);
    } catch {
      // Absent or not ours to write: either way nothing can be recorded there.
      findings.add(
        'error',
        'storage-not-writable',
        { subject: folder },
        {
          message: `${folder} cannot be written to, so nothing can be recorded.`,
          safe: 'What is recorded can be read as long as it is there.',
          advice: 'Give yourself the permission to write, or bring the disk back that it is on.',
        },
      );
      return;
    }
  }
}

async function checkDisk(root: string, findings: Findings): Promise<void> {
  const free = await freeBytes(root);
  if (free < LOW_BYTES) {
    findings.add(
      free < TOO_LOW_BYTES ? 'error' : 'warning',
      'disk-low',
      { subject: root },
      {
        message: `Only ${String(Math.floor(free / 1_000_000))} MB are free on the disk of the storage.`,
        safe: 'What is recorded stays. A snapshot that does not fit is not made, and its checkpoint says so.',
        advice: 'Free some space. "bulkhead gc" packs what is recorded when there is room for it.',
      },
    );
  }
}

async function checkIndex(host: Host, { root, repository }: Place, findings: Findings): Promise<void> {
  const file = indexFile(host.environment);
  try {
    const own = (await readIndex(host.environment)).filter((entry) => entry.repository === repository);
    if (own[0]?.storage === root) {
      return;
    }
    const isKnown = own.some((entry) => entry.storage === root);
    findings.add(
      'warning',
      own.length === 0 || isKnown ? 'index-entry' : 'index-other-storage',
      { subject: file },
      {
        message:
          own.length === 0
            ? `Your list of storages does not name this one, so windows and the command line do not find it for ${repository}.`
            : `Windows and the command line use ${own[0]?.storage ?? ''} for ${repository}, not this storage.`,
        safe: NOTHING_LOST,
        advice:
          own.length === 0 ? `It can be added. ${REPAIR}` : 'Name this one with --storage, or remove the other entry.',
        repairable: own.length === 0,
      },
    );
  } catch (error) {
    if (!(error instanceof BulkheadError) || error.kind !== 'damaged') {
      throw error;
    }
    findings.add(
      'error',
      error.code,
      { subject: file },
      { message: error.message, safe: NOTHING_LOST, advice: 'Name the storage with --storage until then.' },
    );
  }
}

/** Mends what `checkPlace` calls repairable. */
export async function repairPlace(host: Host, place: Place): Promise<readonly Repair[]> {
  const { root, repository } = place;
  const repairs: Repair[] = [];
  const file = join(root, 'storage.json');
  const owner = await readStorageOwner(root).catch((error: unknown) => {
    if (error instanceof BulkheadError && error.code === 'storage-damaged') {
      return null;
    }
    throw error;
  });
  if (owner === null && (await isListed(host, place))) {
    if (await exists(file)) {
      await moveToDamaged(root, file, 'storage.json');
    }
    await writeFileAtomic(file, `${JSON.stringify({ format: 1, repository }, null, 2)}\n`);
    repairs.push({ code: 'storage-damaged', subject: file, what: `It says again that it belongs to ${repository}.` });
  }
  if (process.platform !== 'win32' && ((await lstat(root)).mode & 0o077) !== 0) {
    await chmod(root, 0o700);
    repairs.push({ code: 'storage-permissions', subject: root, what: 'Only you may read and write it now.' });
  }
  const listed = await readIndex(host.environment).catch(() => undefined);
  if (listed !== undefined && !listed.some((entry) => entry.repository === repository)) {
    await addToIndex(host, { repository, storage: root });
    repairs.push({
      code: 'index-entry',
      subject: indexFile(host.environment),
      what: 'Your list of storages names it again.',
    });
  }
  return repairs;
}

/** Puts a file that cannot be read aside; nothing is ever deleted for being damaged. @returns where it is now */
export async function moveToDamaged(root: string, file: string, name: string): Promise<string> {
  const folder = join(root, 'damaged');
  await makeFolder(folder);
  for (let number = 0; ; number++) {
    const target = join(folder, number === 0 ? name : `${name}.${String(number)}`);
    if (!(await exists(target))) {
      try {
        await rename(file, target);
        return target;
      } catch (error) {
        throw ioError('move aside', file, error);
      }
    }
  }
}
