import type { Clock } from '../base/clock';
import type { RestoreIntent } from '../core/intent';
import { parentPath, type RepoPath } from '../core/repoPath';
import type { TreeChange } from '../core/treeDiff';
import { pathState } from './pathState';
import { type RestorePlanner, type RestoreSite, withoutUnsaved } from './restorePlanner';
import type { SnapshotReader } from './snapshotReader';
import { Slices } from './slices';
import type { SnapshotStore } from './snapshotStore';
import { Untouched } from './untouched';

/** How far back the end of a restore is looked for. */
const LOOK_BACK = 64;

/** What is left to do of a restore that was cut off. */
export interface RestoreRemainder {
  readonly changes: readonly TreeChange[];
  /** Deleted before the end; folders that they have left empty, at any depth, may still be there. */
  readonly gone: readonly RepoPath[];
  readonly untouched: Untouched;
  /** Paths that are as the restore wanted them once the changes are made. */
  readonly done: readonly RepoPath[];
  /** Somebody touched them since, or put something in the way. */
  readonly kept: readonly RepoPath[];
}

/**
 * Tells what a killed process has not done of a restore. A path is still to be written when it is as the safety snapshot has
 * it, so nothing can get lost that is in no snapshot. What somebody has touched since is kept, and the snapshot that ends the
 * restore does not take it either: it is recorded as what it is.
 */
export class RestoreRemainders {
  readonly #clock: Clock;
  readonly #store: SnapshotStore;
  readonly #reader: SnapshotReader;
  readonly #planner: RestorePlanner;

  constructor(clock: Clock, store: SnapshotStore, reader: SnapshotReader, planner: RestorePlanner) {
    this.#clock = clock;
    this.#store = store;
    this.#reader = reader;
    this.#planner = planner;
  }

  /**
   * Removes half-written files of the killed process, too.
   * @returns null when the restore was recorded: then only its intent is left
   * @throws BulkheadError `object-missing`
   */
  async of(site: RestoreSite, intent: RestoreIntent): Promise<RestoreRemainder | null> {
    const wanted = await this.#store.diff(intent.from, intent.to);
    for (const folder of new Set(wanted.map(({ path }) => parentPath(path)))) {
      site.workTree.removeHalfWritten(folder);
    }
    if (await this.#isRecorded(site.session, intent)) {
      return null;
    }
    const paths = wanted.map(({ path }) => path);
    const all = new Set(paths);
    const untouched = await Untouched.look(this.#clock, this.#store, site, paths);
    const { tree, skipped } = await site.writer.live(undefined, paths, all);
    const unread = new Set(skipped.map(({ path }) => path));
    const open: RepoPath[] = [];
    const gone: RepoPath[] = [];
    const kept = new Set<RepoPath>();
    const slices = new Slices();
    for (const change of wanted) {
      await slices.next();
      const { path } = change;
      const state = unread.has(path)
        ? 'touched'
        : await pathState(this.#store, site.workTree, change, { live: tree, to: intent.to });
      if (state === 'touched') {
        kept.add(path);
      } else if (state === 'open') {
        open.push(path);
      } else if (mayHaveLeftFolder(site, path)) {
        gone.push(path);
      }
    }
    const rest = withoutUnsaved(
      await this.#planner.prepare(
        site,
        { tree: intent.to, paths: open, exactly: true, contested: () => Promise.resolve([]), askAboutRisk: false },
        'all',
        undefined,
        { tree, skipped, forced: all },
      ),
    );
    for (const { path } of rest.plan.keep) {
      kept.add(path);
    }
    const done = paths.filter((path) => !kept.has(path));
    return { changes: rest.changes, gone, untouched, done, kept: [...kept] };
  }

  /** Nobody else could make a snapshot after the safety snapshot as long as the claim stood. */
  async #isRecorded(session: string, intent: RestoreIntent): Promise<boolean> {
    for (const { oid, meta } of await this.#reader.history(session, { limit: LOOK_BACK })) {
      if (oid === intent.undo) {
        return false;
      }
      if (meta.trigger === intent.kind && meta.reverses === intent.reverses) {
        return true;
      }
    }
    return false;
  }
}

/** Nothing is there, and what stands nearest above it is a folder, and not what has taken the place of one. */
function mayHaveLeftFolder({ workTree }: RestoreSite, path: RepoPath): boolean {
  let kind = workTree.kind(path);
  if (kind !== 'absent') {
    return false;
  }
  for (let folder = parentPath(path); folder !== '' && kind === 'absent'; folder = parentPath(folder)) {
    kind = workTree.kind(folder);
  }
  return kind === 'folder';
}
