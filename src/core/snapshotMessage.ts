import { BulkheadError } from '../base/errors';
import type { ChainPosition } from './chain';
import { type Oid, isOid } from './objectId';
import { type RepoPath, uncheckedRepoPath } from './repoPath';
import { isSessionRef } from './sessionId';
import { breaksLine, cutCodePoints, toOneLine } from './visibleText';

/** Why a snapshot was made. */
export const TRIGGERS = [
  'start',
  'save',
  'external',
  'turn-start',
  'turn-end',
  'subagent-end',
  'manual',
  'reconcile',
  'before-restore',
  'restore',
  'undo',
  'redo',
  'revert',
  'before-apply',
  'apply',
  'update',
  'final',
] as const;

export type Trigger = (typeof TRIGGERS)[number];

export interface SnapshotMeta {
  /** A session's id, or `workspace`. */
  readonly session: string;
  readonly trigger: Trigger;
  readonly agent: string;
  readonly turn: string | null;
  /** HEAD of the clone at that time. */
  readonly head: Oid | null;
  readonly skipped: {
    readonly count: number;
    /** The first of them; at most `MAX_NAMED` are kept. */
    readonly named: readonly RepoPath[];
  };
  readonly chain: ChainPosition;
  /** The newest snapshot of the chain that was closed before this one. */
  readonly previous: Oid | null;
  /** The restore that an undo takes back, or the undo that a redo takes back. */
  readonly reverses: Oid | null;
}

export const MAX_NAMED = 20;
const SUBJECT_LIMIT = 200;
const TURN_LIMIT = 200;
const PREFIX = 'Bulkhead-';

export function isTrigger(text: string): text is Trigger {
  return (TRIGGERS as readonly string[]).includes(text);
}

export function isAgentName(text: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{0,63}$/.test(text);
}

/** An agent's own name for a turn: one printable line. */
export function isTurnName(text: string): boolean {
  return text !== '' && text === text.trim() && Array.from(text).length <= TURN_LIMIT && !breaksLine(text);
}

/** One line that is never empty, so that the trailers are always a paragraph of their own. */
export function cleanSubject(text: string): string {
  return cutCodePoints(toOneLine(text), SUBJECT_LIMIT).trim() || '(no subject)';
}

/**
 * A commit message: the subject, a blank line, one paragraph of trailers. The subject cannot reach into the trailers because it is
 * one line; every value there has a narrow form and is checked. `git interpret-trailers` is not used: a `---` line misleads it.
 */
export function formatMessage(subject: string, meta: SnapshotMeta): string {
  const problem = problemOf(meta);
  if (problem !== undefined) {
    throw new BulkheadError('bug', 'snapshot-meta', `A snapshot cannot be recorded: its ${problem} is not valid.`);
  }
  const { chain, skipped } = meta;
  const named = skipped.named.slice(0, MAX_NAMED).map((path) => ` ${encodeName(path)}`);
  const trailers: readonly (readonly [string, string | null])[] = [
    ['Session', meta.session],
    ['Trigger', meta.trigger],
    ['Agent', meta.agent],
    ['Turn', meta.turn],
    ['Head', meta.head],
    ['Skipped', skipped.count === 0 ? null : String(skipped.count) + named.join('')],
    ['Chain', `${String(chain.number)} ${String(chain.ordinal)} ${String(chain.started)}`],
    ['Previous', meta.previous],
    ['Reverses', meta.reverses],
  ];
  const lines = trailers.flatMap(([key, value]) => (value === null ? [] : [`${PREFIX}${key}: ${value}\n`]));
  return `${cleanSubject(subject)}\n\n${lines.join('')}`;
}

/** Undefined for anything that `formatMessage` of this version or a later one would not write. */
export function parseMessage(text: string): { readonly subject: string; readonly meta: SnapshotMeta } | undefined {
  const body = text.replace(/\n+$/, '');
  const border = body.lastIndexOf('\n\n');
  const subject = body.slice(0, body.indexOf('\n'));
  if (border === -1 || subject === '') {
    return undefined;
  }
  const trailers = new Map<string, string>();
  for (const line of body.slice(border + 2).split('\n')) {
    const match = /^Bulkhead-([A-Za-z0-9-]+): (.+)$/s.exec(line);
    const [, key, value] = match ?? [];
    if (key === undefined || value === undefined || trailers.has(key)) {
      return undefined;
    }
    trailers.set(key, value);
  }
  const meta = readTrailers(trailers);
  return meta === undefined || problemOf(meta) !== undefined ? undefined : { subject: cleanSubject(subject), meta };
}

function readTrailers(trailers: ReadonlyMap<string, string>): SnapshotMeta | undefined {
  const session = trailers.get('Session');
  const trigger = trailers.get('Trigger');
  const agent = trailers.get('Agent');
  const chain = /^(\d+) (\d+) (\d+)$/.exec(trailers.get('Chain') ?? '');
  const skipped = readSkipped(trailers.get('Skipped') ?? '0');
  if (
    session === undefined ||
    trigger === undefined ||
    !isTrigger(trigger) ||
    agent === undefined ||
    chain === null ||
    !skipped
  ) {
    return undefined;
  }
  return {
    session,
    trigger,
    agent,
    turn: trailers.get('Turn') ?? null,
    head: trailers.get('Head') ?? null,
    skipped,
    chain: { number: Number(chain[1]), ordinal: Number(chain[2]), started: Number(chain[3]) },
    previous: trailers.get('Previous') ?? null,
    reverses: trailers.get('Reverses') ?? null,
  };
}

function readSkipped(value: string): SnapshotMeta['skipped'] | undefined {
  const [count = '', ...names] = value.split(' ');
  const named = names.map(decodeName);
  if (!/^\d+$/.test(count) || !named.every((name) => name !== undefined)) {
    return undefined;
  }
  return { count: Number(count), named };
}

/** The one check for both directions: the name of the first field that is not valid. */
function problemOf(meta: SnapshotMeta): string | undefined {
  const { chain, skipped } = meta;
  const isOidOrNull = (oid: Oid | null): boolean => oid === null || isOid(oid);
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
  const checks: readonly (readonly [string, boolean])[] = [
    ['session', isSessionRef(meta.session)],
    ['trigger', isTrigger(meta.trigger)],
    ['agent', isAgentName(meta.agent)],
    ['turn', meta.turn === null || isTurnName(meta.turn)],
    ['head', isOidOrNull(meta.head)],
    [
      'skipped',
      isCount(skipped.count) &&
        Math.min(skipped.named.length, MAX_NAMED) <= skipped.count &&
        !skipped.named.some(isEmpty),
    ],
    ['chain', [chain.number, chain.ordinal, chain.started].every(isCount)],
    ['previous', isOidOrNull(meta.previous)],
    ['reverses', isOidOrNull(meta.reverses)],
  ];
  return checks.find(([, fine]) => !fine)?.[0];
}

function isEmpty(path: RepoPath): boolean {
  return path === '';
}

/** Percent-encoded by bytes, so that a name has no space and no line break, whatever it is. */
function encodeName(path: RepoPath): string {
  return path.replace(
    /[^A-Za-z0-9._/+@=,~-]/gs,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

/** Not checked as a path: a name may have been skipped because it is not allowed. It is only ever shown. */
function decodeName(text: string): RepoPath | undefined {
  if (!/^(?:[A-Za-z0-9._/+@=,~-]|%[0-9A-F]{2})+$/.test(text)) {
    return undefined;
  }
  return uncheckedRepoPath(text.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))));
}
