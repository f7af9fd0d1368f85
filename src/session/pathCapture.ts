import { join } from 'node:path';
import { BulkheadError } from '../base/errors';
import { emptyTreeOid, type Oid } from '../core/objectId';
import { baseName, isWithin, parentPath, type RepoPath } from '../core/repoPath';
import { parseTree, type TreeEdit, type TreeEntry } from '../core/treeObject';
import { joinPath } from '../core/repoPath';
import type { Git } from '../git/git';
import { GitError } from '../git/gitError';
import { CheckIgnore } from '../git/workTreeQueries';
import { readNestedHead } from '../git/headFile';
import type { SkippedPath, SkipReason } from './api';
import { ContentWriter, MAX_IN_PROCESS } from './contentWriter';
import { RuleFiles } from './ruleFiles';
import type { LeftOut, SparsePaths } from './sparsePaths';
import type { SnapshotStore } from './snapshotStore';
import type { TrackedTrees } from './trackedTrees';
import type { WorkTree } from './workTree';

export interface CaptureOptions {
  /** The newest snapshot's tree: what was captured before. */
  readonly parent: Oid;
  readonly tracked: TrackedTrees;
  readonly maxFileSize: number;
  /** Paths to take although they are ignored or large: the safety snapshot before a restore. */
  readonly forced?: ReadonlySet<RepoPath>;
}

export interface Captured {
  readonly edits: Map<RepoPath, TreeEdit>;
  readonly skipped: SkippedPath[];
  /** Something was found that only a look at everything settles: an ignore file changed. */
  readonly rulesChanged: boolean;
}

/** After this many milliseconds of reading files in one go, others get their turn. */
const SLICE_MS = 12;

/**
 * Reads paths of a work tree and says what a tree has to hold for them, as a fresh `git add -A` over the tracked trees
 * would: a function of the disk, the tracked trees and the rules, not of what was captured before (except for files
 * that grew too large, which keep their last content).
 */
export class PathCapture {
  readonly #store: SnapshotStore;
  readonly #workTree: WorkTree;
  readonly #content: ContentWriter;
  readonly #checkIgnore: CheckIgnore;
  readonly #ignoreFiles: RuleFiles;
  readonly #now: () => number;
  readonly #sparse: SparsePaths;
  readonly #gitFolders: readonly string[];

  /** @param repository what is read of the work tree's own repository: sparse marks, and where HEAD of a submodule may lie */
  constructor(
    git: Git,
    store: SnapshotStore,
    workTree: WorkTree,
    repository: { readonly sparse: SparsePaths; readonly gitFolders: readonly string[] },
  ) {
    this.#sparse = repository.sparse;
    this.#gitFolders = repository.gitFolders;
    this.#store = store;
    this.#workTree = workTree;
    this.#content = new ContentWriter(git, store, workTree);
    this.#checkIgnore = new CheckIgnore(git, { gitDir: store.gitDir, workTree: workTree.root });
    const { excludesFile } = store.rules;
    this.#ignoreFiles = new RuleFiles(workTree, '.gitignore', [
      join(store.gitDir, 'info', 'exclude'),
      join(store.gitDir, 'config'),
      ...(excludesFile === null ? [] : [excludesFile]),
    ]);
    this.#now = () => git.clock.now();
  }

  get content(): ContentWriter {
    return this.#content;
  }

  get pids(): readonly number[] {
    return [...this.#content.pids, ...this.#checkIgnore.pids];
  }

  async capture(paths: readonly RepoPath[], options: CaptureOptions): Promise<Captured> {
    const looked = new Set<string>();
    const run = new CaptureRun({
      store: this.#store,
      workTree: this.#workTree,
      content: this.#content,
      capture: options,
      isIgnored: (path) => this.#isIgnored(path, looked),
      leftOut: await this.#sparse.leftOut(),
      gitFolders: this.#gitFolders,
    });
    let sliceStart = this.#now();
    const queue = [...paths];
    for (let at = 0; at < queue.length; at++) {
      const path = queue[at];
      if (path !== undefined) {
        await run.path(path);
      }
      if (at === queue.length - 1) {
        queue.push(...(await run.convertedOtherwise()));
      }
      if (this.#now() - sliceStart > SLICE_MS) {
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
        sliceStart = this.#now();
      }
    }
    if (!this.#workTree.isThere()) {
      // Moved, unmounted or deleted as a whole: that nothing was found says nothing about the files.
      throw new BulkheadError(
        'io',
        'work-tree-gone',
        `The folder ${this.#workTree.root} is not there any more. Nothing was recorded.`,
        {
          data: { path: this.#workTree.root },
        },
      );
    }
    const rulesChanged = await run.rulesChanged();
    return { edits: run.edits, skipped: run.skipped, rulesChanged };
  }

  /** What a sparse checkout leaves out; undefined when it is a full one. */
  leftOut(): Promise<LeftOut | undefined> {
    return this.#sparse.leftOut();
  }

  /** Only for untracked paths that no link stands above. */
  async #isIgnored(path: RepoPath, looked: Set<string>): Promise<boolean> {
    if (this.#ignoreFiles.look(path, looked).changed) {
      await this.#checkIgnore.stop();
    }
    return this.#checkIgnore.isIgnored(path);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#content.stop(), this.#checkIgnore.stop()]);
  }
}

