import { isUtf8 } from 'node:buffer';
import { BulkheadError } from '../base/errors';
import { type Oid, isOid } from './objectId';
import { isBranchName } from './refName';
import { isSessionId } from './sessionId';
import { checkSessionName, isSlug } from './sessionName';
import { breaksLine, cutCodePoints } from './visibleText';

/** The changing part of what is known of a session, kept as a JSON blob in the snapshot store. Never says where to write. */
export interface SessionRecord {
  readonly id: string;
  /** Ties the record to one folder: a copy of the folder with another nonce is not this session. */
  readonly nonce: string;
  readonly name: string;
  readonly slug: string;
  /** The first part of the clone's folder name, after the user's repository; see `repositoryPart`. */
  readonly repository: string;
  /** The branch that the clone was given at the start. */
  readonly branch: string;
  /** `commit` is null before the first commit of the repository. */
  readonly base: { readonly commit: Oid | null; readonly tree: Oid };
  /** Milliseconds since 1970-01-01 UTC. */
  readonly created: number;
  /** Where the session started, for people. */
  readonly from: string;
  readonly state: 'ready' | 'trashed';
  /** Name in the trash. */
  readonly trashed: string | null;
  /** The session that replaced this one. */
  readonly successor: string | null;
  /** Fields that a later version added without changing the format; written back as they are. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export type ParsedRecord =
  | { readonly kind: 'ok'; readonly record: SessionRecord }
  | { readonly kind: 'newer'; readonly format: number }
  /** `reason` is for people: what is wrong, without a full stop. */
  | { readonly kind: 'damaged'; readonly reason: string };

const FORMAT = 1;
const SIZE_LIMIT = 64 * 1024;
const REPOSITORY_LIMIT = 60;
const FROM_LIMIT = 500;

export function formatRecord(record: SessionRecord): Buffer {
  const { extra, ...known } = record;
  const bytes = Buffer.from(`${JSON.stringify({ ...extra, format: FORMAT, ...known }, null, 2)}\n`, 'utf8');
  // Checked with the reader's own rules: a record that cannot be read again would lose the session.
  const parsed = parseRecord(bytes, record.id);
  if (parsed.kind !== 'ok') {
    const reason = parsed.kind === 'damaged' ? parsed.reason : 'it is of another format';
    throw new BulkheadError(
      'bug',
      'session-record',
      `The record of session ${record.id} cannot be written: ${reason}.`,
    );
  }
  return bytes;
}

export function parseRecord(bytes: Buffer, id: string): ParsedRecord {
  if (bytes.length > SIZE_LIMIT) {
    return damaged(`it has more than ${String(SIZE_LIMIT)} bytes`);
  }
  const json = parseObject(bytes);
  if (json === undefined) {
    return damaged('it is not a JSON object');
  }
  const format = json['format'];
  if (typeof format !== 'number' || !Number.isSafeInteger(format) || format < 1) {
    return damaged('its format is missing');
  }
  if (format > FORMAT) {
    return { kind: 'newer', format };
  }
  for (const [field, isValid] of Object.entries(FIELDS)) {
    if (!Object.hasOwn(json, field) || !isValid(json[field])) {
      return damaged(`its field "${field}" is not valid`);
    }
  }
  if (json['id'] !== id) {
    return damaged('it belongs to another session');
  }
  return { kind: 'ok', record: recordOf(json) };
}

/** Makes a folder name part of a repository's own folder name, as alike as every file system allows. */
export function repositoryPart(folderName: string): string {
  const words = folderName
    .normalize('NFC')
    .replace(/[^\p{L}\p{M}\p{N}._-]+/gu, '-')
    .replace(/^[.-]+/, '');
  return cutCodePoints(words, REPOSITORY_LIMIT).replace(/[.-]+$/, '') || 'repository';
}

const isText = (value: unknown): value is string => typeof value === 'string';

/** One check for each field; the order is the order of the reasons given. */
const FIELDS: Readonly<Record<Exclude<keyof SessionRecord, 'extra'>, (value: unknown) => boolean>> = {
  id: (value) => isText(value) && isSessionId(value),
  nonce: (value) => isText(value) && /^[A-Za-z0-9_-]{8,128}$/.test(value),
  name: (value) => isText(value) && isCheckedName(value),
  slug: (value) => isText(value) && isSlug(value),
  repository: (value) => isText(value) && value === repositoryPart(value),
  branch: (value) => isText(value) && isBranchName(value),
  base: isBase,
  created: (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0,
  from: (value) => isText(value) && value.length <= FROM_LIMIT && !breaksLine(value),
  state: (value) => value === 'ready' || value === 'trashed',
  trashed: (value) => value === null || (isText(value) && /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(value)),
  successor: (value) => value === null || (isText(value) && isSessionId(value)),
};

/** Every field was checked before. */
function recordOf(json: Readonly<Record<string, unknown>>): SessionRecord {
  const known = Object.fromEntries(Object.keys(FIELDS).map((field) => [field, json[field]]));
  const extra = Object.entries(json).filter(([field]) => field !== 'format' && !Object.hasOwn(FIELDS, field));
  return {
    ...(known as unknown as SessionRecord),
    ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}

function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  if (!isUtf8(bytes)) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isBase(value: unknown): boolean {
  if (!isObject(value)) {
    return false;
  }
  const { commit, tree } = value;
  return (
    isText(tree) &&
    isOid(tree) &&
    (commit === null || (isText(commit) && isOid(commit) && commit.length === tree.length))
  );
}

function isCheckedName(text: string): boolean {
  const check = checkSessionName(text);
  return check.kind === 'ok' && check.name === text;
}

function damaged(reason: string): ParsedRecord {
  return { kind: 'damaged', reason };
}
