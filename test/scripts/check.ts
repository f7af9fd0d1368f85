// `npm run check`: what to run before every commit, in half a minute.
import { checkSteps, main } from './steps.ts';

await main(checkSteps);
