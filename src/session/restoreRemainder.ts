import type { RestoreIntent } from '../core/intent';
import type { Oid } from '../core/objectId';
import { parentPath, type RepoPath } from '../core/repoPath';
import type { TreeChange } from '../core/treeDiff';
import { MAX_IN_PROCESS } from './contentWriter';
import { type RestorePlanner, type RestoreSite, withoutUnsaved } from './restorePlanner';
import type { SnapshotReader } from './snapshotReader';
import type { SnapshotStore } from './snapshotStore';

/** How far back the end of a restore is looked for. */
const LOOK_BACK = 64;

/** What is left to do of a restore that was cut off. */
export interface RestoreRemainder {
  readonly changes: readonly TreeChange[];
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
  readonly #store: SnapshotStore;
  readonly #reader: SnapshotReader;
  readonly #planner: RestorePlanner;

  constructor(store: SnapshotStore, reader: SnapshotReader, planner: RestorePlanner) {
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
    const { tree, skipped } = await site.writer.live(undefined, paths, all);
    const unread = new Set(skipped.map(({ path }) => path));
    const open: RepoPath[] = [];
    const emptied: TreeChange[] = [];
    const kept = new Set<RepoPath>();
    for (const change of wanted) {
      const { path } = change;
      const state = unread.has(path) ? 'touched' : await this.#stateOf(site, change, tree, intent.to);
      if (state === 'touched') {
        kept.add(path);
      } else if (state === 'open') {
        open.push(path);
      } else if (mayHaveLeftFolder(site, path)) {
        // Deleted before the end; folders that it has left empty, at any depth, may still be there.
        emptied.push(change);
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
    return { changes: [...emptied, ...rest.changes], done: paths.filter((path) => !kept.has(path)), kept: [...kept] };
  }

  async #stateOf(
    site: RestoreSite,
    { path, oldMode, oldOid, newMode, newOid }: TreeChange,
    live: Oid,
    to: Oid,
  ): Promise<'done' | 'open' | 'touched'> {
    const entry = await this.#store.entry(live, path);
    const isFolder = entry?.mode === '40000';
    const mode = isFolder ? null : (entry?.mode ?? null);
    const oid = isFolder ? null : (entry?.oid ?? null);
    if (mode === newMode && oid === newOid) {
      // A folder is wanted there only when the files in it are.
      return isFolder && (await this.#store.entry(to, path)) === undefined ? 'touched' : 'done';
    }
    if (mode === oldMode && (oid === oldOid || (await this.#isSameText(site, path, oldOid)))) {
      return 'open';
    }
    return 'touched';
  }

  /** Attributes that are restored already may convert line endings of files that are not: their content is the old one all the same. */
  async #isSameText(site: RestoreSite, path: RepoPath, old: Oid | null): Promise<boolean> {
    const content = site.workTree.read(path, MAX_IN_PROCESS);
    if (old === null || content.kind !== 'file') {
      return false;
    }
    return withLineFeeds(content.bytes).equals(withLineFeeds(await this.#store.blob(old)));
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

function withLineFeeds(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
}
