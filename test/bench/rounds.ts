// Contenders of one row, measured in turns.
import { rotated, Samples, timed } from './measure';
import type { World } from './world';

type Work = readonly [who: string, work: (round: number) => unknown];

/** Runs each contender once per round, in turns; the first round does not count when `warm` is set. */
export async function rounds(
  world: World,
  row: string,
  contenders: readonly Work[],
  options: { readonly count: number; readonly warm: boolean; readonly before?: () => Promise<void> | void },
): Promise<Map<string, Samples>> {
  const samples = new Map(contenders.map(([who]) => [who, new Samples()]));
  for (let round = options.warm ? 0 : 1; round <= options.count; round++) {
    world.bench.say(`${row}, round ${round} of ${options.count}`);
    await options.before?.();
    for (const [who, work] of rotated(contenders, round)) {
      const ms = await timed(() => work(round));
      if (round > 0) samples.get(who)!.add(ms);
    }
  }
  return samples;
}
