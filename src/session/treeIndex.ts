import type { ObjectFormat, Oid } from '../core/objectId';
import { findEntry, parseTree, type TreeEntry } from '../core/treeObject';

/** A tree of fewer bytes is searched as fast as a map is asked. */
const LARGE_BYTES = 8 * 1024;
/** So many questions about a large tree pay for taking it apart. */
const WORTH_IT = 8;
/** Folders that a change is about at one time, with those of base and HEAD beside them. */
const MOST = 8;

/**
 * Finds names in trees. One saved file asks a folder's tree a few times, and a scan of its bytes is cheapest; ten thousand
 * files of one folder ask ten thousand times, and then the tree is taken apart once.
 */
export class TreeIndex {
  readonly #format: ObjectFormat;
  readonly #asked = new Map<Oid, number>();
  readonly #entries = new Map<Oid, ReadonlyMap<string, TreeEntry>>();

  constructor(format: ObjectFormat) {
    this.#format = format;
  }

  find(oid: Oid, raw: Buffer, name: string): TreeEntry | undefined {
    if (raw.length < LARGE_BYTES) {
      return findEntry(raw, name, this.#format);
    }
    const known = this.#entries.get(oid);
    if (known !== undefined) {
      return known.get(name);
    }
    const asked = (this.#asked.get(oid) ?? 0) + 1;
    if (asked < WORTH_IT) {
      keepNewest(this.#asked, oid, asked);
      return findEntry(raw, name, this.#format);
    }
    this.#asked.delete(oid);
    const entries = new Map(parseTree(raw, this.#format).map((entry) => [entry.name, entry]));
    keepNewest(this.#entries, oid, entries);
    return entries.get(name);
  }
}

function keepNewest<T>(map: Map<Oid, T>, oid: Oid, value: T): void {
  map.delete(oid);
  map.set(oid, value);
  for (const old of map.keys()) {
    if (map.size <= MOST) {
      break;
    }
    map.delete(old);
  }
}
