import { WORKSPACE } from './api';
import type { ContentionSide } from './contentionService';
import type { Host } from './host';
import type { SessionCatalog } from './sessionCatalog';
import type { Sites } from './sites';
import type { SnapshotSummaries } from './snapshotSummaries';

/** Gathers what is compared for contention: the sessions that can be worked in and, where it is recorded, the user's checkout. */
export class ContentionSides {
  readonly #host: Host;
  readonly #catalog: SessionCatalog;
  readonly #summaries: SnapshotSummaries;
  readonly #sites: Sites;

  constructor(host: Host, catalog: SessionCatalog, summaries: SnapshotSummaries, sites: Sites) {
    this.#host = host;
    this.#catalog = catalog;
    this.#summaries = summaries;
    this.#sites = sites;
  }

  /** @param mode `live` reads the work trees, `newest` takes the newest snapshots */
  async gather(mode: 'live' | 'newest'): Promise<readonly ContentionSide[]> {
    const sides: ContentionSide[] = [];
    for (const session of await this.#catalog.list({ all: false })) {
      if (session.state !== 'ready' || session.base === null) {
        continue;
      }
      const tree = mode === 'live' ? await (await this.#sites.of(session.id)).writer.liveTree() : session.newestTree;
      if (tree !== null) {
        sides.push({ session: session.id, base: session.base.tree, tree });
      }
    }
    if (sides.length > 0 && this.#host.settings.captureWorkspace) {
      const tree =
        mode === 'live'
          ? await (await this.#sites.of(WORKSPACE)).writer.liveTree()
          : (await this.#summaries.of(WORKSPACE)).newestTree;
      if (tree !== null) {
        sides.push({ session: WORKSPACE, base: null, tree });
      }
    }
    return sides;
  }
}
