// `npm test`: everything. The last line counts what the runners counted.
import { main, testSteps } from './steps.ts';

await main(testSteps);
