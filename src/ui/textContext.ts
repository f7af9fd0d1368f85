import * as vscode from 'vscode';
import type { TextContext } from './labels';
import type { Localizer } from './localizer';

export const localizer: Localizer = {
  t: (message, ...values) => vscode.l10n.t(message, ...values),
};

/** The wording for this person, now. */
export function textContext(): TextContext {
  return { l10n: localizer, time: { locale: vscode.env.language }, now: Date.now() };
}
