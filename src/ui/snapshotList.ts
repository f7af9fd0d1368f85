import { groupByPause } from '../core/snapshotGroups';
import type { Oid } from '../core/objectId';
import type { Snapshot } from '../session/api';

export const PAGE_SIZE = 100;

/** What a session's row shows below it: snapshots standing alone, and groups of them. */
export type SnapshotEntry =
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
  | {
      readonly kind: 'group';
      readonly id: Oid;
      readonly snapshots: readonly Snapshot[];
      readonly from: number;
      readonly to: number;
    };

/**
 * The part of a session's history that was loaded, newest first. It grows at both ends: new snapshots on top, older
 * pages below. A group keeps its id through both, so that its row keeps its state.
 */
export class SnapshotList {
  #snapshots: readonly Snapshot[] = [];
  #more = false;
  #groupOf = new Map<Oid, Oid>();

  get snapshots(): readonly Snapshot[] {
    return this.#snapshots;
  }

  /** True when older snapshots may follow. */
  get more(): boolean {
    return this.#more;
  }

  get oldest(): Oid | undefined {
    return this.#snapshots.at(-1)?.oid;
  }

  /** Takes the newest page: what is new goes on top; when the page does not reach what is known, it replaces it. */
  takeNewest(page: readonly Snapshot[]): void {
    const known = this.#snapshots[0]?.oid;
    const meets = page.findIndex((snapshot) => snapshot.oid === known);
    if (known !== undefined && meets !== -1) {
      this.#snapshots = [...page.slice(0, meets), ...this.#snapshots];
    } else {
      this.#snapshots = page;
      this.#more = endsEarly(page);
    }
  }

  takeOlder(page: readonly Snapshot[]): void {
    this.#snapshots = [...this.#snapshots, ...page];
    this.#more = endsEarly(page);
  }

  entries(): readonly SnapshotEntry[] {
    const groups = groupByPause(this.#snapshots);
    const taken = new Set<Oid>();
    const groupOf = new Map<Oid, Oid>();
    const entries = groups.flatMap((group): readonly SnapshotEntry[] => {
      const id = this.#idOf(group.items, taken);
      taken.add(id);
      for (const snapshot of group.items) {
        groupOf.set(snapshot.oid, id);
      }
      if (groups.length === 1 || group.items.length === 1) {
        return group.items.map((snapshot) => ({ kind: 'snapshot', snapshot }));
      }
      return [{ kind: 'group', id, snapshots: group.items, from: group.from, to: group.to }];
    });
    this.#groupOf = groupOf;
    return entries;
  }

  /** The id that one of its snapshots had before, else the oldest snapshot's. */
  #idOf(items: readonly Snapshot[], taken: ReadonlySet<Oid>): Oid {
    for (const item of items) {
      const before = this.#groupOf.get(item.oid);
      if (before !== undefined && !taken.has(before)) {
        return before;
      }
    }
    return items.at(-1)?.oid ?? '';
  }
}

function endsEarly(page: readonly Snapshot[]): boolean {
  return page.length >= PAGE_SIZE && page.at(-1)?.previous !== null;
}
