import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { BulkheadError, ioError, isAbsent } from '../base/errors';
import { parseCommit, type ParsedCommit } from '../core/commitObject';
import { emptyTreeOid, type ObjectFormat, type Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import { diffTrees, type TreeChange } from '../core/treeDiff';
import type { TreeEntry } from '../core/treeObject';
import { CatFile, type GitObject } from '../git/catFile';
import { hasReftable } from '../git/headFile';
import { LooseObjects } from '../git/looseObjects';
import { LooseRefs } from '../git/looseRefs';
import { PackedRefs } from '../git/packedRefs';
import { type RefMove, type RefUpdateResult, UpdateRef } from '../git/updateRef';
import type { Host } from './host';
import type { LeftRefLocks } from './leftRefLocks';
import type { ConversionRules } from './storeConfiguration';
import { TreeIndex } from './treeIndex';

const TREE_CACHE_BYTES = 24 * 1024 * 1024;

/** The bare repository that holds all shadow refs of one storage, with the processes and caches on top of it. */
export class SnapshotStore {
  readonly gitDir: string;
  readonly format: ObjectFormat;
  readonly rules: ConversionRules;
  readonly objects: LooseObjects;
  readonly reader: CatFile;
  readonly #host: Host;
  readonly #trees = new Map<Oid, Buffer>();
  readonly #index: TreeIndex;
  readonly #packedRefs: PackedRefs;
  readonly #looseRefs: LooseRefs;
  #treeBytes = 0;
  readonly #leftLocks: LeftRefLocks;
  readonly #updaters = new Map<string, UpdateRef>();

  constructor(host: Host, gitDir: string, format: ObjectFormat, rules: ConversionRules, leftLocks: LeftRefLocks) {
    this.#leftLocks = leftLocks;
    this.#host = host;
    this.gitDir = gitDir;
    this.format = format;
    this.rules = rules;
    this.objects = new LooseObjects({
      objectsFolder: join(gitDir, 'objects'),
      format,
      fsync: host.settings.fsync,
      clock: host.clock,
    });
    this.#index = new TreeIndex(format);
    this.reader = new CatFile(host.git, gitDir);
    this.#packedRefs = new PackedRefs(gitDir);
    this.#looseRefs = new LooseRefs({ gitDir, fsync: host.settings.fsync, clock: host.clock, log: host.log });
    const empty = Buffer.alloc(0);
    this.#trees.set(emptyTreeOid(format), empty);
  }

  /** Raw bytes of a tree, from the cache where possible. */
  async tree(oid: Oid): Promise<Buffer> {
    const cached = this.#trees.get(oid);
    if (cached !== undefined) {
      // Back to the young end.
      this.#trees.delete(oid);
      this.#trees.set(oid, cached);
      return cached;
    }
    const object = await this.#read(oid);
    if (object.type === 'tree') {
      this.remember(oid, object.body);
      return object.body;
    }
    throw new BulkheadError('damaged', 'not-a-tree', `The object ${oid} is a ${object.type}, not a tree.`, {
      data: { oid },
    });
  }

  /** Puts a tree that was just written into the cache. */
  remember(oid: Oid, raw: Buffer): void {
    if (this.#trees.has(oid)) {
      return;
    }
    this.#trees.set(oid, raw);
    this.#treeBytes += raw.length;
    for (const [old, bytes] of this.#trees) {
      if (this.#treeBytes <= TREE_CACHE_BYTES) {
        break;
      }
      if (bytes.length > 0) {
        this.#trees.delete(old);
        this.#treeBytes -= bytes.length;
      }
    }
  }

  /**
   * What a ref leads to. In process where ref and object have files of their own: the time between this look and the move that
   * follows it is the time in which a rival can be faster, and on a busy machine each question to git makes it much longer.
   * @throws BulkheadError `object-missing`, `ref-damaged`, `object-corrupt`
   */
  async tip(ref: string): Promise<GitObject | undefined> {
    if (this.#isAbsent(ref)) {
      return undefined;
    }
    const oid = this.#looseRefs.read(ref);
    const small = oid === undefined ? undefined : this.objects.readSmall(oid);
    return oid === undefined || small === undefined ? this.reader.read(ref) : { oid, ...small };
  }

  /** Damage that is met anywhere makes the writer look twice at what is there already. */
  async #read(oid: Oid): Promise<GitObject> {
    const small = this.objects.readSmall(oid);
    if (small !== undefined) {
      return { oid, ...small };
    }
    let object: GitObject | undefined;
    try {
      object = await this.reader.read(oid);
    } catch (error) {
      if (isDamage(error)) {
        this.objects.distrust();
      }
      throw error;
    }
    if (object === undefined) {
      this.objects.distrust();
      throw missingObject(oid);
    }
    return object;
  }

  /** @throws BulkheadError `object-missing`, `object-corrupt`, `not-a-commit` */
  async commit(oid: Oid): Promise<ParsedCommit> {
    return this.parseCommit(await this.#read(oid));
  }

  /** @throws BulkheadError `not-a-commit` */
  parseCommit({ oid, type, body }: GitObject): ParsedCommit {
    if (type !== 'commit') {
      throw new BulkheadError('damaged', 'not-a-commit', `The object ${oid} is a ${type}, not a commit.`, {
        data: { oid },
      });
    }
    return parseCommit(body);
  }

  async blob(oid: Oid): Promise<Buffer> {
    const object = await this.#read(oid);
    if (object.type !== 'blob') {
      throw new BulkheadError('damaged', 'not-a-blob', `The object ${oid} is a ${object.type}, not a file's content.`, {
        data: { oid },
      });
    }
    return object.body;
  }

  /** What differs between two trees, read through the cache; null is a tree without entries. With `paths` only those and what is below them. */
  diff(from: Oid | null, to: Oid | null, paths?: readonly RepoPath[]): Promise<TreeChange[]> {
    return diffTrees((oid) => this.tree(oid), this.format, from, to, paths === undefined ? {} : { paths });
  }

  /** Finds a path in a tree; undefined when it is not there. */
  async entry(tree: Oid, path: RepoPath): Promise<TreeEntry | undefined> {
    let oid = tree;
    const names = path.split('/');
    for (const [index, name] of names.entries()) {
      const found = this.#index.find(oid, await this.tree(oid), name);
      if (found === undefined || index === names.length - 1) {
        return found;
      }
      if (found.mode !== '40000') {
        return undefined;
      }
      oid = found.oid;
    }
    return undefined;
  }

  async ref(name: string): Promise<Oid | null> {
    return (await this.tip(name))?.oid ?? null;
  }

  /** Whether a ref is there, sound or damaged; asks git only where refs lie in tables: every save asks for a claim. */
  async hasRef(name: string): Promise<boolean> {
    return hasReftable(this.gitDir) ? (await this.reader.info(name)) !== undefined : !this.#isAbsent(name);
  }

  /** False does not say that it is there: of refs in tables only git knows. */
  #isAbsent(ref: string): boolean {
    // In this order: git packs a ref before it deletes its file.
    return !hasReftable(this.gitDir) && !isThere(join(this.gitDir, ref)) && !this.#packedRefs.has(ref);
  }

  /**
   * Moves refs, all or none, each by compare-and-swap.
   * @param owner whose refs they are: a session's id, or a name; each owner for whom git moves refs has a process of its own,
   * because a failed transaction ends the process
   */
  async move(owner: string, moves: readonly RefMove[]): Promise<RefUpdateResult> {
    await this.#leftLocks.enter();
    const inPlace = await this.#looseRefs.move(moves);
    if (inPlace !== undefined) {
      return inPlace;
    }
    const updater = this.#updater(owner);
    const transaction = (): Promise<RefUpdateResult> => this.#leftLocks.during(() => updater.move(moves));
    let result = await transaction();
    // A git that was killed leaves one lock file for each ref of its transaction.
    for (
      let left = moves.length;
      left > 0 && result.kind === 'locked' && (await this.#leftLocks.remove(result.lockFile));
      left--
    ) {
      result = await transaction();
    }
    return result;
  }

  /** Removes the lock files of refs that killed gits have left. */
  sweepLocks(): Promise<void> {
    return this.#leftLocks.sweep(this.gitDir);
  }

  /** Tells that git is about to move refs of this owner: its start would be time in which a rival can be faster. */
  prepareMove(owner: string): void {
    this.#updater(owner).warm();
  }

  #updater(owner: string): UpdateRef {
    let updater = this.#updaters.get(owner);
    if (updater === undefined) {
      updater = new UpdateRef(this.#host.git, this.gitDir, this.format, this.reader);
      this.#updaters.set(owner, updater);
    }
    return updater;
  }

  get pids(): readonly number[] {
    return [...this.reader.pids, ...[...this.#updaters.values()].flatMap((updater) => updater.pids)];
  }

  async stop(): Promise<void> {
    await Promise.all([
      this.reader.stop(),
      this.objects.stop(),
      this.#looseRefs.stop(),
      ...[...this.#updaters.values()].map((updater) => updater.stop()),
    ]);
    await this.#leftLocks.leave();
  }
}

/** @throws BulkheadError of kind `io`: what cannot be looked at may well be there */
function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (isAbsent(error)) {
      return false;
    }
    throw ioError('look at', path, error);
  }
}

/** What a person is told of git's own lock file in the way; nothing was written then. */
export function refLocked({ lockFile, ageMs }: Extract<RefUpdateResult, { readonly kind: 'locked' }>): BulkheadError {
  return new BulkheadError(
    'busy',
    'ref-locked',
    `Git's lock file ${lockFile} has been there for ${String(Math.round(ageMs / 1000))} s. If no git is running in the snapshot store, remove it and try again. Your files are as they were.`,
    { data: { lockFile, ageMs } },
  );
}

function missingObject(oid: Oid): BulkheadError {
  return new BulkheadError(
    'damaged',
    'object-missing',
    `The snapshot store misses the object ${oid}. "bulkhead doctor" tells what that means.`,
    { data: { oid } },
  );
}

/** Whether an error says that our own data cannot be read. */
export function isDamage(error: unknown): error is BulkheadError {
  return error instanceof BulkheadError && error.kind === 'damaged';
}
