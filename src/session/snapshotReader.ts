import { BulkheadError } from '../base/errors';
import type { Oid } from '../core/objectId';
import { parseMessage, type SnapshotMeta } from '../core/snapshotMessage';
import type { SnapshotHealth } from './snapshotHealth';
import { isDamage, type SnapshotStore } from './snapshotStore';

/** So many commits of others in a row are passed over; behind more there is somebody's whole history. */
export const MAX_FOREIGN = 1000;

/** A snapshot as its commit tells it, without the counts of lines. */
export interface SnapshotCommit {
  readonly oid: Oid;
  readonly tree: Oid;
  /** Over the borders of chains. */
  readonly previous: Oid | null;
  readonly time: number;
  readonly subject: string;
  readonly meta: SnapshotMeta;
}

/** Reads snapshots as their commits tell them: from the shadow ref back, over the borders of chains. */
export class SnapshotReader {
  readonly #store: SnapshotStore;
  readonly #health: SnapshotHealth;

  constructor(store: SnapshotStore, health: SnapshotHealth) {
    this.#store = store;
    this.#health = health;
  }

  /** @returns undefined when the commit is no snapshot of ours */
  async commit(oid: Oid): Promise<SnapshotCommit | undefined> {
    const commit = await this.#store.commit(oid);
    const parsed = parseMessage(commit.message);
    if (parsed === undefined) {
      return undefined;
    }
    return {
      oid,
      tree: commit.tree,
      previous: commit.parents[0] ?? parsed.meta.previous,
      time: commit.committer.time * 1000,
      subject: parsed.subject,
      meta: parsed.meta,
    };
  }

  /** The snapshot of ours at or before a commit: a foreign hand may have put commits of its own upon one. */
  async nearest(oid: Oid): Promise<SnapshotCommit | undefined> {
    let at: Oid | undefined = oid;
    for (let foreign = 0; at !== undefined && foreign <= MAX_FOREIGN; foreign++) {
      const found = await this.commit(at);
      if (found !== undefined) {
        return found;
      }
      at = (await this.#store.commit(at)).parents[0];
    }
    return undefined;
  }

  /** From the newest back to (and without) `until`; at most `limit`. */
  async history(
    session: string,
    options: { readonly until?: Oid; readonly limit?: number } = {},
  ): Promise<SnapshotCommit[]> {
    const found: SnapshotCommit[] = [];
    for (
      let oid = (await this.#health.standing(session)).good;
      oid !== null && oid !== options.until && found.length < (options.limit ?? Infinity);
    ) {
      const commit: SnapshotCommit | undefined = await this.nearest(oid);
      if (commit === undefined) {
        break;
      }
      found.push(commit);
      oid = await this.before(commit);
    }
    return found;
  }

  /** The snapshot before; one that cannot be read is passed over. */
  async before(commit: SnapshotCommit): Promise<Oid | null> {
    if (commit.previous === null) {
      return null;
    }
    try {
      await this.#store.commit(commit.previous);
      return commit.previous;
    } catch (error) {
      if (isDamage(error)) {
        return this.#health.older(commit.meta);
      }
      throw error;
    }
  }

  /** The tree that a snapshot's changes are counted from: that of the snapshot of ours before. */
  async treeBefore(commit: SnapshotCommit): Promise<Oid> {
    if (commit.previous !== null) {
      // What foreign commits say is no part of what was recorded, and no change that was made since.
      return (await this.nearest(commit.previous))?.tree ?? (await this.#store.commit(commit.previous)).tree;
    }
    // The start of a session is its base; the checkout's first snapshot is compared with HEAD.
    if (
      commit.meta.trigger !== 'start' &&
      commit.meta.head !== null &&
      (await this.#store.reader.info(commit.meta.head)) !== undefined
    ) {
      return (await this.#store.commit(commit.meta.head)).tree;
    }
    return commit.tree;
  }
}

export function noSuchSnapshot(text: string): BulkheadError {
  return new BulkheadError('notFound', 'snapshot-not-found', `There is no snapshot ${text}.`, {
    data: { snapshot: text },
  });
}
