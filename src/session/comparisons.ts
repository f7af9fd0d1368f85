import { BulkheadError } from '../base/errors';
import type { Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import { parseTree, type TreeEntry } from '../core/treeObject';
import { type DiffRecord, diffTrees } from '../git/diffTree';
import { type DiffResult, type DiffSide, type FileDiff, WORKSPACE } from './api';
import type { Host } from './host';
import type { SessionCatalog } from './sessionCatalog';
import type { Sites } from './sites';
import type { SnapshotStore } from './snapshotStore';

/** Compares states, whatever they are named by, and reads trees and contents. */
export class Comparisons {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #sites: Sites;
  readonly #catalog: SessionCatalog;

  constructor(options: {
    readonly host: Host;
    readonly store: SnapshotStore;
    readonly sites: Sites;
    readonly catalog: SessionCatalog;
  }) {
    this.#host = options.host;
    this.#store = options.store;
    this.#sites = options.sites;
    this.#catalog = options.catalog;
  }

  async diff(
    from: DiffSide,
    to: DiffSide,
    options: { readonly paths?: readonly RepoPath[]; readonly signal?: AbortSignal },
  ): Promise<DiffResult> {
    const [fromTree, toTree] = [await this.treeOf(from), await this.treeOf(to)];
    const records = await diffTrees(this.#host.git, this.#store.gitDir, fromTree, toTree, options);
    return { from: fromTree, to: toTree, files: records.map(fileDiff) };
  }

  async treeOf(side: DiffSide): Promise<Oid> {
    switch (side.kind) {
      case 'tree':
        return side.oid;
      case 'snapshot':
        return (await this.#store.commit(side.oid)).tree;
      case 'base': {
        const { base, name } = await this.#catalog.session(side.session);
        if (base === null) {
          throw new BulkheadError(
            'notFound',
            'no-base',
            `The base of "${name}" is not known, because its record cannot be read.`,
            { data: { session: side.session } },
          );
        }
        if (base.commit !== null && side.session === WORKSPACE) {
          await this.#sites.keepUserCommit(base.commit);
        }
        return base.tree;
      }
      case 'newest': {
        const { newestTree, name } = await this.#catalog.session(side.session);
        if (newestTree === null) {
          throw new BulkheadError('notFound', 'snapshot-not-found', `"${name}" has no snapshot yet.`, {
            data: { session: side.session },
          });
        }
        return newestTree;
      }
      case 'worktree':
        return (await this.#sites.of(side.session)).writer.liveTree();
    }
  }

  async children(tree: Oid, path: RepoPath | ''): Promise<readonly TreeEntry[]> {
    const folder = path === '' ? { mode: '40000', oid: tree } : await this.#store.entry(tree, path);
    return folder?.mode === '40000' ? parseTree(await this.#store.tree(folder.oid), this.#store.format) : [];
  }

  async blobSize(oid: Oid): Promise<number> {
    const info = await this.#store.reader.info(oid);
    if (info === undefined) {
      throw new BulkheadError('damaged', 'object-missing', `The snapshot store misses the object ${oid}.`, {
        data: { oid },
      });
    }
    return info.size;
  }
}

function fileDiff(record: DiffRecord): FileDiff {
  const isThere = (mode: string): boolean => !/^0+$/.test(mode);
  return {
    path: record.path,
    oldPath: record.oldPath,
    status: statusOfLetter(record.letter),
    oldMode: isThere(record.oldMode) ? record.oldMode : null,
    newMode: isThere(record.newMode) ? record.newMode : null,
    oldOid: isThere(record.oldMode) ? record.oldOid : null,
    newOid: isThere(record.newMode) ? record.newOid : null,
    added: record.added,
    deleted: record.deleted,
  };
}

function statusOfLetter(letter: string): FileDiff['status'] {
  switch (letter) {
    case 'A':
    case 'C':
      return 'added';
    case 'D':
      return 'deleted';
    case 'R':
      return 'renamed';
    case 'T':
      return 'type-changed';
    default:
      return 'modified';
  }
}
