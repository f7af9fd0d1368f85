import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, ioError } from '../base/errors';
import { cloneRepository } from '../git/porcelain';
import { exists, makeFolder, readTextIfThere, writeFileAtomic } from './files';
import type { Host } from './host';
import { LeftRefLocks } from './leftRefLocks';
import { ownedName } from './ownedNames';
import { SnapshotStore } from './snapshotStore';
import type { Storage } from './storage';
import { type ConversionRules, storeConfiguration } from './storeConfiguration';
import type { UserRepository } from './userRepository';

/** Opens the store of a storage; makes it from the user's repository when it is not there yet. */
export async function openSnapshotStore(
  host: Host,
  storage: Storage,
  repository: UserRepository,
): Promise<SnapshotStore> {
  if (!(await exists(storage.store))) {
    await makeStore(host, storage, repository);
  }
  const rules = await writeConfiguration(host, storage.store, repository);
  return new SnapshotStore(host, storage.store, repository.format, rules, new LeftRefLocks(host, storage.locks));
}

/** Neither a clone nor its source ever writes an object in place, so hard links between them are safe. */
async function makeStore(host: Host, storage: Storage, repository: UserRepository): Promise<void> {
  const temporary = join(storage.root, 'creating', await ownedName('store'));
  await makeFolder(join(storage.root, 'creating'));
  try {
    await cloneRepository(
      host.git,
      {
        source: repository.commonDir,
        target: temporary,
        bare: true,
        copyObjects: false,
        extra: ['--no-tags', '--dissociate'],
      },
      { cwd: storage.root },
    );
    await dropRefs(host, temporary);
    await rename(temporary, storage.store);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    const lostRace = errnoOf(error) === 'ENOTEMPTY' || errnoOf(error) === 'EEXIST' || errnoOf(error) === 'EPERM';
    if (lostRace && (await exists(join(storage.store, 'HEAD')))) {
      return;
    }
    throw errnoOf(error) === undefined ? error : ioError('make the snapshot store in', storage.root, error);
  }
}

/** The user's branches are hers; the store keeps alive only what sessions started from. */
async function dropRefs(host: Host, gitDir: string): Promise<void> {
  const refs = await host.git.text([`--git-dir=${gitDir}`, 'for-each-ref', '--format=delete %(refname)']);
  if (refs !== '') {
    await host.git.run([`--git-dir=${gitDir}`, 'update-ref', '--no-deref', '--stdin'], { input: `${refs}\n` });
  }
}

/** Opens a store as it is, and writes nothing; for a look at one that may be damaged. `stale`: files that an ordinary opening would rewrite. */
export async function inspectSnapshotStore(
  host: Host,
  storage: Storage,
  repository: UserRepository,
): Promise<{ readonly store: SnapshotStore; readonly stale: readonly string[] }> {
  const gitDir = storage.store;
  const { files, rules } = await storeConfiguration(host, repository);
  const stale: string[] = [];
  for (const [path, text] of files) {
    if ((await readTextIfThere(join(gitDir, path))) !== text) {
      stale.push(path);
    }
  }
  const leftLocks = new LeftRefLocks(host, storage.locks);
  return { store: new SnapshotStore(host, gitDir, repository.format, rules, leftLocks), stale };
}

/** Rewrites the store's configuration from the user's effective one. */
async function writeConfiguration(host: Host, gitDir: string, repository: UserRepository): Promise<ConversionRules> {
  const { files, rules } = await storeConfiguration(host, repository);
  await makeFolder(join(gitDir, 'info'));
  for (const [path, text] of files) {
    await writeIfChanged(join(gitDir, path), text);
  }
  return rules;
}

async function writeIfChanged(file: string, text: string): Promise<void> {
  if ((await readTextIfThere(file)) !== text) {
    await writeFileAtomic(file, text);
  }
}