class CaptureRun {
  readonly edits = new Map<RepoPath, TreeEdit>();
  readonly skipped: SkippedPath[] = [];
  readonly #store: SnapshotStore;
  readonly #workTree: WorkTree;
  readonly #content: ContentWriter;
  readonly #options: CaptureOptions;
  readonly #isIgnored: (path: RepoPath) => Promise<boolean>;
  readonly #nested = new Map<RepoPath, boolean>();
  readonly #attributesSettled = new Set<RepoPath>();
  /** Where attributes were looked for in this run. */
  readonly #looked = new Set<string>();
  /** Folders that are reached through no link. What is read is checked again by its descriptor. */
  readonly #realFolders = new Set<RepoPath>();
  /** Questions that were asked before their answers are needed. */
  readonly #ignoredAhead = new Map<RepoPath, Promise<boolean>>();
  readonly #foldersSettled = new Set<RepoPath>();

  readonly #leftOut: LeftOut | undefined;
  readonly #gitFolders: readonly string[];

  constructor(options: {
    readonly store: SnapshotStore;
    readonly workTree: WorkTree;
    readonly content: ContentWriter;
    readonly capture: CaptureOptions;
    readonly isIgnored: (path: RepoPath) => Promise<boolean>;
    readonly leftOut: LeftOut | undefined;
    readonly gitFolders: readonly string[];
  }) {
    this.#store = options.store;
    this.#workTree = options.workTree;
    this.#content = options.content;
    this.#options = options.capture;
    this.#isIgnored = options.isIgnored;
    this.#leftOut = options.leftOut;
    this.#gitFolders = options.gitFolders;
  }

  async path(path: RepoPath): Promise<void> {
    const nested = await this.#nestedAbove(path);
    if (nested !== undefined) {
      await this.#repository(nested);
      return;
    }
    const { kind, stats } = this.#workTree.look(path, this.#realFolders);
    switch (kind) {
      case 'absent':
        await this.#settleFolders(path);
        await this.#absent(path);
        return;
      case 'beyond-link':
        await this.#behindLink(path);
        return;
      case 'special':
        this.edits.set(path, null);
        this.skipped.push({ path, reason: 'special-file' });
        return;
      case 'folder':
        await this.#settleFolders(path);
        await this.#folder(path);
        return;
      case 'file':
      case 'link':
        await this.#settleFolders(path);
        await this.#file(path, kind, stats?.size ?? 0);
    }
  }

