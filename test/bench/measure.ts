// Times and memory, and what is said about them.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** The times of one contender in one row. */
export class Samples {
  readonly #ms: number[] = [];

  add(ms: number): void {
    this.#ms.push(ms);
  }

  get count(): number {
    return this.#ms.length;
  }

  get p50(): number {
    return this.quantile(0.5);
  }

  get p95(): number {
    return this.quantile(0.95);
  }

  /** Between the two nearest when it falls between. */
  quantile(share: number): number {
    const sorted = [...this.#ms].sort((a, b) => a - b);
    const at = (sorted.length - 1) * share;
    const below = sorted[Math.floor(at)];
    const above = sorted[Math.ceil(at)];
    if (below === undefined || above === undefined) throw new RangeError('Nothing was measured');
    return below + (above - below) * (at - Math.floor(at));
  }
}

/** Bytes that this process holds in objects and buffers, garbage not counted. */
export function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => unknown): Promise<number> {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

/** The same list, begun at another place each round, so that nobody always goes first. */
export function rotated<T>(list: readonly T[], by: number): T[] {
  return list.map((_, index) => list[(index + by) % list.length]!);
}

/**
 * Between two saves of a person, or of an agent, lies more than this, in milliseconds. Everybody gets it: what one does after a save
 * is over before the next one is measured, whoever's that is.
 */
const BETWEEN_SAVES_MS = 60;

export async function pauseBetweenSaves(): Promise<void> {
  await new Promise((resolve) => {
    setTimeout(resolve, BETWEEN_SAVES_MS);
  });
}
