import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { BulkheadError, errnoOf, ioError } from '../base/errors';
import { emptyTreeOid, type ObjectFormat, type Oid } from '../core/objectId';
import { parseCommit, type ParsedCommit } from '../core/commitObject';
import type { RepoPath } from '../core/repoPath';
import { diffTrees, type TreeChange } from '../core/treeDiff';
import type { TreeEntry } from '../core/treeObject';
import { CatFile, type GitObject } from '../git/catFile';
import { formatConfig, type ConfigSection } from '../git/configFile';
import { LooseObjects } from '../git/looseObjects';
import { cloneRepository } from '../git/porcelain';
import { defaultConfigFile, expandPath, lastValue, parseBoolean } from '../git/repositoryConfig';
import { type RefMove, type RefUpdateResult, UpdateRef } from '../git/updateRef';
import { exists, makeFolder, readTextIfThere, writeFileAtomic } from './files';
import { allowedFilters } from './filters';
import type { Host } from './host';
import { LeftRefLocks } from './leftRefLocks';
import { ownedName } from './ownedNames';
import type { Storage } from './storage';
import { TreeIndex } from './treeIndex';
import type { UserRepository } from './userRepository';

const TREE_CACHE_BYTES = 24 * 1024 * 1024;

/** The settings of the user's repository that decide what is recorded and written; everything else of her configuration stays out. */
const CARRIED_CORE = ['autocrlf', 'eol', 'filemode', 'symlinks', 'precomposeunicode', 'longpaths'];

