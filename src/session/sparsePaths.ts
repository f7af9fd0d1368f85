import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { splitNul } from '../base/bytes';
import { isAbsent, ioError, messageOf } from '../base/errors';
import { parentPath, type RepoPath, repoPathFromBytes } from '../core/repoPath';
import type { Log } from '../base/log';
import type { Git } from '../git/git';

const MAX_INDEX_BYTES = 1024 * 1024 * 1024;
const NOTHING: ReadonlySet<string> = new Set();

/** Which absent paths are left out of a work tree on purpose, at one moment. */
export interface LeftOut {
  has(path: RepoPath): boolean;
}

/**
 * The paths that a sparse checkout leaves out of a work tree: absent, and yet not deleted. Git marks them in that repository's
 * own index, which is copied and never written. A repository without sparse patterns costs one look at a file.
 */
export class SparsePaths {
  readonly #git: Git;
  readonly #log: Log;
  readonly #store: string;
  readonly #gitDir: string;
  #seen: string | undefined;
  #leftOut: LeftOut | undefined;

  /**
   * @param store a git folder of ours that has the objects
   * @param gitDir of the work tree's own repository; may be in the hands of an agent
   */
  constructor(git: Git, log: Log, store: string, gitDir: string) {
    this.#git = git;
    this.#log = log;
    this.#store = store;
    this.#gitDir = gitDir;
  }

  /** @returns undefined when the checkout is a full one */
  async leftOut(): Promise<LeftOut | undefined> {
    if (signatureOf(join(this.#gitDir, 'info', 'sparse-checkout')) === undefined) {
      return undefined;
    }
    const signature = signatureOf(join(this.#gitDir, 'index')) ?? 'none';
    if (signature !== this.#seen) {
      this.#leftOut = await this.#read();
      this.#seen = signature;
    }
    return this.#leftOut;
  }

  async #read(): Promise<LeftOut> {
    const folder = await mkdtemp(join(this.#store, 'sparse-'));
    try {
      const copy = join(folder, 'index');
      if (!copyIndex(join(this.#gitDir, 'index'), copy)) {
        return leftOutOf(NOTHING);
      }
      const { stdout } = await this.#git.run([`--git-dir=${this.#store}`, 'ls-files', '-t', '-z'], {
        env: { GIT_INDEX_FILE: copy },
      });
      const marked = splitNul(stdout)
        // A letter, a space, the path; S is what is left out.
        .filter((record) => record[0] === 0x53)
        .map((record) => repoPathFromBytes(record.subarray(2)))
        .filter((path) => path !== undefined);
      return leftOutOf(new Set(marked));
    } catch (error) {
      // Nobody can say what is left out: a deletion that is not recorded is put right by the next look, files that are taken for deleted are not.
      this.#log.warn(`the sparse checkout at ${this.#gitDir} cannot be read: ${messageOf(error)}`);
      return { has: () => true };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

function leftOutOf(marked: ReadonlySet<string>): LeftOut {
  return { has: (path) => marked.has(path) };
}

function signatureOf(file: string): string | undefined {
  try {
    const stats = lstatSync(file, { bigint: true, throwIfNoEntry: false });
    return stats?.isFile() === true
      ? `${String(stats.ino)} ${String(stats.size)} ${String(stats.mtimeNs)} ${String(stats.ctimeNs)}`
      : undefined;
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw ioError('look at', file, error);
  }
}

/** Follows no link: it would be read as an index whatever it is. */
function copyIndex(from: string, to: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isAbsent(error)) {
      return false;
    }
    throw ioError('read', from, error);
  }
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile() || stats.size > MAX_INDEX_BYTES) {
      return false;
    }
    const bytes = Buffer.allocUnsafe(stats.size);
    writeFileSync(to, bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, 0)), { mode: 0o600 });
    return true;
  } finally {
    closeSync(descriptor);
  }
}

/** Paths that a look at everything need not go through one by one: absent on purpose. */
export function withoutLeftOut(
  paths: readonly RepoPath[],
  leftOut: LeftOut | undefined,
  isAbsentNow: (path: RepoPath) => boolean,
): readonly RepoPath[] {
  if (leftOut === undefined) {
    return paths;
  }
  const goneFolders = new Map<string, boolean>();
  const isInGoneFolder = (path: RepoPath): boolean => {
    const folder = parentPath(path);
    if (folder === '') {
      return false;
    }
    const known = goneFolders.get(folder);
    if (known !== undefined) {
      return known;
    }
    const gone = isInGoneFolder(folder) || isAbsentNow(folder);
    goneFolders.set(folder, gone);
    return gone;
  };
  return paths.filter((path) => !(leftOut.has(path) && (isInGoneFolder(path) || isAbsentNow(path))));
}
