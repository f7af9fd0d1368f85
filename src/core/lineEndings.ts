/** What attributes and `core.autocrlf` ask for when a file is recorded: `forced` and `auto` turn CRLF into LF, `auto` only in what looks like text. */
export type LineEndings = 'none' | 'forced' | 'auto';

const CR = 13;
const LF = 10;
const DEL = 127;
const SUB = 26;
/** Control characters that text may hold: backspace, tab, form feed, escape. */
const OF_TEXT = new Set([8, 9, 12, 27]);

/** As git's `convert_attrs` (convert.c); values as `git check-attr` shows them. */
export function lineEndingsOf(
  attributes: { readonly text: string; readonly crlf: string; readonly eol: string },
  autocrlf: 'true' | 'input' | 'false',
): LineEndings {
  const asked = askedBy(attributes.text) ?? askedBy(attributes.crlf);
  if (asked !== undefined) {
    return asked;
  }
  if (attributes.eol === 'lf' || attributes.eol === 'crlf') {
    return 'forced';
  }
  return autocrlf === 'false' ? 'none' : 'auto';
}

function askedBy(value: string): LineEndings | undefined {
  switch (value) {
    case 'set':
    case 'input':
      return 'forced';
    case 'unset':
      return 'none';
    case 'auto':
      return 'auto';
    default:
      return undefined;
  }
}

/** Git's guess whether content is no text, as `gather_stats` and `convert_is_binary` (convert.c). */
export function looksBinary(bytes: Uint8Array): boolean {
  let printable = 0;
  let unprintable = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === CR) {
      if (bytes[at + 1] !== LF) {
        return true;
      }
      at++;
    } else if (byte === 0) {
      return true;
    } else if (byte === DEL || (byte < 32 && byte !== LF && !OF_TEXT.has(byte))) {
      unprintable++;
    } else if (byte !== LF) {
      printable++;
    }
  }
  if (bytes.at(-1) === SUB) {
    // The end mark of old systems.
    unprintable--;
  }
  return printable >> 7 < unprintable;
}

/** Each CRLF as LF; a CR that stands elsewhere stays. */
export function withoutCarriageReturns(bytes: Buffer): Buffer {
  const result = Buffer.allocUnsafe(bytes.length);
  let length = 0;
  let from = 0;
  for (let at = bytes.indexOf(CR); at !== -1; at = bytes.indexOf(CR, at + 1)) {
    if (bytes[at + 1] === LF) {
      length += bytes.copy(result, length, from, at);
      from = at + 1;
    }
  }
  length += bytes.copy(result, length, from);
  return result.subarray(0, length);
}
