import type { Oid } from '../core/objectId';
import { parseMessage } from '../core/snapshotMessage';
import type { SnapshotCommit } from './snapshotReader';

export interface Counts {
  readonly files: number;
  readonly added: number;
  readonly deleted: number;
}

/** Oid, tree, parents, time and message; a commit's message holds no NUL. */
export const LOG_FORMAT = '%x00%H%x00%T%x00%P%x00%ct%x00%B%x00';
const LOG_FIELDS = 6;

export interface LogRow {
  readonly oid: Oid;
  /** Undefined: not a snapshot of ours. */
  readonly commit: SnapshotCommit | undefined;
  /** Over the borders of chains. */
  readonly previous: Oid | null;
  readonly startsChain: boolean;
  readonly counts: Counts;
  /** What of it cannot be read, for people. */
  readonly damage: string | null;
}

export const NO_COUNTS: Counts = { files: 0, added: 0, deleted: 0 };

/** One row is its fields and, up to the next row, what `--shortstat` prints. */
export function parseLog(text: string): LogRow[] {
  const fields = text.split('\0').slice(1);
  const rows: LogRow[] = [];
  for (let at = 0; at + LOG_FIELDS <= fields.length; at += LOG_FIELDS) {
    const [oid = '', tree = '', parents = '', seconds = '', message = '', counts = ''] = fields.slice(
      at,
      at + LOG_FIELDS,
    );
    const parsed = parseMessage(message);
    const previous = parents.split(' ').find((parent) => parent !== '') ?? parsed?.meta.previous ?? null;
    rows.push({
      oid,
      previous,
      commit:
        parsed === undefined
          ? undefined
          : {
              oid,
              tree,
              previous,
              time: Number(seconds) * 1000,
              subject: parsed.subject,
              meta: parsed.meta,
            },
      startsChain: parents === '',
      counts: parseCounts(counts),
      damage: null,
    });
  }
  return rows;
}

/** What `--shortstat` prints. */
export function parseCounts(text: string): Counts {
  const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0);
  // Bounded, and tried once per number: a long run of digits would be gone through for each of them.
  return {
    files: number(/\b(\d{1,15}) files? changed/),
    added: number(/\b(\d{1,15}) insertions?/),
    deleted: number(/\b(\d{1,15}) deletions?/),
  };
}
