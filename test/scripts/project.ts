// Where things are, for scripts that Node runs directly and for tests bundled into out/.
import fs from 'node:fs';
import path from 'node:path';

export { acquireProcessLock, cacheFolder } from './processLock.mjs';

export const root = findRoot();

function findRoot(): string {
  for (let folder = import.meta.dirname; ; folder = path.dirname(folder)) {
    const file = path.join(folder, 'package.json');
    if (fs.existsSync(file)) {
      const { name } = JSON.parse(fs.readFileSync(file, 'utf8')) as { name?: unknown };
      if (name === 'bulkhead') return folder;
    }
    if (folder === path.dirname(folder)) throw new Error('The root of the project was not found.');
  }
}

export function inRoot(...parts: string[]): string {
  return path.join(root, ...parts);
}

/** What a person typed, relative to where they stood when they called npm. */
export function fromCaller(argument: string): string {
  return path.resolve(process.env['BULKHEAD_CALLED_FROM'] ?? process.cwd(), argument);
}
