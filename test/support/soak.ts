import { chooseSeed } from './seededRandom';

/** Everything is wanted, as in `npm run soak`; `npm test` takes a sample. */
export const isSoak = (process.env['BULKHEAD_SOAK'] ?? '') !== '';

/** How much of something that is done over and over: a sample in `npm test`, far more in `npm run soak`. */
export function sample(small: number, large: number): number {
  return isSoak ? large : small;
}

/** The seed of a test, printed: the same one leads to the same choices. */
export function seed(): number {
  const chosen = chooseSeed();
  console.log(`      seed ${String(chosen)} (set BULKHEAD_SEED to repeat)`);
  return chosen;
}
