import type { Oid } from '../core/objectId';
import { baseName, joinPath, parentPath, type RepoPath } from '../core/repoPath';
import { parseTree, type TreeEdit, type TreeEntry } from '../core/treeObject';
import { GitError } from '../git/gitError';
import type { SkippedPath, SkipReason } from './api';
import { type ContentWriter, MAX_IN_PROCESS } from './contentWriter';
import { NestedRepositories } from './nestedRepositories';
import type { SnapshotStore } from './snapshotStore';
import type { LeftOut } from './sparsePaths';
import type { Spelling } from './spelling';
import { trackedEntry, type TrackedTrees } from './trackedTrees';
import { filesBelow, filesIn } from './treeFiles';
import type { WorkTree } from './workTree';

export interface CaptureOptions {
  /** The newest snapshot's tree: what was captured before. */
  readonly parent: Oid;
  readonly tracked: TrackedTrees;
  readonly maxFileSize: number;
  /** Paths to take although they are ignored or large: the safety snapshot before a restore. */
  readonly forced?: ReadonlySet<RepoPath>;
}

/** One look at some paths: what a tree has to hold for them. What one path taught is used for the next. */
export class CaptureRun {
  readonly edits = new Map<RepoPath, TreeEdit>();
  readonly skipped: SkippedPath[] = [];
  readonly #store: SnapshotStore;
  readonly #workTree: WorkTree;
  readonly #content: ContentWriter;
  readonly #options: CaptureOptions;
  readonly #isIgnored: (path: RepoPath) => Promise<boolean>;
  readonly #attributesSettled = new Set<RepoPath>();
  /** Where attributes were looked for in this run. */
  readonly #looked = new Set<string>();
  /** Folders that are reached through no link. What is read is checked again by its descriptor. */
  readonly #realFolders = new Set<RepoPath>();
  /** Questions that were asked before their answers are needed. */
  readonly #ignoredAhead = new Map<RepoPath, Promise<boolean>>();
  readonly #foldersSettled = new Set<RepoPath>();

  readonly #leftOut: LeftOut | undefined;
  readonly #spelling: Spelling | undefined;
  readonly #nested: NestedRepositories;

  constructor(options: {
    readonly store: SnapshotStore;
    readonly workTree: WorkTree;
    readonly content: ContentWriter;
    readonly capture: CaptureOptions;
    readonly isIgnored: (path: RepoPath) => Promise<boolean>;
    readonly leftOut: LeftOut | undefined;
    /** Where several names are one file. */
    readonly spelling: Spelling | undefined;
    readonly gitFolders: readonly string[];
  }) {
    this.#store = options.store;
    this.#workTree = options.workTree;
    this.#content = options.content;
    this.#options = options.capture;
    this.#isIgnored = options.isIgnored;
    this.#leftOut = options.leftOut;
    this.#spelling = options.spelling;
    this.#nested = new NestedRepositories(options.store, options.workTree, options.capture.tracked, options.gitFolders);
  }

  async path(given: RepoPath): Promise<void> {
    const path = (await this.#spelling?.of(given)) ?? given;
    if (
      path !== given &&
      !this.edits.has(given) &&
      (await this.#store.entry(this.#options.parent, given)) !== undefined
    ) {
      this.edits.set(given, null);
    }
    const nested = await this.#nested.above(path);
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
      for (const file of tree === null ? [] : await filesIn(this.#store, tree, path)) {
        files.add(file);
      }
    }
    for (const file of files.size === 0 ? [path] : files) {
      const entry = this.#leftOut.has(file) ? await trackedEntry(this.#store, this.#options.tracked, file) : undefined;
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
    const tracked = await trackedEntry(this.#store, this.#options.tracked, path);
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
      if (error instanceof GitError && error.code === 'not-converted') {
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

  async #trackedBlob(entry: TreeEntry | undefined): Promise<Buffer | undefined> {
    return entry === undefined || entry.mode === '160000' || entry.mode === '40000'
      ? undefined
      : this.#store.blob(entry.oid);
  }

  async #folder(path: RepoPath): Promise<void> {
    if (await this.#nested.has(path)) {
      await this.#repository(path);
      return;
    }
    const tracked = await trackedEntry(this.#store, this.#options.tracked, path);
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

  async #repository(folder: RepoPath): Promise<void> {
    const tracked = await trackedEntry(this.#store, this.#options.tracked, folder);
    if (tracked === undefined && (await this.#isIgnored(folder))) {
      this.edits.set(folder, null);
      return;
    }
    const oid = this.#nested.commit(folder, tracked);
    if (oid === null) {
      this.skipped.push({ path: folder, reason: 'nested-repository' });
    }
    this.edits.set(folder, oid === null ? null : { mode: '160000', oid });
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
        again.push(...(await filesBelow(this.#store, this.#options.parent, parentPath(path))));
      }
    }
    return again.filter((path) => !this.edits.has(path));
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
