import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { KeyedQueue } from '../base/async';
import type { Clock } from '../base/clock';
import { isAbsent } from '../base/errors';
import { baseName, parentPath, type RepoPath } from '../core/repoPath';
import { WorkTree } from './workTree';

const PREFIX = 'convert-';
/** Ours, and the copies of an index that `SparsePaths` reads. */
const LEFTOVER = /^(?:convert|sparse)-/;
const OLD_MS = 86_400_000;
const MAX_ATTRIBUTES = 100 * 1024 * 1024;

/**
 * A private work tree in which git converts what was read from somebody else's: git opens a file by its path, and would follow
 * a link that is swapped in among its parents. Here stand only the bytes of one file, under the same path, and copies of the
 * attributes files above it; all of them were read without following a link.
 */
export class ConversionFolder {
  /** Made when it is first needed. */
  readonly root: string;
  readonly #parent: string;
  readonly #clock: Clock;
  readonly #from: WorkTree;
  readonly #to: WorkTree;
  readonly #queue = new KeyedQueue<'convert'>();
  /** Folders whose attributes file was looked for. */
  readonly #copied = new Set<RepoPath | ''>();
  #isMade = false;

  /** @param parent a folder that only the user may read */
  constructor(parent: string, from: WorkTree, clock: Clock) {
    this.#parent = parent;
    this.#clock = clock;
    this.root = join(parent, `${PREFIX}${String(process.pid)}-${randomBytes(6).toString('hex')}`);
    this.#from = from;
    this.#to = new WorkTree(this.root);
  }

  /** Runs `work` while the file stands in the private work tree; one after the other. */
  holding<T>(path: RepoPath, bytes: Buffer, work: () => Promise<T>): Promise<T> {
    return this.#queue.run('convert', async () => {
      this.#make(path);
      this.#to.writeFile(path, bytes, { executable: false });
      try {
        return await work();
      } finally {
        if (baseName(path) !== '.gitattributes') {
          this.#to.remove(path);
        }
      }
    });
  }

  /** Runs `work` while the attributes that count for the path stand there. */
  withAttributes<T>(path: RepoPath, work: () => Promise<T>): Promise<T> {
    return this.#queue.run('convert', () => {
      this.#make(path);
      return work();
    });
  }

  /** Attributes changed: they are copied anew. `stop` ends whoever works in the folder. */
  forget(stop: () => Promise<void>): Promise<void> {
    return this.#queue.run('convert', async () => {
      await stop();
      if (this.#isMade) {
        rmSync(this.root, { recursive: true, force: true });
        this.#isMade = false;
      }
      this.#copied.clear();
    });
  }

  #make(path: RepoPath): void {
    if (!this.#isMade) {
      sweep(this.#parent, this.#clock.now());
      mkdirSync(this.root, { mode: 0o700 });
      this.#isMade = true;
    }
    if (this.#to.kind(path) === 'folder') {
      // A file stands now where a folder stood.
      rmSync(this.#to.fsPath(path), { recursive: true });
      this.#copied.clear();
    }
    let folder: RepoPath | '' = path;
    while (folder !== '' && !this.#copied.has(parentPath(folder))) {
      folder = parentPath(folder);
      const name = (folder === '' ? '.gitattributes' : `${folder}/.gitattributes`) as RepoPath;
      // Git takes a link for no attributes file.
      const content = this.#from.read(name, MAX_ATTRIBUTES);
      if (content.kind === 'file') {
        this.#to.writeFile(name, content.bytes, { executable: false });
      } else {
        this.#to.remove(name);
      }
      this.#copied.add(folder);
    }
  }
}

/** Left by processes that were killed. */
function sweep(parent: string, now: number): void {
  for (const name of readdirSync(parent).filter((entry) => LEFTOVER.test(entry))) {
    const folder = join(parent, name);
    try {
      // Whoever works there touches it with each file; only the age of the folder itself is looked at.
      if (now - lstatSync(folder).mtimeMs > OLD_MS) {
        rmSync(folder, { recursive: true, force: true });
      }
    } catch (error) {
      if (!isAbsent(error)) {
        throw error;
      }
      // Its owner removed it meanwhile.
    }
  }
}
