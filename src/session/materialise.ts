import type { Oid } from '../core/objectId';
import { baseName, parentPath, type RepoPath } from '../core/repoPath';
import type { TreeChange } from '../core/treeDiff';
import type { Git } from '../git/git';
import { SmudgedContent } from '../git/workTreeQueries';
import { CancelledError } from '../git/gitError';
import type { ContentWriter } from './contentWriter';
import type { SnapshotStore } from './snapshotStore';
import type { WorkTree } from './workTree';
import { requireWritable } from './writable';

const LF = 10;

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
   * @throws BulkheadError `name-not-allowed`, `names-clash` before anything is written
   */
  async write(changes: readonly TreeChange[], signal?: AbortSignal): Promise<void> {
    await requireWritable(this.#store, this.#workTree, null, changes);
    const gone = changes.filter(({ newMode }) => newMode === null);
    const emptied = new Set<RepoPath>();
    for (const { path } of [...gone].reverse()) {
      abortIfAsked(signal);
      this.#workTree.remove(path);
      const folder = parentPath(path);
      if (folder !== '') {
        emptied.add(folder);
      }
    }
    for (const folder of [...emptied].sort().reverse()) {
      this.#prune(folder);
    }
    const kept = changes.filter(({ newMode }) => newMode !== null && newMode !== '160000');
    for (const change of kept.filter(({ path }) => isRuleFile(path))) {
      await this.#writeOne(change);
    }
    // A warm process keeps the attributes that it has read.
    await this.#smudged.stop();
    for (const change of kept.filter(({ path }) => !isRuleFile(path))) {
      abortIfAsked(signal);
      await this.#writeOne(change);
    }
  }

  #prune(folder: RepoPath): void {
    for (let at: RepoPath | '' = folder; at !== '' && this.#workTree.removeFolderIfEmpty(at);) {
      at = parentPath(at);
    }
  }

  async #writeOne({ path, oldMode, oldOid, newMode, newOid }: TreeChange): Promise<void> {
    if (newOid === null || newMode === null) {
      return;
    }
    if (newMode === '120000' && this.#store.rules.symlinks) {
      this.#clear(path);
      this.#workTree.writeLink(path, await this.#store.blob(newOid));
      return;
    }
    const executable = newMode === '100755';
    if (oldOid === newOid && oldMode !== null && oldMode.startsWith('100') && this.#store.rules.fileMode) {
      // Only the executable bit differs: the content and its time stay.
      this.#workTree.setExecutable(path, executable);
      return;
    }
    this.#clear(path);
    this.#workTree.writeFile(path, await this.#bytes(path, newOid), { executable });
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

function isRuleFile(path: RepoPath): boolean {
  return baseName(path) === '.gitattributes';
}

function abortIfAsked(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new CancelledError();
  }
}
