import { showHidden } from '../core/visibleText';

/**
 * Names, subjects and paths come from agents. The editor gives some character sequences a meaning in places that take
 * plain strings; these functions take it away and leave the look of the text.
 */

const WORD_JOINER = '\u2060';

/** Makes visible what hides or reorders text; lines stay lines. */
export function shown(text: string): string {
  return text.split('\n').map(showHidden).join('\n');
}

/** For a place that has one line: a line break becomes visible too. */
export function shownInLine(text: string): string {
  return showHidden(text);
}

/** For quick picks, terminals and the status bar, where `$(name)` is drawn as an icon. */
export function withoutIcons(text: string): string {
  return text.replaceAll('$(', `$${WORD_JOINER}(`);
}

/** For notifications and dialogs, where `[text](command:…)` becomes a link that runs a command. */
export function withoutLinks(text: string): string {
  return text.replaceAll('](', `]${WORD_JOINER}(`);
}

/** Shortens in the middle, because both ends of a path or subject tell most. */
export function shortened(text: string, length: number): string {
  const characters = Array.from(text);
  if (characters.length <= length) {
    return text;
  }
  const tail = Math.floor((length - 1) / 2);
  return `${characters.slice(0, length - 1 - tail).join('')}…${characters.slice(characters.length - tail).join('')}`;
}
