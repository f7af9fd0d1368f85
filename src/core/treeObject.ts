import { BulkheadError } from '../base/errors';
import { type ObjectFormat, type Oid, oidBytes } from './objectId';
import { showUnseen } from './visibleText';

/**
 * One line of a tree. `mode` as in the raw bytes (a folder is `40000`, without the leading zero that `ls-tree` prints), `name` as
 * a binary string, one character per byte.
 */
export interface TreeEntry {
  readonly mode: string;
  readonly name: string;
  readonly oid: Oid;
}

export type EntryKind = 'file' | 'executable' | 'link' | 'folder' | 'gitlink';

/** What an edit puts under a name; null removes the name. */
export type TreeEdit = { readonly mode: string; readonly oid: Oid } | null;

/** Bytes of a name that a message shows. */
const MAX_SHOWN = 1024;
const SPACE = 0x20;
const SLASH = 0x2f;
const ZERO = 0x30;
const FOUR = 0x34;
const SEVEN = 0x37;

/** Old tools wrote other permission bits (`100664`) and padded folders (`040000`); git reads both, and so do we. */
export function kindOfMode(mode: string): EntryKind {
  const bits = /^[0-7]{5,6}$/.test(mode) ? Number.parseInt(mode, 8) : 0;
  switch (bits & 0o170000) {
    case 0o040000:
      return 'folder';
    case 0o100000:
      return (bits & 0o100) === 0 ? 'file' : 'executable';
    case 0o120000:
      return 'link';
    case 0o160000:
      return 'gitlink';
    default:
      throw malformed(`unknown mode ${JSON.stringify(mode)}`);
  }
}

export function isTreeMode(mode: string): boolean {
  return kindOfMode(mode) === 'folder';
}

export function parseTree(raw: Buffer, format: ObjectFormat): TreeEntry[] {
  const entries: TreeEntry[] = [];
  const scan = new TreeScan(raw, format);
  while (scan.next()) {
    entries.push(scan.entry());
  }
  return entries;
}

/** Git's order: byte order, with a folder compared as if its name ended in `/` (`base_name_compare` in git's read-cache.c). */
export function compareEntries(a: Pick<TreeEntry, 'mode' | 'name'>, b: Pick<TreeEntry, 'mode' | 'name'>): number {
  const keyA = sortKey(a.name, a.mode);
  const keyB = sortKey(b.name, b.mode);
  return keyA < keyB ? -1 : keyA > keyB ? 1 : 0;
}

/** The raw bytes of a tree; the entries may come in any order. */
export function writeTree(entries: readonly TreeEntry[], format: ObjectFormat): Buffer {
  return Buffer.concat([...entries].sort(compareEntries).map((entry) => entryBytes(entry.name, entry, format)));
}

/**
 * Looks one name up. Walks the bytes entry by entry instead of searching for the name, because the raw ids may hold any bytes,
 * and makes no object per entry, because folders of 10,000 files are real.
 */
export function findEntry(raw: Buffer, name: string, format: ObjectFormat): TreeEntry | undefined {
  const wanted = Buffer.from(name, 'latin1');
  const scan = new TreeScan(raw, format);
  while (scan.next()) {
    if (scan.hasName(wanted)) {
      return scan.entry();
    }
  }
  return undefined;
}

/**
 * A tree with some names replaced, added or removed; the unchanged bytes are copied as they are, once.
 *
 * One pass merges the old entries with the edits, both in git's order. An edited name has two places, `name` and `name/`, because
 * a file may give way to a folder: the old entry goes from whichever it had, the new one is put at its own.
 */
