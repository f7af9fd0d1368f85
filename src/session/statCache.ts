import { constants, copyFile, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { splitNul } from '../base/bytes';
import { BulkheadError, errnoOf, isAbsent, ioError, messageOf } from '../base/errors';
import { isOid, type Oid } from '../core/objectId';
import { type RepoPath, repoPathFromBytes, uncheckedRepoPath } from '../core/repoPath';
import type { TreeEdit } from '../core/treeObject';
import { parsePathList } from '../git/workTreeQueries';
import { makeFolder, namesIn, readTextIfThere, writeFileAtomic } from './files';
import type { Host } from './host';
import { livenessOfOwner, ownedName } from './ownedNames';
import { findRulePipe, rulePipe } from './ruleFiles';
import type { SnapshotStore } from './snapshotStore';
import type { WorkTree } from './workTree';

const PREFIX = 'index.';
const HEAD_FILE = 'head';
/** Names the conversion rules that the tree was recorded under. */
const RULES_FILE = 'rules';
const TEMPORARY = '.tmp-';
const OLD_MS = 86_400_000;
const STALLED_MS = 5000;

export interface Candidates {
  /** Paths whose files may differ from the tree, or that are new. */
  readonly paths: readonly RepoPath[];
  /** Paths of the tree that the rules ignore; those that are not tracked leave the snapshot. */
  readonly ignored: readonly RepoPath[];
  /** Untracked names that git itself would refuse. */
  readonly refused: readonly RepoPath[];
}

/**
 * A private git index per work tree that serves as a stat cache: which files may differ from a tree, without reading
 * them. It is never shared between processes: each works on a copy and renames it into place under the name of the tree
 * that it stands for, so that a crash or a rival leaves a whole index of a known tree, or none.
 */
export class StatCache {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #workTree: WorkTree;
  readonly #folder: string;

  constructor(host: Host, store: SnapshotStore, workTree: WorkTree, folder: string) {
    this.#host = host;
    this.#store = store;
    this.#workTree = workTree;
    this.#folder = folder;
  }

  /** Whether nothing was kept yet. */
  async isEmpty(): Promise<boolean> {
    return (await this.#names()).length === 0;
  }

  /**
   * Takes over an index that git wrote for this very work tree (at a clone's birth, or the user's own), for its stat data.
   * @param options.unlikeOurs filters that the index was written with and that do not run here: their files are looked at
   * @param options.isFresh a checkout of that very tree has just written it
   */
  async seed(
    indexFile: string,
    tree: Oid,
    options: { readonly unlikeOurs?: readonly string[]; readonly isFresh?: boolean } = {},
  ): Promise<void> {
    await makeFolder(this.#folder);
    const temporary = await this.#temporary();
    try {
      await copyIndex(indexFile, temporary);
      if (options.isFresh !== true || (await mayHoldMarks(temporary))) {
        // Its own tree may be another one: what differs loses its stat data.
        await this.#git(temporary, ['read-tree', '-i', '-m', tree]);
        await this.#trustNothing(temporary);
      }
      for (const filter of options.unlikeOurs ?? []) {
        const entries = await this.#git(temporary, ['ls-files', '--stage', '-z', '--', `:(attr:filter=${filter})`]);
        await this.#git(temporary, ['update-index', '-z', '--index-info'], entries);
      }
      await rename(temporary, join(this.#folder, `${PREFIX}${tree}`));
      await writeFileAtomic(join(this.#folder, RULES_FILE), `${this.#store.rules.fingerprint}\n`);
    } catch (error) {
      await rm(temporary, { force: true });
      this.#host.log.info(`no stat data taken from ${indexFile}: ${String(error)}`);
    }
  }

  /** Opens a working copy that stands for `tree`. */
  async open(tree: Oid): Promise<OpenStatCache> {
    await makeFolder(this.#folder);
    const temporary = await this.#temporary();
    // Recorded under other rules, a file that did not change can be another blob now: then all are looked at.
    const known = (await this.#isOfTheseRules()) ? await this.#newest(tree) : undefined;
    try {
      if (known !== undefined) {
        await copyIndex(join(this.#folder, known.name), temporary);
      }
      if (known?.tree !== tree) {
        await this.#git(temporary, known === undefined ? ['read-tree', tree] : ['read-tree', '-i', '-m', tree]);
      }
    } catch (error) {
      await rm(temporary, { force: true });
      if (errnoOf(error) !== undefined && !isAbsent(error)) {
        throw ioError('write', temporary, error);
      }
      if (known === undefined || (error instanceof BulkheadError && error.kind === 'io')) {
        // Not a fault of what was kept.
        throw error;
      }
      // A rival removed or damaged it: start without stat data.
      await rm(join(this.#folder, known.name), { force: true });
      return this.open(tree);
    }
    return new OpenStatCache(this.#host, this.#store, this.#workTree, this.#folder, temporary);
  }

  /**
   * "Assume unchanged" and "skip" are the user's promises to her own git; here they would hide changes for ever. What a sparse
   * checkout leaves out is looked up in her own index each time (`SparsePaths`).
   */
  async #trustNothing(index: string): Promise<void> {
    const records = splitNul(await this.#git(index, ['ls-files', '-v', '-z']));
    const marked = (option: string, isMarked: (letter: number) => boolean): Promise<Buffer> | undefined => {
      const paths = records
        // A letter, a space, the path.
        .filter((record) => isMarked(record[0] ?? 0))
        .map((record) => Buffer.concat([record.subarray(2), Buffer.of(0)]));
      return paths.length === 0
        ? undefined
        : this.#git(index, ['update-index', option, '-z', '--stdin'], Buffer.concat(paths));
    };
    await marked('--no-assume-unchanged', (letter) => letter >= 0x61 && letter <= 0x7a);
    await marked('--no-skip-worktree', (letter) => letter === 0x53 || letter === 0x73);
  }

  async #isOfTheseRules(): Promise<boolean> {
    const text = await readTextIfThere(join(this.#folder, RULES_FILE));
    return text?.trim() === this.#store.rules.fingerprint;
  }

  async #temporary(): Promise<string> {
    return join(this.#folder, `${TEMPORARY}${await ownedName('index')}`);
  }

  async #names(): Promise<string[]> {
    try {
      return (await readdir(this.#folder)).filter(
        (name) => name.startsWith(PREFIX) && isOid(name.slice(PREFIX.length)),
      );
    } catch (error) {
      if (isAbsent(error)) {
        return [];
      }
      throw ioError('open', this.#folder, error);
    }
  }

  async #newest(wanted: Oid): Promise<{ readonly name: string; readonly tree: Oid } | undefined> {
    const known = await this.#names();
    const name = known.find((candidate) => candidate === `${PREFIX}${wanted}`) ?? known[0];
    return name === undefined ? undefined : { name, tree: name.slice(PREFIX.length) };
  }

  async #git(index: string, args: readonly string[], input?: Buffer): Promise<Buffer> {
    const result = await this.#host.git.run([...siteOf(this.#store, this.#workTree), ...args], {
      cwd: this.#workTree.root,
      env: { GIT_INDEX_FILE: index },
      ...(input === undefined ? {} : { input }),
    });
    return result.stdout;
  }
}

/** The disk of the work tree decides whether names that differ in case are one: a configuration may come from another machine. */
function siteOf(store: SnapshotStore, workTree: WorkTree): string[] {
  return [
    '-c',
    `core.ignoreCase=${String(workTree.ignoresCase() ?? false)}`,
    `--git-dir=${store.gitDir}`,
    `--work-tree=${workTree.root}`,
  ];
}

/**
 * Copies an index together with its time: git looks into every file that is as new as its index or newer (a write in the
 * same tick leaves the stat data as they were), and a later time would hide such a write for ever.
 */
async function copyIndex(from: string, to: string): Promise<void> {
  // Taken before the copy, and rounded down: too old a time costs a look, too new a one a change.
  const { mtimeMs } = await stat(from);
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  const seconds = (Math.floor(mtimeMs) - 1) / 1000;
  await utimes(to, seconds, seconds);
}

/** Whether git can have marked what a sparse checkout leaves out: version 2 of the index has no place for it (gitformat-index). */
async function mayHoldMarks(index: string): Promise<boolean> {
  const file = await open(index);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8);
    return bytesRead < 8 || buffer.toString('latin1', 0, 4) !== 'DIRC' || buffer.readUInt32BE(4) !== 2;
  } finally {
    await file.close();
  }
}

/** Removes the working copies of stat caches that killed processes have left, and git's lock files of them. */
export async function sweepWorkingCopies(host: Host, folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (!name.startsWith(TEMPORARY)) {
      continue;
    }
    const path = join(folder, name);
    const owner = await livenessOfOwner(name.slice(TEMPORARY.length).replace(/\.lock$/, ''));
    if (owner === 'dead' || (owner === 'unknown' && (await isOld(path, host.clock.now())))) {
      await rm(path, { force: true });
    }
  }
}

/** By the time of the last change of its entry: the time of its content is set by hand. */
async function isOld(file: string, now: number): Promise<boolean> {
  const { ctimeMs } = await stat(file);
  return now - ctimeMs > OLD_MS;
}

/** A working copy of the index, owned by one look at the work tree. */
export class OpenStatCache {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #workTree: WorkTree;
  readonly #folder: string;
  readonly #file: string;

  constructor(host: Host, store: SnapshotStore, workTree: WorkTree, folder: string, file: string) {
    this.#host = host;
    this.#store = store;
    this.#workTree = workTree;
    this.#folder = folder;
    this.#file = file;
  }

  /** Walks the work tree with git: files whose stat data differ, untracked files, and captured files that are ignored by now. */
  async candidates(signal?: AbortSignal): Promise<Candidates> {
    const [changed, untracked, ignored] = await this.#unlessStalled(signal, (either) =>
      Promise.all([
        // `dirty` keeps git from starting a `git status` inside nested repositories, where somebody else's configuration counts.
        this.#git(['diff-files', '-z', '--name-only', '--no-renames', '--ignore-submodules=dirty'], either),
        this.#git(['ls-files', '-z', '--others', '--exclude-standard'], either),
        this.#git(['ls-files', '-z', '--cached', '--ignored', '--exclude-standard'], either),
      ]),
    );
    const found = untrackedPaths(untracked);
    return {
      paths: [...parsePathList(changed), ...found.allowed],
      ignored: parsePathList(ignored),
      refused: found.refused,
    };
  }

  /** A walk that takes long may have met a pipe in the place of a rule file; then it is ended and says so. */
  async #unlessStalled<T>(signal: AbortSignal | undefined, work: (either: AbortSignal) => Promise<T>): Promise<T> {
    const stalled = new AbortController();
    let pipe: RepoPath | undefined;
    const timer = this.#host.clock.schedule(STALLED_MS, () => {
      findRulePipe(this.#workTree).then(
        (path) => {
          if (path !== undefined) {
            pipe = path;
            stalled.abort();
          }
        },
        (error: unknown) => {
          this.#host.log.warn(`the slow look at ${this.#workTree.root} is not explained: ${messageOf(error)}`);
        },
      );
    });
    try {
      return await work(signal === undefined ? stalled.signal : AbortSignal.any([signal, stalled.signal]));
    } catch (error) {
      throw pipe === undefined ? error : rulePipe(pipe);
    } finally {
      timer.dispose();
    }
  }

  /** The tree of HEAD when everything was looked at last; undefined when nobody knows. */
  async lastHead(): Promise<Oid | null | undefined> {
    const text = (await readTextIfThere(join(this.#folder, HEAD_FILE)))?.trim();
    return text === '' ? null : text !== undefined && isOid(text) ? text : undefined;
  }

  /** Brings the index to the tree that the edits lead to, and keeps it for the next time. A fault costs time later, and no snapshot now. */
  async keep(tree: Oid, edits: ReadonlyMap<RepoPath, TreeEdit>, head: Oid | null): Promise<void> {
    try {
      await this.#keep(tree, edits);
      // After the index: cut off in between, the next look compares more than it has to.
      await writeFileAtomic(join(this.#folder, HEAD_FILE), `${head ?? ''}\n`);
      await writeFileAtomic(join(this.#folder, RULES_FILE), `${this.#store.rules.fingerprint}\n`);
    } catch (error) {
      this.#host.log.info(`no stat data kept in ${this.#folder}: ${messageOf(error)}`);
    }
  }

  async #keep(tree: Oid, edits: ReadonlyMap<RepoPath, TreeEdit>): Promise<void> {
    if (edits.size > 0) {
      await this.#git(['read-tree', '-i', '-m', tree]);
      // Exit code 1 says that some files still differ.
      await this.#git(['update-index', '-q', '--refresh'], undefined, [0, 1]);
    }
    await rename(this.#file, join(this.#folder, `${PREFIX}${tree}`));
    for (const name of await readdir(this.#folder)) {
      if (name.startsWith(PREFIX) && name !== `${PREFIX}${tree}`) {
        await rm(join(this.#folder, name), { force: true });
      }
    }
    await sweepWorkingCopies(this.#host, this.#folder);
  }

  async discard(): Promise<void> {
    await rm(this.#file, { force: true });
  }

  async #git(args: readonly string[], signal?: AbortSignal, expect: readonly number[] = [0]): Promise<Buffer> {
    const result = await this.#host.git.run([...siteOf(this.#store, this.#workTree), ...args], {
      cwd: this.#workTree.root,
      env: { GIT_INDEX_FILE: this.#file },
      signal,
      expect,
    });
    return result.stdout;
  }
}

/** Nested repositories come with a slash at the end. */
function untrackedPaths(bytes: Buffer): {
  readonly allowed: readonly RepoPath[];
  readonly refused: readonly RepoPath[];
} {
  const allowed: RepoPath[] = [];
  const refused: RepoPath[] = [];
  for (const part of splitNul(bytes)) {
    const name = part.at(-1) === 0x2f ? part.subarray(0, -1) : part;
    const path = repoPathFromBytes(name);
    if (path === undefined) {
      refused.push(uncheckedRepoPath(name.toString('latin1')));
    } else {
      allowed.push(path);
    }
  }
  return { allowed, refused };
}
