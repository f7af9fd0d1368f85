import { createHash } from 'node:crypto';

/** A short, stable name of a storage folder that fits a URI's authority. */
export function storageKey(storageOrRoot: string): string {
  return createHash('sha256').update(storageOrRoot).digest('hex').slice(0, 16);
}
