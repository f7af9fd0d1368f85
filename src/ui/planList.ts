import type { RepoPath } from '../core/repoPath';
import type { RiskCategory } from '../core/riskCategory';
import type { KeepReason, RestorePlan } from '../session/api';
import { agentText } from './labels';
import type { Localizer } from './localizer';

/** The agent that saves of a person are booked on. */
const PERSON = 'user';

export interface PlanRow {
  readonly path: RepoPath;
  readonly action: 'write' | 'delete' | 'keep';
  /** Why this row stands out; empty when it does not. */
  readonly note: string;
}

export interface PlanSection {
  readonly title: string;
  readonly rows: readonly PlanRow[];
}

export interface PlanSummary {
  readonly writes: number;
  readonly deletes: number;
  readonly keeps: number;
  /** Paths that *Restore Only Safe* leaves out. */
  readonly unsafe: number;
  readonly empty: boolean;
}

export function planSummary(plan: RestorePlan): PlanSummary {
  const unsafe = new Set([...plan.contested.map((entry) => entry.path), ...plan.risky.map((entry) => entry.path)]);
  return {
    writes: plan.write.length,
    deletes: plan.delete.length,
    keeps: plan.keep.length,
    unsafe: unsafe.size,
    empty: plan.write.length === 0 && plan.delete.length === 0,
  };
}

/** The plan as a list: what needs a decision first, then what happens, then what is left alone. Each path stands once. */
export function planSections(l10n: Localizer, plan: RestorePlan): readonly PlanSection[] {
  const deleted = new Set(plan.delete);
  const actionOf = (path: RepoPath): 'write' | 'delete' => (deleted.has(path) ? 'delete' : 'write');
  const shown = new Set<RepoPath>();
  const once = (rows: readonly PlanRow[]): readonly PlanRow[] =>
    rows.filter((row) => {
      const first = !shown.has(row.path);
      shown.add(row.path);
      return first;
    });
  const sections: PlanSection[] = [
    {
      title: contestedTitle(l10n, plan),
      rows: once(
        plan.contested.map(({ path, agent }) => ({
          path,
          action: actionOf(path),
          note: l10n.t(
            'touched by {0} since, {1}',
            agent === PERSON ? l10n.t('you') : agentText(l10n, agent),
            actionText(l10n, actionOf(path)),
          ),
        })),
      ),
    },
    {
      title: l10n.t('Sensitive'),
      rows: once(
        plan.risky.map(({ path, category }) => ({
          path,
          action: actionOf(path),
          note: `${riskText(l10n, category)}, ${actionText(l10n, actionOf(path))}`,
        })),
      ),
    },
    { title: l10n.t('Will be written'), rows: once(plan.write.map((path) => ({ path, action: 'write', note: '' }))) },
    { title: l10n.t('Will be deleted'), rows: once(plan.delete.map((path) => ({ path, action: 'delete', note: '' }))) },
    {
      title: l10n.t('Kept'),
      rows: once(plan.keep.map(({ path, reason }) => ({ path, action: 'keep', note: keepText(l10n, reason) }))),
    },
  ];
  return sections.filter((section) => section.rows.length > 0);
}

/** Contested is what another than the writer of the snapshot touched: that can be the person herself. */
function contestedTitle(l10n: Localizer, plan: RestorePlan): string {
  const byPerson = plan.contested.filter(({ agent }) => agent === PERSON).length;
  if (byPerson === 0) {
    return l10n.t('Touched by others');
  }
  return byPerson === plan.contested.length ? l10n.t('Touched by you') : l10n.t('Touched by you and others');
}

function actionText(l10n: Localizer, action: 'write' | 'delete'): string {
  return action === 'write' ? l10n.t('will be written') : l10n.t('will be deleted');
}

function riskText(l10n: Localizer, category: RiskCategory): string {
  switch (category) {
    case 'system':
      return l10n.t('may hold secrets or settings');
    case 'platform':
      return l10n.t('steers agents');
    case 'temp':
      return l10n.t('temporary');
    case 'user':
      return l10n.t('your file');
  }
}

function keepText(l10n: Localizer, reason: KeepReason): string {
  switch (reason) {
    case 'nested-repository':
      return l10n.t('a repository of its own');
    case 'not-captured':
      return l10n.t('not in any snapshot');
    case 'folder-in-the-way':
      return l10n.t('a folder stands in the way');
    case 'beyond-link':
      return l10n.t('behind a symbolic link');
    case 'left-out':
      return l10n.t('left out');
    case 'name-not-allowed':
      return l10n.t('its name is not allowed here');
    case 'outside-sparse-checkout':
      return l10n.t('outside the sparse checkout');
    case 'touched-meanwhile':
      return l10n.t('changed while the restore ran');
  }
}

/** "12 files written, 3 deleted" */
export function planSummaryText(l10n: Localizer, summary: PlanSummary): string {
  const parts = [
    ...(summary.writes > 0
      ? [summary.writes === 1 ? l10n.t('1 file written') : l10n.t('{0} files written', summary.writes)]
      : []),
    ...(summary.deletes > 0
      ? [summary.deletes === 1 ? l10n.t('1 file deleted') : l10n.t('{0} files deleted', summary.deletes)]
      : []),
    ...(summary.keeps > 0 ? [l10n.t('{0} kept', summary.keeps)] : []),
  ];
  return parts.join(', ');
}

/** True for paths that the row's diff can show: both sides are known to the store. */
export function canPreview(row: PlanRow): boolean {
  return row.action !== 'keep';
}
