import { BulkheadError } from '../base/errors';
import { type Oid, isOid } from './objectId';

export interface CommitPerson {
  readonly name: string;
  readonly email: string;
  /** Seconds since 1970-01-01 UTC. */
  readonly time: number;
  /** As git writes it: `+0000`. */
  readonly offset: string;
}

export interface CommitFields {
  readonly tree: Oid;
  readonly parents: readonly Oid[];
  readonly author: CommitPerson;
  readonly committer: CommitPerson;
  readonly message: Buffer | string;
}

export interface ParsedCommit extends CommitFields {
  readonly message: string;
}

/** The body of a commit object. The message is taken as it is; give it a line feed at the end as git does. */
export function writeCommit(fields: CommitFields): Buffer {
  for (const oid of [fields.tree, ...fields.parents]) {
    if (!isOid(oid)) {
      throw new BulkheadError('bug', 'commit-oid', `A commit cannot hold the object name ${JSON.stringify(oid)}.`);
    }
  }
  const header = [
    `tree ${fields.tree}`,
    ...fields.parents.map((parent) => `parent ${parent}`),
    `author ${formatPerson(fields.author)}`,
    `committer ${formatPerson(fields.committer)}`,
    '',
    '',
  ].join('\n');
  return Buffer.concat([Buffer.from(header, 'utf8'), Buffer.from(fields.message)]);
}

/**
 * Reads any commit of git's, not only ours: other headers (signatures, encodings, merged tags) are passed over, names may hold any
 * bytes, and a date that cannot be read is 0, as in git.
 */
export function parseCommit(body: Buffer): ParsedCommit {
  const blank = body.indexOf('\n\n');
  const headerEnd = blank === -1 ? body.length : blank;
  const lines = body.toString('utf8', 0, headerEnd).replace(/\n$/, '').split('\n');
  const message = blank === -1 ? '' : body.toString('utf8', blank + 2);
  let at = 0;
  const take = (key: string): string | undefined => {
    const line = lines[at];
    if (line?.startsWith(`${key} `) !== true) {
      return undefined;
    }
    at++;
    return line.slice(key.length + 1);
  };

  const tree = take('tree');
  if (tree === undefined || !isOid(tree)) {
    throw malformed('it names no tree');
  }
  const parents: Oid[] = [];
  for (let parent = take('parent'); parent !== undefined; parent = take('parent')) {
    if (parent.length !== tree.length || !isOid(parent)) {
      throw malformed('a parent is no object name');
    }
    parents.push(parent);
  }
  const author = take('author');
  const committer = take('committer');
  if (author === undefined || committer === undefined) {
    throw malformed('its author or committer is missing');
  }
  return { tree, parents, author: parsePerson(author), committer: parsePerson(committer), message };
}

/** Git drops these characters too (`strbuf_addstr_without_crud` in git's ident.c): they would end the field. */
function formatPerson(person: CommitPerson): string {
  if (!Number.isSafeInteger(person.time) || person.time < 0 || !/^[+-]\d{4}$/.test(person.offset)) {
    throw new BulkheadError(
      'bug',
      'commit-date',
      `A commit cannot hold the date ${String(person.time)} ${person.offset}.`,
    );
  }
  return `${cleanField(person.name)} <${cleanField(person.email)}> ${String(person.time)} ${person.offset}`;
}

function cleanField(text: string): string {
  return text
    .replace(/[<>\n]/g, '')
    .replaceAll('\0', '')
    .trim();
}

function parsePerson(text: string): CommitPerson {
  const open = text.indexOf('<');
  const close = text.indexOf('>', open + 1);
  if (open === -1 || close === -1) {
    return { name: text.trim(), email: '', time: 0, offset: '+0000' };
  }
  const name = text.slice(0, open).trim();
  const email = text.slice(open + 1, close);
  // From the last bracket: some names hold one too many.
  const date = /^ (\d{1,15}) ([+-]\d{4})$/.exec(text.slice(text.lastIndexOf('>') + 1));
  return { name, email, time: Number(date?.[1] ?? 0), offset: date?.[2] ?? '+0000' };
}

function malformed(detail: string): BulkheadError {
  return new BulkheadError(
    'damaged',
    'commit-malformed',
    `A commit cannot be read: ${detail}. "git fsck" in the store tells more.`,
    {
      data: { detail },
    },
  );
}
