import { chooseSeed } from './seededRandom';

/** How much of something that is done over and over: a sample in `npm test`, far more in `npm run soak`. */
export function sample(small: number, large: number): number {
  return (process.env['BULKHEAD_SOAK'] ?? '') === '' ? small : large;
}

/** The seed of a test, printed: the same one leads to the same choices. */
export function seed(): number {
  const chosen = chooseSeed();
  console.log(`      seed ${String(chosen)} (set BULKHEAD_SEED to repeat)`);
  return chosen;
}
