import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';

/** Two ends of each of three pipes, and two for the launch itself. */
const FOR_A_CHILD = 10;

/**
 * Makes sure that a child can be given its pipes. Node (tried with 24.21) never closes the pipes that it has made when it
 * runs out of descriptors in the middle of a launch, so that running short once would leave ever fewer.
 * @throws Error with the code `EMFILE` or `ENFILE`
 */
export function requireDescriptors(): void {
  if (process.platform === 'win32') {
    return;
  }
  const taken: number[] = [];
  try {
    while (taken.length < FOR_A_CHILD) {
      taken.push(openSync(devNull, 'r'));
    }
  } finally {
    for (const descriptor of taken) {
      closeSync(descriptor);
    }
  }
}
