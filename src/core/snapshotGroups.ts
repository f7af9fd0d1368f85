export interface Groupable {
  /** Milliseconds since 1970-01-01 UTC. */
  readonly time: number;
  readonly turn?: string | null;
}

export interface SnapshotGroup<T extends Groupable> {
  /** Newest first, as they came. */
  readonly items: readonly T[];
  /** The earliest and the latest time. */
  readonly from: number;
  readonly to: number;
  /** Set when the group is one turn of an agent. */
  readonly turn: string | null;
}

export const PAUSE_MS = 60_000;

/**
 * Puts neighbours together, newest first. A turn of an agent is one group from its first to its last snapshot, however long it
 * thought, with the saves that fall in between; two turns never share a group. Elsewhere a pause longer than `pauseMs` is the border.
 */
export function groupByPause<T extends Groupable>(items: readonly T[], pauseMs = PAUSE_MS): SnapshotGroup<T>[] {
  const oldestOfTurn = new Map<string, number>();
  items.forEach((item, index) => {
    if (typeof item.turn === 'string') {
      oldestOfTurn.set(item.turn, index);
    }
  });

  const groups: { items: T[]; turn: string | null }[] = [];
  items.forEach((item, index) => {
    const turn = item.turn ?? null;
    const group = groups.at(-1);
    const newer = items[index - 1];
    if (group === undefined || newer === undefined) {
      groups.push({ items: [item], turn });
      return;
    }
    const inTurn =
      group.turn !== null && (turn === group.turn || (turn === null && index < (oldestOfTurn.get(group.turn) ?? 0)));
    // A clock that was set back makes a pause too.
    const inPause = group.turn === null && turn === null && Math.abs(newer.time - item.time) <= pauseMs;
    if (inTurn || inPause) {
      group.items.push(item);
    } else {
      groups.push({ items: [item], turn });
    }
  });
  return groups.map((group) => ({
    items: group.items,
    from: group.items.reduce((time, item) => Math.min(time, item.time), Infinity),
    to: group.items.reduce((time, item) => Math.max(time, item.time), -Infinity),
    turn: group.turn,
  }));
}
