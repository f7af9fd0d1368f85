/**
 * Characters that people do not see, or that reorder what they see: a file named `gpj.<U+202E>exe` reads as a picture.
 * See Unicode TR 36 (security considerations) and CVE-2021-42574.
 */

/** Would end or disturb a line: control characters, lone surrogates, line and paragraph separators. */
const LINE_BREAKING = '\\p{Cc}\\p{Cs}\\p{Zl}\\p{Zp}';
const BIDI_CONTROLS = '\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069';
/** Letters in Unicode's books, blank on the screen. */
const FILLERS = '\\u115f\\u1160\\u3164\\uffa0';

const UNSEEN = new RegExp(`[${LINE_BREAKING}\\p{Cf}${FILLERS}]`, 'gu');
const UNSAFE = new RegExp(`[${LINE_BREAKING}${BIDI_CONTROLS}]`, 'gu');
const UNSAFE_ONCE = new RegExp(`[${LINE_BREAKING}${BIDI_CONTROLS}]`, 'u');
const ONLY_UNSEEN = new RegExp(`^[${LINE_BREAKING}\\p{Cf}\\p{M}\\s${FILLERS}]*$`, 'u');

/** Writes every character that cannot be seen as `\u{XX}`. */
export function showUnseen(text: string): string {
  return text.replace(UNSEEN, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`);
}

/** As `showUnseen`, but for the joiners (U+200C, U+200D) that Persian words and many emoji need. */
export function showHidden(text: string): string {
  return text.replace(UNSEEN, (char) => (char === '\u200c' || char === '\u200d' ? char : showUnseen(char)));
}

/**
 * True for text that would break a line or reorder its neighbours. Joiners (U+200C, U+200D) are no fault here: Persian words
 * and many emoji need them.
 */
export function breaksLine(text: string): boolean {
  return UNSAFE_ONCE.test(text);
}

/** One line: what would break or reorder it becomes a space. */
export function toOneLine(text: string): string {
  return text.replace(UNSAFE, ' ').trim();
}

/** True when nothing of the text can be seen. */
export function isBlank(text: string): boolean {
  return ONLY_UNSEEN.test(text);
}

/** Cuts by code points, so that no character is torn in halves. */
export function cutCodePoints(text: string, limit: number): string {
  if (text.length <= limit) {
    return text;
  }
  return Array.from(text).slice(0, limit).join('');
}
