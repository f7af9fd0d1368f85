import type { Oid } from '../core/objectId';
import { baseName, parentPath, type RepoPath } from '../core/repoPath';
import type { TreeChange } from '../core/treeDiff';
import type { Git } from '../git/git';
import { SmudgedContent } from '../git/workTreeQueries';
import { CancelledError } from '../git/gitError';
import type { ContentWriter } from './contentWriter';
import { Slices } from './slices';
import type { SnapshotStore } from './snapshotStore';
import type { Untouched } from './untouched';
import type { WorkTree } from './workTree';
import { requireWritable } from './writable';

const LF = 10;

/** Leaves alone what somebody has written to since its safety snapshot. */
export interface WriteGuard {
  readonly untouched: Untouched;
  /** The tree that is wanted. */
  readonly to: Oid;
  /** Takes the paths that are left alone. */
  readonly kept: Set<RepoPath>;
}

/** Writes what a tree says into a work tree, path by path, following no link and replacing each file by a rename. */
export class Materialiser {
  readonly #store: SnapshotStore;
  readonly #workTree: WorkTree;
  readonly #content: ContentWriter;
  readonly #smudged: SmudgedContent;

  constructor(git: Git, store: SnapshotStore, workTree: WorkTree, content: ContentWriter) {
    this.#store = store;
    this.#workTree = workTree;
    this.#content = content;
    this.#smudged = new SmudgedContent(git, { gitDir: store.gitDir, workTree: workTree.root });
  }

  get pids(): readonly number[] {
    return this.#smudged.pids;
  }

  /**
   * Deletes first, then writes: attributes files come before the others, because they decide how those are written.
   * @param changes what differs between the work tree and the wanted state
   * @param options.gone paths that were deleted before: the folders that they have left empty go as well
   * @throws BulkheadError `name-not-allowed`, `names-clash` before anything is written
   */
  async write(
    changes: readonly TreeChange[],
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly gone?: readonly RepoPath[];
      readonly guard?: WriteGuard;
    } = {},
  ): Promise<void> {
    const { signal, guard } = options;
    await requireWritable(this.#store, this.#workTree, null, changes);
    await guard?.untouched.verify(changes, guard.to);
    const slices = new Slices();
    const turn = async (): Promise<void> => {
      await slices.next();
      abortIfAsked(signal);
    };
    const emptied = new Set((options.gone ?? []).map(parentPath));
    for (const change of changes.filter(({ newMode }) => newMode === null).reverse()) {
      await turn();
      if (await mayReplace(change, guard)) {
        this.#workTree.remove(change.path);
        emptied.add(parentPath(change.path));
      }
    }
    for (const folder of [...emptied].sort().reverse()) {
      this.#prune(folder);
    }
    const written = changes.filter(({ newMode }) => newMode !== null && newMode !== '160000');
    for (const change of written.filter(({ path }) => isRuleFile(path))) {
      await this.#writeOne(change, guard);
    }
    // A warm process keeps the attributes that it has read.
    await this.#smudged.stop();
    for (const change of written.filter(({ path }) => !isRuleFile(path))) {
      await turn();
      await this.#writeOne(change, guard);
    }
  }

  #prune(folder: RepoPath | ''): void {
    for (let at = folder; at !== '' && this.#workTree.removeFolderIfEmpty(at);) {
      at = parentPath(at);
    }
  }

  async #writeOne(change: TreeChange, guard: WriteGuard | undefined): Promise<void> {
    const { path, oldMode, oldOid, newMode, newOid } = change;
    if (newOid === null || newMode === null) {
      return;
    }
    const isLink = newMode === '120000' && this.#store.rules.symlinks;
    const executable = newMode === '100755';
    // Only the executable bit differs: the content and its time stay.
    const isModeOnly =
      !isLink && oldOid === newOid && oldMode?.startsWith('100') === true && this.#store.rules.fileMode;
    const bytes = isModeOnly ? undefined : isLink ? await this.#store.blob(newOid) : await this.#bytes(path, newOid);
    // Last, so that nothing is waited for between this look and the write.
    if (!(await mayReplace(change, guard))) {
      return;
    }
    if (bytes === undefined) {
      this.#workTree.setExecutable(path, executable);
      return;
    }
    this.#clear(path);
    if (isLink) {
      this.#workTree.writeLink(path, bytes);
    } else {
      this.#workTree.writeFile(path, bytes, { executable });
    }
  }

  /** An empty folder, or one of empty folders, may stand where a file goes; one with content was reported in the plan and is not touched. */
  #clear(path: RepoPath): void {
    if (this.#workTree.kind(path) !== 'folder') {
      return;
    }
    for (const { path: child, kind, isAllowed } of this.#workTree.list(path)) {
      if (kind === 'folder' && isAllowed) {
        this.#clear(child);
      }
    }
    this.#workTree.removeFolderIfEmpty(path);
  }

  /** What git would write for the blob: converted where attributes or settings ask for it. */
  async #bytes(path: RepoPath, oid: Oid): Promise<Buffer> {
    const { rules } = this.#store;
    const attributes = await this.#content.attributes(path);
    const isConverted =
      rules.filters.has(attributes.filter) ||
      !['unspecified', 'unset', ''].includes(attributes.encoding) ||
      attributes.ident === 'set' ||
      attributes.eol === 'crlf' ||
      rules.autocrlf === 'true' ||
      (rules.eolCrlf && attributes.text !== 'unset') ||
      (process.platform === 'win32' && attributes.text !== 'unset' && attributes.text !== 'unspecified');
    const raw = await this.#store.blob(oid);
    if (!isConverted || (raw.length === 0 && !rules.filters.has(attributes.filter))) {
      return raw;
    }
    if (
      attributes.ident !== 'set' &&
      !rules.filters.has(attributes.filter) &&
      attributes.encoding === 'unspecified' &&
      !raw.includes(LF)
    ) {
      return raw;
    }
    return this.#smudged.read(oid, path, raw.length, rules.filters.has(attributes.filter));
  }

  stop(): Promise<void> {
    return this.#smudged.stop();
  }
}

async function mayReplace(change: TreeChange, guard: WriteGuard | undefined): Promise<boolean> {
  if (guard === undefined || (await guard.untouched.mayReplace(change, guard.to))) {
    return true;
  }
  guard.kept.add(change.path);
  return false;
}

function isRuleFile(path: RepoPath): boolean {
  return baseName(path) === '.gitattributes';
}

function abortIfAsked(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new CancelledError();
  }
}
