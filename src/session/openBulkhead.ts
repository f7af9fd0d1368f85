import { join } from 'node:path';
import { BulkheadError } from '../base/errors';
import { workspaceKey } from '../core/workspaceKey';
import { Bulkhead } from './bulkhead';
import { composeEngine } from './engine';
import { exists } from './files';
import type { Host } from './host';
import { openSnapshotStore } from './openSnapshotStore';
import { addToIndex, defaultStorageRoot, storageOf } from './repositoryIndex';
import { openStorage } from './storage';
import { openUserRepository, trustingHost, type UserRepository } from './userRepository';

/**
 * Opens the storage of a repository.
 * @param where.repository a folder of it, or what was just opened there
 * @param where.storage null: the one in the user's index, else a new one below `defaultStorage`
 * @throws BulkheadError `no-storage` (kind `notFound`) when there is none and `create` is false, and what `openUserRepository`
 * and `openStorage` throw
 */
export async function openBulkhead(
  asking: Host,
  where: {
    readonly repository: string | UserRepository;
    readonly storage: string | null;
    readonly defaultStorage?: string;
    readonly create: boolean;
  },
): Promise<Bulkhead> {
  const repository =
    typeof where.repository === 'string' ? await openUserRepository(asking, where.repository) : where.repository;
  const host = await trustingHost(asking, repository);
  const root =
    where.storage ??
    (await storageOf(host.environment, repository.root)) ??
    join(where.defaultStorage ?? defaultStorageRoot(host.environment), workspaceKey(repository.root));
  const storage = await openStorage({
    root,
    repository: repository.root,
    create: where.create,
    sessionsRoot: host.settings.sessionsRoot,
  });
  if (storage === null || (!where.create && !(await exists(storage.store)))) {
    throw new BulkheadError(
      'notFound',
      'no-storage',
      `No session was started in ${repository.root} yet. Start one with \`bulkhead session new\`.`,
      {
        data: { repository: repository.root },
      },
    );
  }
  const store = await openSnapshotStore(host, storage, repository);
  await addToIndex(host, { repository: repository.root, storage: storage.root });
  return new Bulkhead(composeEngine({ host, storage, repository, store }));
}
