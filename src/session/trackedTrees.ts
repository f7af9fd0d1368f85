import { emptyTreeOid, type Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { TreeEntry } from '../core/treeObject';
import { bringHead, currentHead, type HeadSource, type HeadState, lastHead } from './heads';
import type { Host } from './host';
import type { SnapshotStore } from './snapshotStore';

/** The trees that decide what is tracked: a path in one of them is recorded whatever the ignore rules say. */
export interface TrackedTrees {
  readonly base: Oid;
  readonly head: Oid | null;
}

/** What is tracked at a path; undefined when nothing is. */
export async function trackedEntry(
  store: SnapshotStore,
  { base, head }: TrackedTrees,
  path: RepoPath,
): Promise<TreeEntry | undefined> {
  // HEAD is laid over the base: where both have a path, HEAD's entry counts.
  const atHead = head === null ? undefined : await store.entry(head, path);
  return atHead ?? (head === base ? undefined : await store.entry(base, path));
}

/** Keeps what is tracked in one work tree between saves, and reads it again when HEAD or the base may have moved. */
export class TrackedTreesReader {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #source: HeadSource;
  readonly #readBase: (() => Promise<Oid>) | null;
  #trees: TrackedTrees | undefined;
  /** Undefined: to be read again. Only an apply moves it, and that ends with a snapshot: whoever meets another newest one reads it again. */
  #base: Oid | undefined;
  /** Where HEAD stood when `#trees` was made; undefined when it has to be looked at again. */
  #headSeen: Oid | null | undefined;
  #head: Oid | null = null;

  /** @param readBase reads the tree of the session's base; null: the base is HEAD, as in the user's own checkout */
  constructor(host: Host, store: SnapshotStore, source: HeadSource, readBase: (() => Promise<Oid>) | null) {
    this.#host = host;
    this.#store = store;
    this.#source = source;
    this.#readBase = readBase;
  }

  /** The trees as they were last read, whatever happened since. */
  get last(): TrackedTrees | undefined {
    return this.#trees;
  }

  /** The commit behind the last read trees. */
  get head(): Oid | null {
    return this.#head;
  }

  /** The base may have moved. */
  forgetBase(): void {
    this.#base = undefined;
  }

  /** For a single save: what is tracked is looked up again only when HEAD moved or the base did. */
  async current(): Promise<TrackedTrees> {
    if (this.#trees !== undefined && (this.#base !== undefined || this.#readBase === null)) {
      const head = await currentHead(this.#host, this.#store, this.#source);
      if (head.kind !== 'unreadable' && commitOf(head) === this.#headSeen) {
        return this.#trees;
      }
    }
    return this.refresh();
  }

  /** Looks at HEAD and the base again. */
  async refresh(): Promise<TrackedTrees> {
    const head = await currentHead(this.#host, this.#store, this.#source);
    let commit = commitOf(head);
    let seen: Oid | null | undefined = commit;
    if (head.kind === 'unreadable') {
      this.#host.log.warn(`HEAD of ${this.#source.session} is not read: ${head.reason}`);
    }
    if (
      head.kind === 'unreadable' ||
      (commit !== null && !(await bringHead(this.#host, this.#store, this.#source, commit)))
    ) {
      // What was tracked stays so.
      seen = undefined;
      commit = await lastHead(this.#store, this.#source.session);
    }
    const headTree = commit === null ? null : (await this.#store.commit(commit)).tree;
    this.#base = await this.#readBase?.();
    const tracked = { base: this.#base ?? headTree ?? emptyTreeOid(this.#store.format), head: headTree };
    this.#headSeen = seen;
    this.#head = commit;
    this.#trees = tracked;
    return tracked;
  }
}

function commitOf(head: HeadState): Oid | null {
  return head.kind === 'known' ? head.commit : null;
}
