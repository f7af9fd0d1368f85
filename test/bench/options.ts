import { parseArgs } from 'node:util';
import { fromCaller } from '../scripts/project';

export const ROWS = [
  'save',
  'processes',
  'memory',
  'folder',
  'session',
  'restore',
  'reconcile',
  'burst',
  'large',
  'rename',
  'together',
  'fsync',
  'maintenance',
  'cli',
  'contention',
  'list',
] as const;

export type Row = (typeof ROWS)[number];

export interface Options {
  readonly sizes: readonly number[];
  readonly rows: ReadonlySet<Row>;
  /** Rounds of the row `save`; undefined: by size. */
  readonly rounds: number | undefined;
  readonly seed: number;
  /** Beside out/bench.json. */
  readonly json: string | undefined;
}

export const USAGE = `npm run bench -- [options]
  --sizes 1000,10000,100000   files in the work tree
  --rows ${ROWS.join(',')}
  --rounds N                  rounds of the row save (default 20 at 1,000 files, fewer at more)
  --seed N                    which files are saved, in which order
  --json FILE                 write the results there too; out/bench.json is always written`;

export function readOptions(argv: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      sizes: { type: 'string', default: '1000,10000,100000' },
      rows: { type: 'string', default: ROWS.join(',') },
      rounds: { type: 'string' },
      seed: { type: 'string', default: '1' },
      json: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const rows = values.rows.split(',').map((name) => {
    const row = ROWS.find((known) => known === name.trim());
    if (row === undefined) throw new Error(`There is no row "${name}". Rows: ${ROWS.join(', ')}`);
    return row;
  });
  return {
    sizes: values.sizes
      .split(',')
      .map((text) => whole(text, '--sizes'))
      .sort((a, b) => a - b),
    rows: new Set(rows),
    rounds: values.rounds === undefined ? undefined : whole(values.rounds, '--rounds'),
    seed: whole(values.seed, '--seed'),
    json: values.json === undefined ? undefined : fromCaller(values.json),
  };
}

function whole(text: string, option: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`${option} takes whole numbers above 0, not "${text}".`);
  return value;
}
