import type { LockInfo, LockKind, LockState } from '../session/api';
import { agentText, type TextContext } from './labels';
import type { Localizer } from './localizer';
import { shownInLine, withoutIcons } from './safeText';
import { ageSentence, fullTimeText } from './timeText';

/** One row of the list of locks, in plain words. */
export interface LockRow {
  readonly label: string;
  readonly description: string;
  readonly detail: string;
  readonly icon: string;
}

const ICONS: Readonly<Record<LockKind, string>> = {
  lock: 'lock',
  lease: 'record',
  claim: 'shield',
  git: 'file',
};

const SEPARATOR = ' · ';

/** @param repository its name, where there are several */
export function lockRow(context: TextContext, lock: LockInfo, repository: string | null): LockRow {
  const { l10n, now, time } = context;
  const since = lock.since ?? (lock.ageMs === null ? null : now - lock.ageMs);
  const session = lock.session === 'workspace' ? l10n.t('This workspace') : (lock.name ?? lock.session ?? '');
  const parts = [session, repository ?? '', since === null ? '' : ageSentence(l10n, since, now), stateText(l10n, lock)];
  return {
    label: safe(labelOf(l10n, lock)),
    description: safe(parts.filter((part) => part !== '').join(SEPARATOR)),
    detail: safe(
      [holderText(l10n, lock), lock.since === null ? '' : l10n.t('since {0}', fullTimeText(time, lock.since))]
        .filter((part) => part !== '')
        .join(SEPARATOR),
    ),
    icon: ICONS[lock.kind],
  };
}

function safe(text: string): string {
  return withoutIcons(shownInLine(text));
}

function labelOf(l10n: Localizer, lock: LockInfo): string {
  switch (lock.kind) {
    case 'lock':
      return l10n.t('Lock: {0}', lock.purpose ?? l10n.t('not told'));
    case 'lease':
      return l10n.t('Lease: records what is written outside of editors');
    case 'claim':
      return l10n.t('Claim: {0}', lock.purpose ?? l10n.t('not told'));
    case 'git':
      return l10n.t('Lock file of git');
  }
}

function holderText(l10n: Localizer, lock: LockInfo): string {
  if (lock.pid === null || lock.host === null) {
    return lock.place;
  }
  return l10n.t('{0}, process {1} on {2}', agentText(l10n, lock.agent ?? 'unknown'), String(lock.pid), lock.host);
}

function stateText(l10n: Localizer, { kind, state }: LockInfo): string {
  const texts: Readonly<Record<LockState, string>> = {
    alive: l10n.t('alive'),
    dead: l10n.t('dead: the next one takes over'),
    unknown: kind === 'git' ? '' : l10n.t('not known whether it is alive'),
    newer: l10n.t('held by a newer version of Bulkhead: update this one'),
  };
  return texts[state];
}
