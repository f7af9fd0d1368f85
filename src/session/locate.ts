import { realpath } from 'node:fs/promises';
import { isAbsent } from '../base/errors';
import type { Host } from './host';
import { findClone } from './pointer';
import { storageOf } from './repositoryIndex';
import { openUserRepository, type UserRepository } from './userRepository';

/** What a folder belongs to. */
export type Located =
  | {
      readonly kind: 'repository';
      /** Real path of the work tree's root. */
      readonly repository: string;
      readonly opened: UserRepository;
      /** Null when none was made yet. */
      readonly storage: string | null;
    }
  | {
      readonly kind: 'clone';
      readonly repository: string;
      readonly storage: string;
      readonly session: string;
      readonly clone: string;
    };

/**
 * Says whether a folder lies in a session's clone or in a repository of the user's.
 * @throws BulkheadError as `openUserRepository` and `findClone` do
 */
export async function locate(host: Host, folder: string): Promise<Located> {
  const isThere = await realpath(folder).then(
    () => true,
    (error: unknown) => {
      if (isAbsent(error)) {
        return false;
      }
      throw error;
    },
  );
  const clone = isThere ? await findClone(host, folder) : undefined;
  if (clone !== undefined) {
    return { kind: 'clone', ...clone };
  }
  const opened = await openUserRepository(host, folder);
  return {
    kind: 'repository',
    repository: opened.root,
    opened,
    storage: await storageOf(host.environment, opened.root),
  };
}
