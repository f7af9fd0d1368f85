import { type ChangeMap, contendedPaths, type EntryChange, excludedBy } from '../core/contention';
import type { Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { ContendedPath } from './api';
import type { SnapshotStore } from './snapshotStore';

const CACHED_DIFFS = 256;

/** One work tree's state for the comparison. */
export interface ContentionSide {
  readonly session: string;
  /** Null for the user's checkout: towards each session it counts from that session's base. */
  readonly base: Oid | null;
  readonly tree: Oid;
}

/** Says which sessions gave the same path different contents. */
export class ContentionService {
  readonly #store: SnapshotStore;
  readonly #isExcluded: (path: RepoPath) => boolean;
  readonly #diffs = new Map<string, ChangeMap>();

  constructor(store: SnapshotStore, exclude: readonly string[]) {
    this.#store = store;
    this.#isExcluded = excludedBy(exclude);
  }

  async find(sides: readonly ContentionSide[]): Promise<ContendedPath[]> {
    if (sides.length < 2) {
      return [];
    }
    const changes = await Promise.all(
      sides.map(async (side) => {
        if (side.base !== null) {
          return { session: side.session, changes: await this.#changes(side.base, side.tree) };
        }
        const against = new Map<string, ChangeMap>();
        for (const other of sides) {
          if (other.base !== null) {
            against.set(other.session, await this.#changes(other.base, side.tree));
          }
        }
        return { session: side.session, changes: new Map<RepoPath, EntryChange>(), against };
      }),
    );
    return contendedPaths(changes, { exclude: this.#isExcluded }).map(({ path, sessions, pairs }) => ({
      path,
      sessions,
      merge: 'unknown',
      pairs: pairs.map(({ a, b }) => ({ a, b, merge: 'unknown', lines: null })),
    }));
  }

  /** Trees are named by their content, so a comparison never goes out of date. */
  async #changes(from: Oid, to: Oid): Promise<ChangeMap> {
    const key = `${from} ${to}`;
    const known = this.#diffs.get(key);
    if (known !== undefined) {
      this.#diffs.delete(key);
      this.#diffs.set(key, known);
      return known;
    }
    const map = new Map<RepoPath, EntryChange>();
    for (const change of await this.#store.diff(from, to)) {
      map.set(change.path, {
        old: change.oldMode === null || change.oldOid === null ? null : { mode: change.oldMode, oid: change.oldOid },
        new: change.newMode === null || change.newOid === null ? null : { mode: change.newMode, oid: change.newOid },
      });
    }
    this.#diffs.set(key, map);
    for (const oldest of this.#diffs.keys()) {
      if (this.#diffs.size <= CACHED_DIFFS) {
        break;
      }
      this.#diffs.delete(oldest);
    }
    return map;
  }

  /** Number of files that differ between two trees. */
  async count(from: Oid, to: Oid): Promise<number> {
    return (await this.#changes(from, to)).size;
  }
}
