import { isUtf8 } from 'node:buffer';
import { isOid, type Oid } from './objectId';
import { isBranchName } from './refName';
import { breaksLine } from './visibleText';

/**
 * What an operation of several steps is about to do, written down before its first step, so that whoever finds it cut off
 * can finish it or take it back. It holds ids and oids only: where to write comes from the session, never from here.
 */
export type Intent = RestoreIntent | CreateIntent | DeleteIntent | ApplyIntent;

export interface RestoreIntent {
  readonly kind: 'restore' | 'undo' | 'redo';
  /** Tree of the safety snapshot. */
  readonly from: Oid;
  /** Tree that the work tree has when every path of the plan is written. */
  readonly to: Oid;
  /** The safety snapshot. */
  readonly undo: Oid | null;
  readonly subject: string;
  readonly agent: string;
  readonly reverses: Oid | null;
}

export interface CreateIntent {
  readonly kind: 'create';
  readonly nonce: string;
}

export interface DeleteIntent {
  readonly kind: 'delete';
}

export interface ApplyIntent {
  readonly kind: 'apply';
  /** The branch in the user's repository, which was not there before. */
  readonly branch: string;
  readonly tip: Oid;
  readonly tree: Oid;
  /** Some paths only: the base stays where it is. */
  readonly partial: boolean;
}

export type ParsedIntent =
  | {
      readonly kind: 'ok';
      readonly intent: Intent;
      /** As it was written; null: its owner gave up and left it to others. */
      readonly holder: unknown;
    }
  | { readonly kind: 'newer'; readonly format: number }
  /** `reason` is for people: what is wrong, without a full stop. */
  | { readonly kind: 'damaged'; readonly reason: string };

const FORMAT = 1;
const SIZE_LIMIT = 64 * 1024;
const TEXT_LIMIT = 4096;

export function formatIntent(session: string, intent: Intent, holder: object | null): Buffer {
  return Buffer.from(`${JSON.stringify({ format: FORMAT, session, ...intent, holder }, null, 2)}\n`, 'utf8');
}

/** Everything is checked: the file may be torn, or have been written by a hand that is not ours. */
export function parseIntent(bytes: Buffer, session: string): ParsedIntent {
  if (bytes.length > SIZE_LIMIT) {
    return damaged(`it has more than ${String(SIZE_LIMIT)} bytes`);
  }
  const json = parseObject(bytes);
  if (json === undefined) {
    return damaged('it is not a JSON object');
  }
  const { format, kind, holder } = json;
  if (typeof format !== 'number' || !Number.isSafeInteger(format) || format < 1) {
    return damaged('its format is missing');
  }
  if (format > FORMAT) {
    return { kind: 'newer', format };
  }
  if (json['session'] !== session) {
    return damaged('it belongs to another session');
  }
  const shape = typeof kind === 'string' && Object.hasOwn(SHAPES, kind) ? SHAPES[kind as Intent['kind']] : undefined;
  if (shape === undefined) {
    return damaged('it names no operation');
  }
  for (const [field, isValid] of Object.entries(shape)) {
    if (!Object.hasOwn(json, field) || !isValid(json[field])) {
      return damaged(`its field "${field}" is not valid`);
    }
  }
  const known = Object.fromEntries(Object.keys(shape).map((field) => [field, json[field]]));
  // Every field was checked against the shape of its kind.
  return { kind: 'ok', intent: { kind, ...known } as unknown as Intent, holder: holder ?? null };
}

type Shape = Readonly<Record<string, (value: unknown) => boolean>>;

const isText = (value: unknown): value is string => typeof value === 'string';
const isLine = (value: unknown): boolean => isText(value) && value.length <= TEXT_LIMIT && !breaksLine(value);
const isObjectName = (value: unknown): boolean => isText(value) && isOid(value);
const isObjectNameOrNull = (value: unknown): boolean => value === null || isObjectName(value);

const RESTORE: Shape = {
  from: isObjectName,
  to: isObjectName,
  undo: isObjectNameOrNull,
  subject: isLine,
  agent: isLine,
  reverses: isObjectNameOrNull,
};

const SHAPES: Readonly<Record<Intent['kind'], Shape>> = {
  restore: RESTORE,
  undo: RESTORE,
  redo: RESTORE,
  create: { nonce: (value) => isText(value) && /^[A-Za-z0-9_-]{8,128}$/.test(value) },
  delete: {},
  apply: {
    branch: (value) => isText(value) && isBranchName(value),
    tip: isObjectName,
    tree: isObjectName,
    partial: (value) => typeof value === 'boolean',
  },
};

function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  if (!isUtf8(bytes)) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    // Torn, or never ours.
    return undefined;
  }
}

function damaged(reason: string): ParsedIntent {
  return { kind: 'damaged', reason };
}
