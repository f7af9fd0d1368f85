import { join } from 'node:path';
import { BulkheadError, messageOf } from '../base/errors';
import type { StoreReport } from './api';
import { Doctor } from './doctor';
import { checkPlace, repairPlace } from './doctorPlace';
import { exists } from './files';
import { Findings, REPAIR } from './findings';
import type { Host } from './host';
import { inspectSnapshotStore } from './openSnapshotStore';
import { indexFile, storageOf } from './repositoryIndex';
import { openBulkhead } from './openBulkhead';
import { storageAt } from './storage';
import { openUserRepository } from './userRepository';

export interface Where {
  readonly repository: string;
  /** Null: the one in the user's list. */
  readonly storage: string | null;
}

/**
 * Looks at a storage that may be too damaged to be opened, and writes nothing.
 * @returns null when there is none
 * @throws BulkheadError for what is no matter of the storage: the repository cannot be opened
 */
export async function examineStorage(host: Host, where: Where, signal?: AbortSignal): Promise<StoreReport | null> {
  const repository = await openUserRepository(host, where.repository);
  const findings = new Findings();
  const root = where.storage ?? (await listed(host, repository.root, findings));
  const report = (): StoreReport => ({
    storage: root ?? '',
    repository: repository.root,
    git: host.git.version.text,
    findings: findings.all,
    repairs: [],
    reportFile: null,
  });
  if (root === null) {
    return findings.all.length === 0 ? null : report();
  }
  if (!(await exists(root))) {
    return null;
  }
  const storage = storageAt(
    root,
    host.settings.sessionsRoot === null
      ? null
      : join(host.settings.sessionsRoot, root.split(/[\\/]/).at(-1) ?? 'bulkhead'),
  );
  const problem = await storeProblem(host, storage.store);
  if (problem !== null) {
    await checkPlace(host, { root, repository: repository.root }, findings);
    findings.add('error', problem.code, { subject: storage.store }, problem);
    return report();
  }
  const { store, stale } = await inspectSnapshotStore(host, storage, repository);
  try {
    return await new Doctor({ host, storage, repository, store, stale }).check(signal);
  } finally {
    await store.stop();
  }
}

/** Mends what can be mended without guessing, beginning with what keeps the storage from being opened. Null when there is none. */
export async function repairStorage(host: Host, where: Where, signal?: AbortSignal): Promise<StoreReport | null> {
  const repository = await openUserRepository(host, where.repository);
  const root = where.storage ?? (await storageOf(host.environment, repository.root));
  if (root === null || !(await exists(root))) {
    return null;
  }
  const first = await repairPlace(host, { root, repository: repository.root });
  const bulkhead = await openBulkhead(host, { repository, storage: root, create: false });
  try {
    const report = await bulkhead.checkStore({ repair: true, signal });
    return { ...report, repairs: [...first, ...report.repairs] };
  } finally {
    await bulkhead.shutdown();
  }
}

async function listed(host: Host, repository: string, findings: Findings): Promise<string | null> {
  try {
    return await storageOf(host.environment, repository);
  } catch (error) {
    if (!(error instanceof BulkheadError) || error.kind !== 'damaged') {
      throw error;
    }
    findings.add(
      'error',
      error.code,
      { subject: indexFile(host.environment) },
      {
        message: error.message,
        safe: 'Every storage and its snapshots are where they were.',
        advice: 'Name the storage with --storage to have it checked.',
      },
    );
    return null;
  }
}

async function storeProblem(
  host: Host,
  store: string,
): Promise<{
  readonly code: string;
  readonly message: string;
  readonly safe: string;
  readonly advice: string;
  readonly repairable: boolean;
} | null> {
  if (!(await exists(store))) {
    return {
      code: 'store-missing',
      message: `The snapshot store ${store} is gone, and all snapshots with it.`,
      safe: 'The clones of the sessions and your checkout are not touched.',
      advice: 'Bring it back from a backup. A new session makes a new, empty store.',
      repairable: false,
    };
  }
  try {
    await host.git.run([`--git-dir=${store}`, 'rev-parse', '--is-bare-repository']);
    return null;
  } catch (error) {
    return {
      code: 'store-unreadable',
      message: `Git cannot open the snapshot store: ${messageOf(error)}`,
      safe: 'The objects in it are not touched.',
      advice: `If only its configuration is damaged, opening it for work writes that anew. ${REPAIR}`,
      repairable: true,
    };
  }
}
