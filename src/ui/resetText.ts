import type { RemovalPreflight } from '../session/api';
import type { Localizer } from './localizer';
import { removalWarnings } from './removalText';

/** What a person should know before she resets a session, one line each; empty when nothing would be lost. */
export function resetWarnings(l10n: Localizer, preflight: RemovalPreflight): readonly string[] {
  // The final snapshot holds what is in none yet, and another session takes the place of the last one.
  return removalWarnings(l10n, { ...preflight, uncheckpointed: false, last: false });
}

/** What happens, as the last line of the question. */
export function resetDetail(l10n: Localizer, warnings: readonly string[]): string {
  return [
    ...warnings,
    l10n.t(
      'A fresh clone at the same base takes its place, under the same name. The present one goes to the trash after a final snapshot; its snapshots are kept.',
    ),
  ].join('\n\n');
}
