import { join } from 'node:path';
import { parseCommit } from '../core/commitObject';
import { hashObject, type Oid } from '../core/objectId';
import { parseTree } from '../core/treeObject';
import { CatFile } from '../git/catFile';
import { messageOf } from '../base/errors';
import type { Host } from './host';
import { isReadable } from './objectScan';
import type { SnapshotStore } from './snapshotStore';

/**
 * Brings lost objects back from repositories that may have them too. Only their object folders are read, with the store's own
 * configuration, and what comes is believed by its name: so a clone that an agent has had will do as well.
 */
export class ObjectRescue {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #sources: readonly { readonly folder: string; readonly reader: CatFile }[];

  /** @param folders `objects` folders, the best one first */
  constructor(host: Host, store: SnapshotStore, folders: readonly string[]) {
    this.#host = host;
    this.#store = store;
    this.#sources = folders.map((folder) => ({
      folder,
      reader: new CatFile(host.git, store.gitDir, { GIT_OBJECT_DIRECTORY: folder }),
    }));
  }

  /** Brings an object back with all that it leads to. @returns where each one came from, by its name */
  async bring(oid: Oid): Promise<ReadonlyMap<Oid, string>> {
    const brought = new Map<Oid, string>();
    const queue = [oid];
    const seen = new Set<Oid>();
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      if (seen.has(next)) {
        continue;
      }
      seen.add(next);
      const found = (await isReadable(this.#store, next)) ? undefined : await this.#fetch(next);
      if (found !== undefined) {
        brought.set(next, found.from);
        queue.push(...found.leadsTo);
      }
    }
    return brought;
  }

  async #fetch(oid: Oid): Promise<{ readonly from: string; readonly leadsTo: readonly Oid[] } | undefined> {
    for (const { folder, reader } of this.#sources) {
      try {
        const object = await reader.read(oid);
        if (
          object === undefined ||
          object.type === 'tag' ||
          hashObject(this.#store.format, object.type, object.body) !== oid
        ) {
          continue;
        }
        this.#store.objects.write(object.type, object.body);
        return { from: folder, leadsTo: this.#leadsTo(object.type, object.body) };
      } catch (error) {
        this.#host.log.debug(`${oid} does not come from ${folder}: ${messageOf(error)}`);
      }
    }
    return undefined;
  }

  #leadsTo(type: 'blob' | 'tree' | 'commit', body: Buffer): readonly Oid[] {
    switch (type) {
      case 'blob':
        return [];
      case 'tree':
        return parseTree(body, this.#store.format)
          .filter(({ mode }) => mode !== '160000')
          .map((entry) => entry.oid);
      case 'commit': {
        const { tree, parents } = parseCommit(body);
        return [tree, ...parents];
      }
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#sources.map(({ reader }) => reader.stop()));
  }
}

/** The folder of a repository's objects. */
export function objectsOf(gitDir: string): string {
  return join(gitDir, 'objects');
}