export function spliceTree(raw: Buffer, edits: ReadonlyMap<string, TreeEdit>, format: ObjectFormat): Buffer {
  if (edits.size === 0) {
    return raw;
  }
  const places = placesOf(edits, format);
  const parts: Buffer[] = [];
  const scan = new TreeScan(raw, format);
  let kept = 0;
  let at = 0;
  while (scan.next()) {
    if (!scan.isAfterPrevious()) {
      // Not in git's order, or a name twice: some importers wrote such trees. Merging would miss names, sorting does not.
      return rewriteTree(raw, edits, format);
    }
    let place = places[at];
    let order = place === undefined ? 1 : scan.compareKey(place.key);
    while (place !== undefined && order >= 0) {
      if (order === 0 || place.bytes !== undefined) {
        parts.push(raw.subarray(kept, scan.start));
        kept = order === 0 ? scan.end : scan.start;
      }
      if (place.bytes !== undefined) {
        parts.push(place.bytes);
      }
      at++;
      if (order === 0) {
        break;
      }
      place = places[at];
      order = place === undefined ? 1 : scan.compareKey(place.key);
    }
  }
  parts.push(raw.subarray(kept));
  for (const place of places.slice(at)) {
    if (place.bytes !== undefined) {
      parts.push(place.bytes);
    }
  }
  return Buffer.concat(parts);
}

/** Where an edited name can stand, with what to put there. */
interface Place {
  readonly key: Buffer;
  readonly bytes: Buffer | undefined;
}

function placesOf(edits: ReadonlyMap<string, TreeEdit>, format: ObjectFormat): Place[] {
  const places: { key: string; bytes: Buffer | undefined }[] = [];
  for (const [name, edit] of edits) {
    const bytes = edit === null ? undefined : entryBytes(name, edit, format);
    const folder = edit !== null && isTreeMode(edit.mode);
    places.push(
      { key: name, bytes: folder ? undefined : bytes },
      { key: `${name}/`, bytes: folder ? bytes : undefined },
    );
  }
  places.sort((a, b) => (a.key < b.key ? -1 : 1));
  return places.map(({ key, bytes }) => ({ key: Buffer.from(key, 'latin1'), bytes }));
}

function rewriteTree(raw: Buffer, edits: ReadonlyMap<string, TreeEdit>, format: ObjectFormat): Buffer {
  const entries = parseTree(raw, format).filter((entry) => !edits.has(entry.name));
  for (const [name, edit] of edits) {
    if (edit !== null) {
      entries.push({ name, ...edit });
    }
  }
  return writeTree(entries, format);
}

function sortKey(name: string, mode: string): string {
  return isTreeMode(mode) ? `${name}/` : name;
}

function entryBytes(name: string, entry: { readonly mode: string; readonly oid: Oid }, format: ObjectFormat): Buffer {
  if (name === '' || name.includes('/') || name.includes('\0')) {
    throw new BulkheadError('bug', 'tree-name', `A tree cannot hold the name ${JSON.stringify(name)}.`);
  }
  const length = oidBytes(format);
  const head = `${entry.mode} ${name}\0`;
  const bytes = Buffer.allocUnsafe(head.length + length);
  bytes.write(head, 0, 'latin1');
  if (entry.oid.length !== length * 2 || bytes.write(entry.oid, head.length, 'hex') !== length) {
    throw new BulkheadError('bug', 'tree-oid', `A tree cannot hold the object name ${JSON.stringify(entry.oid)}.`);
  }
  return bytes;
}

/** Steps over the entries of a raw tree and checks each; `start`, `end` and the questions are about the entry it stands on. */
class TreeScan {
  readonly #raw: Buffer;
  readonly #idLength: number;
  start = 0;
  end = 0;
  #nameStart = 0;
  #nameEnd = 0;
  #folder = false;
  #previousName = -1;
  #previousNameEnd = 0;
  #previousFolder = false;

  constructor(raw: Buffer, format: ObjectFormat) {
    this.#raw = raw;
    this.#idLength = oidBytes(format);
  }

