import * as vscode from 'vscode';
import { BulkheadError } from '../base/errors';
import type { StoreReport } from '../session/api';
import { examineStorage, repairStorage } from '../session/examine';
import { isHealthy } from '../session/findings';
import { tell, warn } from './messages';
import { withProgress } from './prompts';
import type { Repositories } from './repositories';
import type { Repository } from './repository';
import type { ReportDocuments } from './reportDocuments';
import { storeReportText, storeSummary } from './storeReport';
import { opened, type Targets } from './targets';
import { localizer } from './textContext';
import type { TreeNode } from './treeNodes';

export interface CheckStoreServices {
  readonly repositories: Repositories;
  readonly targets: Targets;
  readonly documents: ReportDocuments;
}

/** Looks at the snapshot store, tells the counts, and offers the report and, where something can be mended, the repair. */
export async function checkStore(services: CheckStoreServices, node: TreeNode | undefined): Promise<void> {
  const repository = await services.targets.repositoryOf(node);
  if (repository === undefined) {
    return;
  }
  const report = await withProgress(vscode.l10n.t('Checking the snapshot store'), (_progress, signal) =>
    examine(services, repository, signal),
  );
  await tellOf(services, repository, report);
}

async function tellOf(services: CheckStoreServices, repository: Repository, report: StoreReport): Promise<void> {
  const text = storeSummary(localizer, repository.name, report);
  const show = vscode.l10n.t('Show Report');
  const mend = vscode.l10n.t('Repair');
  const mayMend = report.findings.some(({ repairable }) => repairable);
  const choice = isHealthy(report.findings)
    ? await tell(text, show)
    : await warn(text, show, ...(mayMend ? [mend] : []));
  if (choice === show) {
    await services.documents.show(
      vscode.l10n.t('Snapshot store of {0}', repository.name),
      repository.root,
      storeReportText(localizer, report),
    );
  } else if (choice === mend) {
    const mended = await withProgress(vscode.l10n.t('Repairing the snapshot store'), (_progress, signal) =>
      repair(services, repository, signal),
    );
    await tellOf(services, repository, mended);
  }
}

/** A storage that could not be opened can still be looked at. */
async function examine(
  { repositories }: CheckStoreServices,
  repository: Repository,
  signal: AbortSignal,
): Promise<StoreReport> {
  if (repository.bulkhead !== null) {
    return repository.bulkhead.checkStore({ signal });
  }
  return found(
    repository,
    await examineStorage(repositories.host, { repository: repository.root, storage: null }, signal),
  );
}

async function repair(
  { repositories }: CheckStoreServices,
  repository: Repository,
  signal: AbortSignal,
): Promise<StoreReport> {
  if (repository.bulkhead !== null) {
    return repository.bulkhead.checkStore({ repair: true, signal });
  }
  const report = await repairStorage(repositories.host, { repository: repository.root, storage: null }, signal);
  await repositories.open();
  return found(repository, report);
}

function found(repository: Repository, report: StoreReport | null): StoreReport {
  if (report === null) {
    // Says that there is none yet, or why it could not be opened.
    opened(repository);
    throw new BulkheadError('notFound', 'no-storage', vscode.l10n.t('There is no snapshot store yet.'));
  }
  return report;
}
