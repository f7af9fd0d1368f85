import type { Localizer } from './localizer';
import { shortened, withoutIcons } from './safeText';

const MOST_LINES = 10;
const NAME_LENGTH = 30;
const HOLDER_LENGTH = 40;

export interface StatusFacts {
  /** Names of the sessions whose clone this window shows. */
  readonly own: readonly string[];
  /** One line for each contended path. */
  readonly contended: readonly string[];
  readonly waiting: readonly { readonly name: string; readonly holder: string }[];
}

export interface Status {
  readonly text: string;
  readonly tooltip: string;
  readonly warning: boolean;
  /** What a click leads to: what can be done, the contended paths, or who holds what is waited for. */
  readonly leadsTo: 'actions' | 'contention' | 'locks';
}

/** What the status bar says; null while there is nothing to say. */
export function statusOf(l10n: Localizer, facts: StatusFacts): Status | null {
  const { own, contended, waiting } = facts;
  const texts: string[] = [];
  const paragraphs: string[] = [];
  if (own.length > 0) {
    texts.push(`$(repo-clone) ${withoutIcons(shortened(own.join(', '), NAME_LENGTH))}`);
    paragraphs.push(l10n.t('This window shows the session {0}.', own.join(', ')));
  }
  if (contended.length > 0) {
    texts.push(`$(warning) ${contended.length}`);
    paragraphs.push(
      [
        contended.length === 1
          ? l10n.t('1 file is changed in several sessions:')
          : l10n.t('{0} files are changed in several sessions:', contended.length),
        ...capped(l10n, contended),
      ].join('\n'),
    );
  }
  if (waiting.length > 0) {
    // Process and machine are in the tooltip.
    const holders = [...new Set(waiting.map(({ holder }) => holder.replace(/ \(process .*$/s, '')))].join(', ');
    texts.push(`$(lock) ${withoutIcons(l10n.t('waiting for {0}', shortened(holders, HOLDER_LENGTH)))}`);
    paragraphs.push(
      [
        l10n.t('Snapshots that wait:'),
        ...capped(
          l10n,
          waiting.map(({ name, holder }) => l10n.t('{0}, held by {1}', name, holder)),
        ),
      ].join('\n'),
    );
  }
  if (texts.length === 0) {
    return null;
  }
  return {
    text: texts.join('  '),
    tooltip: paragraphs.join('\n\n'),
    warning: contended.length > 0,
    // Who waits does so now; contended paths will still be there.
    leadsTo: waiting.length > 0 ? 'locks' : contended.length > 0 ? 'contention' : 'actions',
  };
}

function capped(l10n: Localizer, lines: readonly string[]): readonly string[] {
  return lines.length <= MOST_LINES
    ? lines
    : [...lines.slice(0, MOST_LINES), l10n.t('… and {0} more', lines.length - MOST_LINES)];
}