  /** Deleted, or left out by a sparse checkout: then it stays what HEAD or the base has, as `git add` leaves it alone. */
  async #absent(path: RepoPath): Promise<void> {
    if (this.#leftOut === undefined) {
      this.edits.set(path, null);
      return;
    }
    const { parent, tracked } = this.#options;
    const files = new Set<RepoPath>();
    for (const tree of [parent, tracked.base, tracked.head]) {
      for (const file of tree === null ? [] : await this.#filesIn(tree, path)) {
        files.add(file);
      }
    }
    for (const file of files.size === 0 ? [path] : files) {
      const entry = this.#leftOut.has(file) ? await this.#trackedEntry(file) : undefined;
      this.edits.set(file, entry === undefined ? null : { mode: entry.mode, oid: entry.oid });
    }
  }

  /** Where the captured tree has a file and the disk has a folder now, the file is gone, even if nothing below is recorded. */
  async #settleFolders(path: RepoPath): Promise<void> {
    for (
      let folder = parentPath(path);
      folder !== '' && !this.#foldersSettled.has(folder);
      folder = parentPath(folder)
    ) {
      this.#foldersSettled.add(folder);
      const entry = await this.#store.entry(this.#options.parent, folder);
      if (entry?.mode === '40000') {
        return;
      }
      if (
        entry !== undefined &&
        !this.edits.has(folder) &&
        ['folder', 'absent'].includes(this.#workTree.kind(folder))
      ) {
        this.edits.set(folder, null);
      }
    }
  }

  /** A link or file took the place of a folder above: that is what has to be recorded, and nothing behind it. */
  async #behindLink(path: RepoPath): Promise<void> {
    let top: RepoPath = path;
    for (let folder = parentPath(path); folder !== ''; folder = parentPath(folder)) {
      if (this.#workTree.kind(folder) !== 'beyond-link') {
        top = folder;
        break;
      }
    }
    if (top === path || this.#workTree.kind(top) === 'folder') {
      // It was put right again in between.
      this.edits.set(path, null);
      return;
    }
    await this.path(top);
    if (this.edits.get(top) === null || this.edits.get(top) === undefined) {
      this.edits.set(path, null);
    }
  }

  async #file(path: RepoPath, kind: 'file' | 'link', size: number): Promise<void> {
    const { maxFileSize } = this.#options;
    const isForced = this.#options.forced?.has(path) ?? false;
    const tracked = await this.#trackedEntry(path);
    const isTracked = tracked !== undefined && tracked.mode !== '40000';
    if (!isTracked && !isForced) {
      if (await (this.#ignoredAhead.get(path) ?? this.#isIgnored(path))) {
        this.edits.set(path, null);
        return;
      }
      if (kind === 'file' && size > maxFileSize) {
        await this.#keepLast(path, 'too-large');
        return;
      }
    }
    const content = this.#workTree.read(path, MAX_IN_PROCESS);
    switch (content.kind) {
      case 'file':
        await this.#convert(path, content.executable, tracked, () =>
          this.#content.write(path, content.bytes, () => this.#trackedBlob(tracked), this.#looked),
        );
        return;
      case 'too-large':
        await this.#convert(path, content.executable, tracked, () => this.#content.writeLarge(path));
        return;
      case 'link':
        this.edits.set(path, { mode: '120000', oid: this.#store.objects.write('blob', content.target) });
        return;
      case 'unreadable':
        await this.#keepLast(path, 'unreadable');
        return;
      case 'absent':
      case 'beyond-link':
      case 'special':
      case 'folder':
        // It changed while we looked; what is there now is told by the next event, and nothing of it is recorded here.
        this.skipped.push({ path, reason: 'vanished' });
        this.edits.set(path, null);
    }
  }

  /** What was captured before keeps its last content. */
  async #keepLast(path: RepoPath, reason: SkipReason): Promise<void> {
    this.skipped.push({ path, reason });
    const before = await this.#store.entry(this.#options.parent, path);
    this.edits.set(
      path,
      before === undefined || before.mode === '40000' ? null : { mode: before.mode, oid: before.oid },
    );
  }

  /** A filter that fails on one file, or one that is not in the encoding that its attributes name (git refuses to add it), costs that file its newest content, and not everybody their snapshot. */
  async #convert(
    path: RepoPath,
    executable: boolean,
    tracked: TreeEntry | undefined,
    write: () => Promise<Oid | undefined>,
  ): Promise<void> {
    let oid: Oid | undefined;
    try {
      oid = await write();
    } catch (error) {
      if (error instanceof GitError && ['git-process-lost', 'git-exited'].includes(error.code)) {
        await this.#keepLast(path, 'unreadable');
        return;
      }
      throw error;
    }
    this.#put(path, oid, await this.#fileMode(path, executable, tracked));
  }

  #put(path: RepoPath, oid: Oid | undefined, mode: string): void {
    if (oid === undefined) {
      this.skipped.push({ path, reason: 'vanished' });
      this.edits.set(path, null);
    } else {
      this.edits.set(path, { mode, oid });
    }
  }

  /** Without a trustworthy executable bit on disk the tracked one counts, then the captured one. */
  async #fileMode(path: RepoPath, executable: boolean, tracked: TreeEntry | undefined): Promise<string> {
    const { rules } = this.#store;
    if (rules.fileMode && rules.symlinks) {
      return executable ? '100755' : '100644';
    }
    const before = tracked ?? (await this.#store.entry(this.#options.parent, path));
    if (!rules.symlinks && before?.mode === '120000') {
      // Such a disk holds links as plain files with the target as text.
      return '120000';
    }
    if (rules.fileMode) {
      return executable ? '100755' : '100644';
    }
    return before?.mode === '100755' ? '100755' : '100644';
  }

  async #trackedEntry(path: RepoPath): Promise<TreeEntry | undefined> {
    const { base, head } = this.#options.tracked;
    // HEAD is laid over the base: where both have a path, HEAD's entry counts.
    const atHead = head === null ? undefined : await this.#store.entry(head, path);
    return atHead ?? (head === base ? undefined : await this.#store.entry(base, path));
  }

  async #trackedBlob(entry: TreeEntry | undefined): Promise<Buffer | undefined> {
    return entry === undefined || entry.mode === '160000' || entry.mode === '40000'
      ? undefined
      : this.#store.blob(entry.oid);
  }

  async #folder(path: RepoPath): Promise<void> {
    if (await this.#isRepository(path)) {
      await this.#repository(path);
      return;
    }
    const tracked = await this.#trackedEntry(path);
    if (tracked?.mode === '160000') {
      // A submodule that is not checked out: git leaves its entry alone as long as the folder is there.
      this.edits.set(path, { mode: '160000', oid: tracked.oid });
      return;
    }
    if (tracked === undefined && (await (this.#ignoredAhead.get(path) ?? this.#isIgnored(path)))) {
      this.edits.set(path, null);
      return;
    }
    const seen = new Set<RepoPath>();
    const children = this.#workTree.list(path);
    if (tracked === undefined) {
      // Nothing below is tracked either, so git is asked about all of them at once.
      this.#askAhead(
        children.filter(({ isAllowed, kind }) => isAllowed && kind !== 'special').map(({ path: child }) => child),
      );
    }
    for (const { path: child, isAllowed } of children) {
      seen.add(child);
      if (!isAllowed) {
        this.skipped.push({ path: child, reason: 'name-not-allowed' });
        continue;
      }
      await this.path(child);
    }
    for (const tree of [this.#options.parent, this.#options.tracked.base, this.#options.tracked.head]) {
      const entry = tree === null ? undefined : await this.#store.entry(tree, path);
      if (entry?.mode === '40000') {
        for (const child of parseTree(await this.#store.tree(entry.oid), this.#store.format)) {
          const childPath = joinPath(path, child.name);
          if (!seen.has(childPath)) {
            await this.#absent(childPath);
          }
        }
      } else if (entry !== undefined) {
        // The tree has a file where a folder stands now; what is recorded below it takes its place.
        this.edits.set(path, null);
      }
    }
  }

  #askAhead(paths: readonly RepoPath[]): void {
    for (const path of paths) {
      const answer = this.#isIgnored(path);
      // Told where it is awaited, if it is.
      answer.catch(() => undefined);
      this.#ignoredAhead.set(path, answer);
    }
  }

  /** The outermost folder above the path that is a repository of its own. */
  async #nestedAbove(path: RepoPath): Promise<RepoPath | undefined> {
    const parts = path.split('/');
    let folder = '';
    for (const name of parts.slice(0, -1)) {
      folder = folder === '' ? name : `${folder}/${name}`;
      if (await this.#isRepository(folder as RepoPath)) {
        return folder as RepoPath;
      }
    }
    return undefined;
  }

  /** A submodule's folder, or one with a `.git` of its own; unless tracked files lie in it: git then goes on to take it as a plain folder. */
  async #isRepository(folder: RepoPath): Promise<boolean> {
    const known = this.#nested.get(folder);
    if (known !== undefined) {
      return known;
    }
    let result = false;
    if (this.#workTree.look(folder).kind === 'folder') {
      const tracked = await this.#trackedEntry(folder);
      // A submodule that is not checked out hides what lies in its folder as well.
      result = tracked?.mode === '160000' || (tracked?.mode !== '40000' && this.#workTree.isNestedRepository(folder));
    }
    this.#nested.set(folder, result);
    return result;
  }

  /** Records a nested repository as git does: the commit that it stands at, never its files. */
  async #repository(folder: RepoPath): Promise<void> {
    const tracked = await this.#trackedEntry(folder);
    if (tracked === undefined && (await this.#isIgnored(folder))) {
      this.edits.set(folder, null);
      return;
    }
    const head = readNestedHead(this.#workTree.fsPath(folder), [this.#workTree.root, ...this.#gitFolders]);
    const oid = head.kind === 'unknown' ? null : head.oid;
    if (oid !== null && oid.length === this.#options.parent.length) {
      this.edits.set(folder, { mode: '160000', oid });
      return;
    }
    if (tracked?.mode === '160000') {
      this.edits.set(folder, { mode: '160000', oid: tracked.oid });
      return;
    }
    this.skipped.push({ path: folder, reason: 'nested-repository' });
    this.edits.set(folder, null);
  }

  /** Where an attributes file changed, the files below it may be recorded otherwise than before although they did not change. */
  async convertedOtherwise(): Promise<RepoPath[]> {
    const again: RepoPath[] = [];
    for (const [path, edit] of [...this.edits]) {
      if (baseName(path) !== '.gitattributes' || this.#attributesSettled.has(path)) {
        continue;
      }
      this.#attributesSettled.add(path);
      const before = await this.#store.entry(this.#options.parent, path);
      if (before?.oid !== edit?.oid) {
        again.push(...(await this.#filesBelow(this.#options.parent, parentPath(path))));
      }
    }
    return again.filter((path) => !this.edits.has(path));
  }

  /** A file of a tree, or all files below a folder of it. */
  async #filesIn(tree: Oid, path: RepoPath): Promise<RepoPath[]> {
    const entry = await this.#store.entry(tree, path);
    return entry === undefined ? [] : entry.mode === '40000' ? this.#filesBelow(tree, path) : [path];
  }

  async #filesBelow(tree: Oid, folder: RepoPath | ''): Promise<RepoPath[]> {
    const entry = folder === '' ? { mode: '40000', oid: tree } : await this.#store.entry(tree, folder);
    if (entry?.mode !== '40000' || entry.oid === emptyTreeOid(this.#store.format)) {
      return [];
    }
    const found: RepoPath[] = [];
    for (const child of parseTree(await this.#store.tree(entry.oid), this.#store.format)) {
      const path = joinPath(folder, child.name);
      if (child.mode === '40000') {
        found.push(...(await this.#filesBelow(tree, path)));
      } else if (child.mode !== '160000') {
        found.push(path);
      }
    }
    return found;
  }

  async rulesChanged(): Promise<boolean> {
    for (const [path, edit] of this.edits) {
      if (baseName(path) === '.gitignore' && (await this.#store.entry(this.#options.parent, path))?.oid !== edit?.oid) {
        return true;
      }
    }
    return false;
  }
}

/** Leaves out paths that lie below another one of the list. */
export function withoutCovered(paths: Iterable<RepoPath>): RepoPath[] {
  const sorted = [...new Set(paths)].sort();
  const result: RepoPath[] = [];
  for (const path of sorted) {
    const last = result.at(-1);
    if (last === undefined || !isWithin(path, last) || path === last) {
      result.push(path);
    }
  }
  return result;
}
