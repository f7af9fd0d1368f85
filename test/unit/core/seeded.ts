import { chooseSeed } from '../../support/seededRandom';
import { sample } from '../../support/soak';

/** A small repeatable generator (mulberry32), so that a failing property can be run again from its seed. */
export function seeded(seed: number): {
  fraction(): number;
  below(limit: number): number;
  pick<T>(items: readonly T[]): T;
} {
  let state = seed >>> 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(fraction() * limit);
  return { fraction, below, pick: (items) => items[below(items.length)]! };
}

/** Runs a property with many seeds; a failure names the one to repeat. */
export function forSeeds(count: number, property: (seed: number) => void): void {
  const first = chooseSeed();
  for (let i = 0; i < sample(count, 20 * count); i++) {
    try {
      property(first + i);
    } catch (error) {
      throw new Error(`failed with BULKHEAD_SEED=${first + i}: ${String(error)}`, { cause: error });
    }
  }
}
