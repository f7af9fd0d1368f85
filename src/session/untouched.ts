import type { Clock } from '../base/clock';
import type { Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { TreeChange } from '../core/treeDiff';
import { pathState } from './pathState';
import { Slices } from './slices';
import type { SnapshotStore } from './snapshotStore';
import type { SnapshotWriter } from './snapshotWriter';
import type { WorkTree } from './workTree';

/**
 * A file that changed so shortly before it was looked at may change again without looking otherwise: file times come in steps, of
 * up to two seconds on some file systems. Git calls such an entry racily clean.
 */
const RACY_MS = 2000;

export interface UntouchedSite {
  readonly workTree: WorkTree;
  readonly writer: Pick<SnapshotWriter, 'live'>;
}

/**
 * Which files are still as the safety snapshot of a restore holds them. A restore of many files takes seconds, and what somebody
 * writes to one of them meanwhile is in no snapshot: it must not be overwritten. Files are looked at before the safety snapshot
 * reads them, and once more right before each is replaced; one that looks otherwise, or had just been written, is read again and
 * compared.
 */
export class Untouched {
  readonly #clock: Clock;
  readonly #store: SnapshotStore;
  readonly #site: UntouchedSite;
  /** How each path looked when it was known to be as the snapshot has it, or was about to be read for it. */
  readonly #seen = new Map<RepoPath, string>();
  readonly #touched = new Set<RepoPath>();

  private constructor(clock: Clock, store: SnapshotStore, site: UntouchedSite) {
    this.#clock = clock;
    this.#store = store;
    this.#site = site;
  }

  /** To be called before what is on disk is read for the safety snapshot. */
  static async look(
    clock: Clock,
    store: SnapshotStore,
    site: UntouchedSite,
    paths: readonly RepoPath[],
  ): Promise<Untouched> {
    const untouched = new Untouched(clock, store, site);
    const slices = new Slices();
    for (const path of paths) {
      await slices.next();
      const { looks, isRacy } = untouched.#look(path);
      if (!isRacy) {
        untouched.#seen.set(path, looks);
      }
    }
    return untouched;
  }

  /** Reads again what may have been written to since, all at once. @param to the tree that the restore wants */
  async verify(changes: readonly TreeChange[], to: Oid): Promise<void> {
    const doubtful: TreeChange[] = [];
    const slices = new Slices();
    for (const change of changes) {
      await slices.next();
      if (!this.#isAsSeen(change.path)) {
        doubtful.push(change);
      }
    }
    if (doubtful.length === 0) {
      return;
    }
    const paths = doubtful.map(({ path }) => path);
    const looks = new Map(paths.map((path) => [path, this.#look(path).looks]));
    const { tree, skipped } = await this.#site.writer.live(undefined, paths, new Set(paths));
    const unread = new Set(skipped.map(({ path }) => path));
    for (const change of doubtful) {
      const { path } = change;
      const isTouched =
        unread.has(path) ||
        (await pathState(this.#store, this.#site.workTree, change, { live: tree, to })) === 'touched';
      if (isTouched) {
        this.#touched.add(path);
      } else {
        this.#seen.set(path, looks.get(path) ?? '');
      }
    }
  }

  /** Whether a path may be replaced; to be asked right before. */
  async mayReplace(change: TreeChange, to: Oid): Promise<boolean> {
    if (!this.#touched.has(change.path) && !this.#isAsSeen(change.path)) {
      await this.verify([change], to);
    }
    return !this.#touched.has(change.path);
  }

  #isAsSeen(path: RepoPath): boolean {
    return this.#look(path).looks === this.#seen.get(path);
  }

  #look(path: RepoPath): { readonly looks: string; readonly isRacy: boolean } {
    const { kind, stats } = this.#site.workTree.look(path);
    if (stats === undefined || kind === 'folder') {
      // What is in a folder is looked at when it is emptied.
      return { looks: kind, isRacy: false };
    }
    const { ino, mode, size, mtimeMs, ctimeMs } = stats;
    return {
      looks: [kind, ino, mode, size, mtimeMs, ctimeMs].join(' '),
      isRacy: ctimeMs > this.#clock.now() - RACY_MS,
    };
  }
}
