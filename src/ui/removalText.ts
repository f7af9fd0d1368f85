import type { RemovalPreflight } from '../session/api';
import { filesText } from './labels';
import type { Localizer } from './localizer';

/** What a person should know before she deletes a session, one line each; empty when nothing would be lost. */
export function removalWarnings(l10n: Localizer, preflight: RemovalPreflight): readonly string[] {
  const lines: string[] = [];
  if (preflight.doubt !== null) {
    lines.push(l10n.t('A check failed, so Bulkhead cannot tell all that would be lost: {0}', preflight.doubt));
  }
  if (preflight.unapplied > 0) {
    lines.push(
      l10n.t('Changed by this session and not applied to your checkout: {0}.', filesText(l10n, preflight.unapplied)),
    );
  }
  if (preflight.unpushedCommits > 0) {
    lines.push(
      preflight.unpushedCommits === 1
        ? l10n.t('1 commit exists only in this clone.')
        : l10n.t('{0} commits exist only in this clone.', preflight.unpushedCommits),
    );
  }
  if (preflight.uncheckpointed) {
    lines.push(l10n.t('The newest changes are not in a snapshot yet; a final one is made first.'));
  }
  if (preflight.last) {
    lines.push(l10n.t('It is the last session of this repository.'));
  }
  return lines;
}
