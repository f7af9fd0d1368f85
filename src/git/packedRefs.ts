import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ioError, isAbsent } from '../base/errors';

/** Which refs a repository of ours has in `packed-refs`; the file is read again when it is another one. */
export class PackedRefs {
  readonly #path: string;
  #seen = '';
  #lines = '';

  constructor(gitDir: string) {
    this.#path = join(gitDir, 'packed-refs');
  }

  /** @throws BulkheadError of kind `io` */
  has(ref: string): boolean {
    try {
      // Git replaces the file by a rename, so that it always is another one after a change.
      const stats = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
      const now = stats === undefined ? '' : [stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(' ');
      if (now !== this.#seen) {
        this.#lines = stats === undefined ? '' : readFileSync(this.#path, 'latin1');
        this.#seen = now;
      }
    } catch (error) {
      // Deleted between the two: what it held a moment ago is as good an answer.
      if (!isAbsent(error)) {
        throw ioError('read', this.#path, error);
      }
    }
    return this.#lines.includes(` ${ref}\n`);
  }
}
