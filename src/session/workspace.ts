import { emptyTreeOid } from '../core/objectId';
import { shadowRef } from '../core/refName';
import { type Base, type Session, WORKSPACE } from './api';
import { currentHead, type HeadSource, type HeadState } from './heads';
import type { Host } from './host';
import type { SnapshotStore } from './snapshotStore';
import type { SnapshotSummaries } from './snapshotSummaries';
import { resolveRevision, type UserRepository } from './userRepository';

/** Where the commits of the user's checkout are. */
export function workspaceHead({ gitDir, commonDir, root }: UserRepository): HeadSource {
  return { session: WORKSPACE, gitDir, commonDir, location: root, trusted: true };
}

/** The user's own checkout, as a session of its own kind. */
export class Workspace {
  readonly #host: Host;
  readonly #repository: UserRepository;
  readonly #store: SnapshotStore;
  readonly #summaries: SnapshotSummaries;

  constructor(host: Host, repository: UserRepository, store: SnapshotStore, summaries: SnapshotSummaries) {
    this.#host = host;
    this.#repository = repository;
    this.#store = store;
    this.#summaries = summaries;
  }

  async session(): Promise<Session> {
    const current = await currentHead(this.#host, this.#store, workspaceHead(this.#repository));
    return {
      id: WORKSPACE,
      name: 'This workspace',
      path: this.#repository.root,
      state: 'ready',
      reason: null,
      base: await this.#base(current),
      shadowRef: shadowRef(WORKSPACE),
      branch: current.kind === 'unreadable' ? null : current.branch,
      ...(await this.#summaries.of(WORKSPACE)),
      created: null,
    };
  }

  /** The checkout's base is its HEAD; git is asked only while the store does not have that commit. */
  async #base(head: HeadState): Promise<Base> {
    if (head.kind === 'known' && (await this.#store.reader.info(head.commit)) !== undefined) {
      return { commit: head.commit, tree: (await this.#store.commit(head.commit)).tree };
    }
    const found = await resolveRevision(this.#host, this.#repository, 'HEAD');
    return found ?? { commit: null, tree: emptyTreeOid(this.#store.format) };
  }
}