  /** False at the end. */
  next(): boolean {
    const raw = this.#raw;
    if (this.end === raw.length) {
      return false;
    }
    if (this.end > 0) {
      this.#previousName = this.#nameStart;
      this.#previousNameEnd = this.#nameEnd;
      this.#previousFolder = this.#folder;
    }
    this.start = this.end;
    let at = this.start;
    for (let byte = raw[at]; byte !== SPACE; byte = raw[++at]) {
      if (byte === undefined || byte < ZERO || byte > SEVEN) {
        throw malformed(`no mode at byte ${String(this.start)}`);
      }
    }
    const digits = at - this.start;
    if (digits < 5 || digits > 6) {
      throw malformed(`no mode at byte ${String(this.start)}`);
    }
    this.#folder = raw[at - 5] === FOUR && (digits === 5 || raw[at - 6] === ZERO);
    this.#nameStart = ++at;
    for (let byte = raw[at]; byte !== 0; byte = raw[++at]) {
      if (byte === undefined) {
        throw malformed(`no name at byte ${String(this.#nameStart)}`);
      }
      if (byte === SLASH) {
        const name = visibleName(raw, this.#nameStart);
        throw malformed(`it holds the name ${name}, and no name in a tree has a slash`, { path: name });
      }
    }
    this.#nameEnd = at;
    this.end = at + 1 + this.#idLength;
    if (at === this.#nameStart || this.end > raw.length) {
      throw malformed(`the entry at byte ${String(this.start)} is cut short`);
    }
    return true;
  }

  entry(): TreeEntry {
    return {
      mode: this.#raw.toString('latin1', this.start, this.#nameStart - 1),
      name: this.#raw.toString('latin1', this.#nameStart, this.#nameEnd),
      oid: this.#raw.toString('hex', this.#nameEnd + 1, this.end),
    };
  }

  hasName(name: Buffer): boolean {
    const length = this.#nameEnd - this.#nameStart;
    if (length !== name.length) {
      return false;
    }
    // From the end: names in one folder share beginnings more often than endings.
    for (let i = length - 1; i >= 0; i--) {
      if (this.#raw[this.#nameStart + i] !== name[i]) {
        return false;
      }
    }
    return true;
  }

  /** Below 0 when this entry's sort key comes before `key`, 0 when it is that key. */
  compareKey(key: Buffer): number {
    return compareRanges(this.#raw, this.#nameStart, this.#nameEnd, this.#folder, key, 0, key.length, false);
  }

  isAfterPrevious(): boolean {
    return (
      this.#previousName === -1 ||
      compareRanges(
        this.#raw,
        this.#previousName,
        this.#previousNameEnd,
        this.#previousFolder,
        this.#raw,
        this.#nameStart,
        this.#nameEnd,
        this.#folder,
      ) < 0
    );
  }
}

/** Compares two byte ranges, each with a `/` behind it when it names a folder; no bytes are copied. */
function compareRanges(
  a: Buffer,
  startA: number,
  endA: number,
  folderA: boolean,
  b: Buffer,
  startB: number,
  endB: number,
  folderB: boolean,
): number {
  const lengthA = endA - startA;
  const lengthB = endB - startB;
  const shared = Math.min(lengthA, lengthB);
  for (let i = 0; i < shared; i++) {
    const difference = (a[startA + i] ?? 0) - (b[startB + i] ?? 0);
    if (difference !== 0) {
      return difference;
    }
  }
  // Past its end a folder still has its slash; a name that is over sorts before any byte.
  const nextA = shared < lengthA ? (a[startA + shared] ?? 0) : folderA ? SLASH : -1;
  const nextB = shared < lengthB ? (b[startB + shared] ?? 0) : folderB ? SLASH : -1;
  // `name` as a folder and `name/` as a key meet here and are equal.
  return nextA === nextB ? lengthA + Number(folderA) - (lengthB + Number(folderB)) : nextA - nextB;
}

/** The name that begins there, for a message: as long as people can read it. */
function visibleName(raw: Buffer, start: number): string {
  const end = raw.indexOf(0, start);
  const name = raw.toString('utf8', start, Math.min(end === -1 ? raw.length : end, start + MAX_SHOWN));
  return showUnseen(name);
}

function malformed(detail: string, more: { readonly path?: string } = {}): BulkheadError {
  return new BulkheadError(
    'damaged',
    'tree-malformed',
    `A tree object cannot be read: ${detail}. "git fsck" in the store tells more.`,
    {
      data: { detail, ...more },
    },
  );
}
