import type { Oid } from '../core/objectId';
import { foldedName, joinPath, type RepoPath } from '../core/repoPath';
import { kindOfMode, parseTree, type TreeEntry } from '../core/treeObject';
import type { SnapshotStore } from './snapshotStore';

/**
 * On a disk that does not tell capitals apart a file answers to many names, and a tree must hold it under one: the one that HEAD
 * has, else the base, else the newest snapshot. Git does the same with `core.ignoreCase`: it keeps the name that its index has,
 * whatever a listing of the folder says. Under two names a restore would delete one of them, and with it the file.
 */
export class Spelling {
  readonly #store: SnapshotStore;
  /** The trees that name files, the one that counts most first. */
  readonly #trees: readonly Oid[];
  /** Entries by their folded names. */
  readonly #folders = new Map<Oid, ReadonlyMap<string, readonly TreeEntry[]>>();

  constructor(store: SnapshotStore, trees: readonly (Oid | null)[]) {
    this.#store = store;
    this.#trees = [...new Set(trees.filter((tree) => tree !== null))];
  }

  /** The name under which a path is recorded. */
  async of(path: RepoPath): Promise<RepoPath> {
    let trees = this.#trees;
    let spelled: RepoPath | '' = '';
    for (const name of path.split('/')) {
      const found = await this.#find(trees, name);
      spelled = joinPath(spelled, found.name);
      ({ trees } = found);
    }
    return spelled === '' ? path : spelled;
  }

  async #find(trees: readonly Oid[], name: string): Promise<{ readonly name: string; readonly trees: readonly Oid[] }> {
    const alike: (readonly TreeEntry[])[] = [];
    for (const tree of trees) {
      alike.push((await this.#folder(tree)).get(foldedName(name)) ?? []);
    }
    const first = alike.find((entries) => entries.length > 0) ?? [];
    return {
      name: (first.find((entry) => entry.name === name) ?? first[0])?.name ?? name,
      trees: alike
        .flat()
        .filter(({ mode }) => kindOfMode(mode) === 'folder')
        .map(({ oid }) => oid),
    };
  }

  async #folder(tree: Oid): Promise<ReadonlyMap<string, readonly TreeEntry[]>> {
    const known = this.#folders.get(tree);
    if (known !== undefined) {
      return known;
    }
    const entries = new Map<string, TreeEntry[]>();
    for (const entry of parseTree(await this.#store.tree(tree), this.#store.format)) {
      const folded = foldedName(entry.name);
      const alike = entries.get(folded);
      if (alike === undefined) {
        entries.set(folded, [entry]);
      } else {
        alike.push(entry);
      }
    }
    this.#folders.set(tree, entries);
    return entries;
  }
}