/** How content is converted between work tree and blob, as far as it matters for deciding who does it. */
export interface ConversionRules {
  /** `core.autocrlf` is `true` or `input`. */
  readonly autocrlf: 'true' | 'input' | 'false';
  /** There are attributes outside the work tree. */
  readonly outsideAttributes: boolean;
  /** The user's own files of rules for all her repositories. */
  readonly attributesFile: string | null;
  readonly excludesFile: string | null;
  /** `core.eol` asks for CRLF in text files. */
  readonly eolCrlf: boolean;
  readonly filters: ReadonlySet<string>;
  readonly fileMode: boolean;
  readonly symlinks: boolean;
  /** Whether the disk does not tell capital letters apart, as the configuration has it; the disk itself knows better. */
  readonly ignoreCase: boolean;
  /** Names all of it: two stores with the same one record the same bytes as the same blob. */
  readonly fingerprint: string;
}

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
  #treeBytes = 0;
  readonly #leftLocks: LeftRefLocks;
  readonly #updaters = new Map<string, UpdateRef>();

  constructor(host: Host, gitDir: string, format: ObjectFormat, rules: ConversionRules, leftLocks: LeftRefLocks) {
    this.#leftLocks = leftLocks;
    this.#host = host;
    this.gitDir = gitDir;
    this.format = format;
    this.rules = rules;
    this.objects = new LooseObjects({ objectsFolder: join(gitDir, 'objects'), format, fsync: host.settings.fsync });
    this.#index = new TreeIndex(format);
    this.reader = new CatFile(host.git, gitDir);
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

  /** Damage that is met anywhere makes the writer look twice at what is there already. */
  async #read(oid: Oid): Promise<GitObject> {
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
    return (await this.reader.read(name))?.oid ?? null;
  }

  /** Whether a ref is there, sound or damaged. Cheap when it is not, which is what a save expects of a claim. */
  async hasRef(name: string): Promise<boolean> {
    return existsSync(join(this.gitDir, name)) || (await this.reader.info(name)) !== undefined;
  }

  /**
   * Moves refs, all or none, each by compare-and-swap.
   * @param owner one writer's name; each owner has a process of its own, because a failed transaction ends the process
   */
  async move(owner: string, moves: readonly RefMove[]): Promise<RefUpdateResult> {
    await this.#leftLocks.enter();
    const updater = this.#updater(owner);
    let result = await updater.move(moves);
    // A git that was killed leaves one lock file for each ref of its transaction.
    for (
      let left = moves.length;
      left > 0 && result.kind === 'locked' && (await this.#leftLocks.remove(result.lockFile));
      left--
    ) {
      result = await updater.move(moves);
    }
    return result;
  }

  /** Removes the lock files of refs that killed gits have left. */
  sweepLocks(): Promise<void> {
    return this.#leftLocks.sweep(this.gitDir);
  }

  /** Tells that a move by this owner is about to come. */
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
    await Promise.all([this.reader.stop(), ...[...this.#updaters.values()].map((updater) => updater.stop())]);
    await this.#leftLocks.leave();
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

/** Opens the store of a storage; makes it from the user's repository when it is not there yet. */
export async function openSnapshotStore(
  host: Host,
  storage: Storage,
  repository: UserRepository,
): Promise<SnapshotStore> {
  if (!(await exists(storage.store))) {
    await makeStore(host, storage, repository);
  }
  const rules = await writeConfiguration(host, storage.store, repository);
  return new SnapshotStore(host, storage.store, repository.format, rules, new LeftRefLocks(host, storage.locks));
}

/** Neither a clone nor its source ever writes an object in place, so hard links between them are safe. */
async function makeStore(host: Host, storage: Storage, repository: UserRepository): Promise<void> {
  const temporary = join(storage.root, 'creating', await ownedName('store'));
  await makeFolder(join(storage.root, 'creating'));
  try {
    await cloneRepository(
      host.git,
      {
        source: repository.commonDir,
        target: temporary,
        bare: true,
        copyObjects: false,
        extra: ['--no-tags', '--dissociate'],
      },
      { cwd: storage.root },
    );
    await dropRefs(host, temporary);
    await rename(temporary, storage.store);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    const lostRace = errnoOf(error) === 'ENOTEMPTY' || errnoOf(error) === 'EEXIST' || errnoOf(error) === 'EPERM';
    if (lostRace && (await exists(join(storage.store, 'HEAD')))) {
      return;
    }
    throw errnoOf(error) === undefined ? error : ioError('make the snapshot store in', storage.root, error);
  }
}

/** The user's branches are hers; the store keeps alive only what sessions started from. */
async function dropRefs(host: Host, gitDir: string): Promise<void> {
  const refs = await host.git.text([`--git-dir=${gitDir}`, 'for-each-ref', '--format=delete %(refname)']);
  if (refs !== '') {
    await host.git.run([`--git-dir=${gitDir}`, 'update-ref', '--no-deref', '--stdin'], { input: `${refs}\n` });
  }
}

interface StoreConfiguration {
  /** Path below the store, and what has to stand there. */
  readonly files: readonly (readonly [string, string])[];
  readonly rules: ConversionRules;
}

/** Rewrites the store's configuration from the user's effective one: safe values, and what decides how content is recorded. */
async function writeConfiguration(host: Host, gitDir: string, repository: UserRepository): Promise<ConversionRules> {
  const { files, rules } = await configurationFor(host, repository);
  await makeFolder(join(gitDir, 'info'));
  for (const [path, text] of files) {
    await writeIfChanged(join(gitDir, path), text);
  }
  return rules;
}

/** Opens a store as it is, and writes nothing; for a look at one that may be damaged. `stale`: files that an ordinary opening would rewrite. */
export async function inspectSnapshotStore(
  host: Host,
  storage: Storage,
  repository: UserRepository,
): Promise<{ readonly store: SnapshotStore; readonly stale: readonly string[] }> {
  const gitDir = storage.store;
  const { files, rules } = await configurationFor(host, repository);
  const stale: string[] = [];
  for (const [path, text] of files) {
    if ((await readTextIfThere(join(gitDir, path))) !== text) {
      stale.push(path);
    }
  }
  const leftLocks = new LeftRefLocks(host, storage.locks);
  return { store: new SnapshotStore(host, gitDir, repository.format, rules, leftLocks), stale };
}

async function configurationFor(host: Host, repository: UserRepository): Promise<StoreConfiguration> {
  const { config } = repository;
  const core: (readonly [string, string])[] = [
    ['repositoryformatversion', repository.format === 'sha1' ? '0' : '1'],
    ['bare', 'true'],
    ['logallrefupdates', 'false'],
    // Names that look like .git elsewhere are refused everywhere: a snapshot may travel to another machine.
    ['protectHFS', 'true'],
    ['protectNTFS', 'true'],
    ['hooksPath', '/dev/null'],
    ['fsmonitor', 'false'],
    ['untrackedCache', 'false'],
  ];
  for (const key of CARRIED_CORE) {
    const value = lastValue(config, `core.${key}`);
    if (value !== undefined) {
      core.push([key, value]);
    }
  }
  const excludesFile = await firstReadable([
    lastValue(config, 'core.excludesfile'),
    defaultConfigFile(host.environment, 'ignore'),
  ]);
  const attributesFile = await firstReadable([
    lastValue(config, 'core.attributesfile'),
    defaultConfigFile(host.environment, 'attributes'),
  ]);
  if (excludesFile !== undefined) {
    core.push(['excludesFile', excludesFile]);
  }
  if (attributesFile !== undefined) {
    core.push(['attributesFile', attributesFile]);
  }
  const filters: ConfigSection[] = allowedFilters(config, host.settings.allowedFilters).map(({ name, entries }) => ({
    section: 'filter',
    subsection: name,
    entries,
  }));
  const sections: ConfigSection[] = [
    { section: 'core', entries: core },
    ...(repository.format === 'sha256'
      ? [{ section: 'extensions', entries: [['objectFormat', 'sha256'] as const] }]
      : []),
    { section: 'gc', entries: [['auto', '0']] },
    // Half the size: the stat caches are the largest thing beside a clone.
    { section: 'index', entries: [['version', '4']] },
    { section: 'maintenance', entries: [['auto', 'false']] },
    { section: 'receive', entries: [['denyNonFastForwards', 'false']] },
    {
      section: 'uploadpack',
      entries: [
        ['allowAnySHA1InWant', 'true'],
        ['hideRefs', 'refs/bulkhead/records'],
      ],
    },
    ...filters,
  ];
  const attributes = await readTextIfThere(join(repository.commonDir, 'info', 'attributes'));
  const exclude = (await readTextIfThere(join(repository.commonDir, 'info', 'exclude'))) ?? '';
  const boolean = (key: string, fallback: boolean): boolean =>
    parseBoolean(lastValue(config, `core.${key}`)) ?? fallback;
  const autocrlf = lastValue(config, 'core.autocrlf') ?? 'false';
  const rules: ConversionRules = {
    autocrlf: autocrlf.toLowerCase() === 'input' ? 'input' : parseBoolean(autocrlf) === true ? 'true' : 'false',
    outsideAttributes: attributesFile !== undefined || (attributes !== undefined && attributes.trim() !== ''),
    attributesFile: attributesFile ?? null,
    excludesFile: excludesFile ?? null,
    eolCrlf: lastValue(config, 'core.eol')?.toLowerCase() === 'crlf',
    filters: new Set(filters.map(({ subsection }) => subsection ?? '')),
    fileMode: boolean('filemode', process.platform !== 'win32'),
    symlinks: boolean('symlinks', true),
    ignoreCase: boolean('ignorecase', false),
    fingerprint: createHash('sha256')
      .update(
        JSON.stringify([
          ['autocrlf', 'eol', 'filemode', 'symlinks'].map((key) => lastValue(config, `core.${key}`) ?? null),
          filters,
          attributes ?? '',
          attributesFile === undefined ? '' : ((await readTextIfThere(attributesFile)) ?? ''),
        ]),
      )
      .digest('hex'),
  };
  return {
    files: [
      ['config', formatConfig(sections)],
      ['info/attributes', attributes ?? ''],
      ['info/exclude', `${exclude.replace(/\n?$/, '\n')}.bulkhead-tmp-*\n`],
    ],
    rules,
  };
}

async function writeIfChanged(file: string, text: string): Promise<void> {
  if ((await readTextIfThere(file)) !== text) {
    await writeFileAtomic(file, text);
  }
}

async function firstReadable(candidates: readonly (string | undefined)[]): Promise<string | undefined> {
  for (const candidate of candidates) {
    if (candidate !== undefined && candidate !== '') {
      const path = expandPath(candidate);
      if (await exists(path)) {
        return path;
      }
    }
  }
  return undefined;
}
