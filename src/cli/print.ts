import type { BulkheadError } from '../base/errors';
import { showUnseen } from '../core/visibleText';

type Colour = 'red' | 'green' | 'yellow' | 'dim' | 'bold';

const CODES: Readonly<Record<Colour, readonly [number, number]>> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  dim: [2, 22],
  bold: [1, 22],
};

const SHORT_OID = 10;

/** How text for people is dressed on this stream. */
export interface Style {
  /** Milliseconds; ages are counted from here. */
  readonly now: number;
  paint(colour: Colour, text: string): string;
}

export function styleFor(options: {
  readonly isTTY: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly now: number;
}): Style {
  const noColor = options.env['NO_COLOR'];
  const coloured = options.isTTY && (noColor === undefined || noColor === '') && options.env['TERM'] !== 'dumb';
  return {
    now: options.now,
    paint(colour, text) {
      const [on, off] = CODES[colour];
      return coloured ? `\u001b[${String(on)}m${text}\u001b[${String(off)}m` : text;
    },
  };
}

export interface Cell {
  readonly text: string;
  readonly colour?: Colour;
  readonly align?: 'right';
}

/** Columns two spaces apart; the last one is not padded. Cells hold visible text only, so that widths count what is seen. */
export function table(style: Style, heads: readonly string[], rows: readonly (readonly (Cell | string)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === 'string' ? { text: cell } : cell)));
  const head = heads.map((text, column): Cell => {
    const align = cells[0]?.[column]?.align;
    return { text, colour: 'dim', ...(align === undefined ? {} : { align }) };
  });
  const lines = [head, ...cells];
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => widthOf(line[column]?.text ?? ''))));
  return lines
    .map((line) => {
      const dressed = line.map((cell, column) => {
        const gap = ' '.repeat((widths[column] ?? 0) - widthOf(cell.text));
        const text = cell.colour === undefined ? cell.text : style.paint(cell.colour, cell.text);
        return cell.align === 'right' ? gap + text : column === line.length - 1 ? text : text + gap;
      });
      return dressed.join('  ').trimEnd();
    })
    .join('\n');
}

/** Columns on a terminal, near enough: wide East Asian characters and emoji count two, combining ones none. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of text) {
    if (!/\p{M}/u.test(character)) {
      width +=
        /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u.test(
          character,
        )
          ? 2
          : 1;
    }
  }
  return width;
}

/** `name  value` lines. */
export function fields(style: Style, pairs: readonly (readonly [string, string | null])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${style.paint('dim', name.padEnd(width))}  ${value ?? '-'}`).join('\n');
}

export function shortOid(oid: string | null): string {
  return oid === null ? '-' : oid.slice(0, SHORT_OID);
}

export function age(style: Style, time: number | null): string {
  if (time === null) {
    return '-';
  }
  const seconds = Math.max(0, Math.floor((style.now - time) / 1000));
  if (seconds < 60) {
    return `${String(seconds)} s ago`;
  }
  if (seconds < 3600) {
    return `${String(Math.floor(seconds / 60))} min ago`;
  }
  if (seconds < 86_400) {
    return `${String(Math.floor(seconds / 3600))} h ago`;
  }
  return `${String(Math.floor(seconds / 86_400))} d ago`;
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${String(count)} ${count === 1 ? one : many}`;
}

/** A message may have several lines; the later ones are set in, so that none of them can pass for one of ours. */
export function visibleLines(text: string): string {
  return text.split('\n').map(showUnseen).join('\n  ');
}

export function failureText(error: BulkheadError): string {
  return `bulkhead: ${visibleLines(error.message)}\n`;
}
