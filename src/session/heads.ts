import { BulkheadError, messageOf } from '../base/errors';
import { isOid, type Oid } from '../core/objectId';
import { headRef, isBranchName, lostRef } from '../core/refName';
import { listRefs } from '../git/forEachRef';
import { hasReftable, isPlainGitFolder, readBranches, readHead } from '../git/headFile';
import { fetchInto } from '../git/porcelain';
import { holdsCommit, withCloneView, withTableView } from './cloneView';
import type { Host } from './host';
import { refLocked, type SnapshotStore } from './snapshotStore';

/** Whose commits are looked at: the user's repository, which is trusted, or a clone, which is not. */
export interface HeadSource {
  readonly session: string;
  readonly gitDir: string;
  readonly commonDir: string;
  /** What git is given to fetch from. */
  readonly location: string;
  readonly trusted: boolean;
}

export type HeadState =
  | { readonly kind: 'known'; readonly commit: Oid; readonly branch: string | null }
  | { readonly kind: 'unborn'; readonly branch: string | null }
  /** It cannot be read safely; `reason` for the log. */
  | { readonly kind: 'unreadable'; readonly reason: string };

/** Reads where HEAD stands; starts git only where the refs are not plain files. */
export async function currentHead(host: Host, store: SnapshotStore, source: HeadSource): Promise<HeadState> {
  if (!source.trusted && !isPlainGitFolder(source.gitDir)) {
    return { kind: 'unreadable', reason: 'its .git is not a plain repository of its own' };
  }
  const head = readHead(source.gitDir, source.commonDir);
  if (head.kind === 'branch') {
    return head.oid === null
      ? { kind: 'unborn', branch: head.branch }
      : { kind: 'known', commit: head.oid, branch: head.branch };
  }
  if (head.kind === 'detached') {
    return { kind: 'known', commit: head.oid, branch: null };
  }
  if (source.trusted) {
    return askHead(host, source.gitDir);
  }
  if (!hasReftable(source.gitDir)) {
    return { kind: 'unreadable', reason: 'its HEAD is no file of the usual form' };
  }
  try {
    return await withTableView(host, store, source, (view) => askHead(host, view));
  } catch (error) {
    if (error instanceof BulkheadError && error.code === 'clone-unreadable') {
      return { kind: 'unreadable', reason: error.message };
    }
    throw error;
  }
}

async function askHead(host: Host, gitDir: string): Promise<HeadState> {
  const answer = await host.git.run([`--git-dir=${gitDir}`, 'rev-parse', '--verify', '--quiet', 'HEAD'], {
    expect: [0, 1, 128],
  });
  if (answer.code === 128) {
    // A ref store that this git does not know, or a repository that is none.
    return { kind: 'unreadable', reason: answer.stderr.trim() };
  }
  const oid = answer.stdout.toString('utf8').trim();
  return answer.code === 0 && isOid(oid)
    ? { kind: 'known', commit: oid, branch: null }
    : { kind: 'unborn', branch: null };
}

/**
 * Makes sure that the store has the commit that HEAD names, and keeps it alive there.
 * @returns false when it could not be brought in; what is tracked then stays as it was
 */
export async function bringHead(host: Host, store: SnapshotStore, source: HeadSource, commit: Oid): Promise<boolean> {
  const ref = keepRef(source.session);
  const before = await store.ref(ref);
  if (before === commit) {
    return true;
  }
  try {
    const isThere = source.trusted
      ? await bringTrusted(host, store, source, commit)
      : await withCloneView(host, store, source, { head: commit, branches: new Map() }, async (view) => {
          if (!(await holdsCommit(host, store, view, commit))) {
            host.log.warn(`HEAD of ${source.session} names a commit that its clone does not hold: ${commit}`);
            return false;
          }
          return bring(host, store, commit, { location: view, check: true });
        });
    if (!isThere) {
      return false;
    }
  } catch (error) {
    if (!(error instanceof BulkheadError)) {
      throw error;
    }
    host.log.warn(`HEAD of ${source.session} could not be fetched: ${messageOf(error)}`);
    return false;
  }
  const moved = await store.move(source.session, [{ ref, from: before, to: commit }]);
  return moved.kind === 'done' || (moved.kind === 'moved' && moved.actual === commit);
}

function bringTrusted(host: Host, store: SnapshotStore, source: HeadSource, commit: Oid): Promise<boolean> {
  return bring(host, store, commit, { location: source.location, check: false });
}

/** @throws GitError when the fetch fails */
async function bring(
  host: Host,
  store: SnapshotStore,
  commit: Oid,
  from: { readonly location: string; readonly check: boolean },
): Promise<boolean> {
  if ((await store.reader.info(commit))?.type === 'commit' && (await isComplete(host, store, commit))) {
    return true;
  }
  await fetchInto(host.git, { gitDir: store.gitDir, source: from.location, refspecs: ['HEAD'], check: from.check });
  // HEAD may have moved on while it was fetched; the next look finds it.
  return (await store.reader.info(commit)) !== undefined;
}

/** What the files of the clone say; for refs in tables git is asked, about copies of them. */
async function branchesOf(host: Host, store: SnapshotStore, source: HeadSource): Promise<ReadonlyMap<string, Oid>> {
  if (!isPlainGitFolder(source.gitDir)) {
    // Who asks for its objects next is told.
    return new Map();
  }
  if (hasReftable(source.gitDir)) {
    return withTableView(host, store, source, (view) => listBranches(host, store, source.session, view));
  }
  const usable = [...readBranches(source.gitDir)].filter(([name]) => isUsable(host, source.session, name));
  return new Map(usable.filter(([, oid]) => isOid(oid, store.format)));
}

/** Branches whose commits are there. */
async function listBranches(
  host: Host,
  store: SnapshotStore,
  session: string,
  gitDir: string,
): Promise<ReadonlyMap<string, Oid>> {
  const branches = new Map<string, Oid>();
  for (const [ref, oid] of await listRefs(host.git, gitDir, ['refs/heads'])) {
    const name = ref.slice('refs/heads/'.length);
    if (isOid(oid, store.format) && isUsable(host, session, name)) {
      branches.set(name, oid);
    }
  }
  return branches;
}

function isUsable(host: Host, session: string, name: string): boolean {
  if (isBranchName(name) && !name.includes('\ufffd')) {
    return true;
  }
  host.log.warn(`the branch ${JSON.stringify(name)} of ${session} is not fetched: its name is not one that we can use`);
  return false;
}

/** A commit that only lies in the store because of an interrupted fetch may miss its trees. */
async function isComplete(host: Host, store: SnapshotStore, commit: Oid): Promise<boolean> {
  const { tree } = await store.commit(commit);
  if ((await store.reader.info(tree)) === undefined) {
    return false;
  }
  // Down to what refs of ours reach: that was complete when they were set.
  const result = await host.git.run(
    [`--git-dir=${store.gitDir}`, 'rev-list', '--quiet', '--objects', commit, '--not', '--all'],
    {
      expect: [0, 1, 128],
    },
  );
  return result.code === 0;
}

function keepRef(session: string): string {
  // No branch can be called HEAD, so this name is free.
  return `refs/bulkhead/heads/${session}/HEAD`;
}

/** The commit whose HEAD was brought in last; null when there was none. */
export function lastHead(store: SnapshotStore, session: string): Promise<Oid | null> {
  return store.ref(keepRef(session));
}

/**
 * Brings all branches of a clone into the store, and keeps the old tip of each that was deleted or moved by force.
 * @returns the branches with their commits
 * @throws BulkheadError `clone-unreadable` (kind `refused`) when its .git may not be asked; GitError when a fetch fails
 */
export async function bringBranches(
  host: Host,
  store: SnapshotStore,
  source: HeadSource,
): Promise<ReadonlyMap<string, Oid>> {
  const read = await branchesOf(host, store, source);
  const branches = await withCloneView(host, store, source, { head: null, branches: read }, async (view) => {
    const there = await listBranches(host, store, source.session, view);
    if (there.size > 0) {
      await fetchInto(host.git, {
        gitDir: store.gitDir,
        source: view,
        refspecs: [...there.keys()].map((name) => `refs/heads/${name}`),
        check: true,
      });
    }
    return there;
  });
  await recordBranches(host, store, source.session, branches);
  return branches;
}

async function recordBranches(
  host: Host,
  store: SnapshotStore,
  session: string,
  branches: ReadonlyMap<string, Oid>,
): Promise<void> {
  const prefix = `refs/bulkhead/heads/${session}/`;
  const known = new Map<string, Oid>();
  for (const [ref, oid] of await listRefs(host.git, store.gitDir, [prefix])) {
    const name = ref.slice(prefix.length);
    if (name !== 'HEAD') {
      known.set(name, oid);
    }
  }
  for (const [name, old] of known) {
    const now = branches.get(name) ?? null;
    if (now === old) {
      continue;
    }
    const isForward = now !== null && (await isAncestor(host, store, old, now));
    if (!isForward) {
      // Before the other ref lets go of it.
      await keepAt(store, session, lostRef(session, old), null, old);
    }
    await keepAt(store, session, headRef(session, name), old, now);
  }
  for (const [name, oid] of branches) {
    if (name.startsWith('HEAD/')) {
      // Our own ref stands where its folder would be.
      await keepAt(store, session, lostRef(session, oid), null, oid);
    } else if (!known.has(name)) {
      await keepAt(store, session, headRef(session, name), null, oid);
    }
  }
}

/**
 * Moves a ref that keeps commits alive. That another window has done the same is as good.
 * @throws BulkheadError `ref-locked`, `branches-moved` (kind `busy`): what the ref led to before is still kept then
 */
export async function keepAt(
  store: SnapshotStore,
  session: string,
  ref: string,
  from: Oid | null,
  to: Oid | null,
): Promise<void> {
  if (from === null && (await store.ref(ref)) === to) {
    return;
  }
  const result = await store.move(session, [{ ref, from, to }]);
  if (result.kind === 'done' || (result.kind === 'moved' && result.actual === to)) {
    return;
  }
  throw result.kind === 'locked'
    ? refLocked(result)
    : new BulkheadError(
        'busy',
        'branches-moved',
        `The branches of ${session} were being recorded by others at the same time. Nothing was changed; try again.`,
        { data: { session, ref } },
      );
}

async function isAncestor(host: Host, store: SnapshotStore, old: Oid, now: Oid): Promise<boolean> {
  const result = await host.git.run([`--git-dir=${store.gitDir}`, 'merge-base', '--is-ancestor', old, now], {
    expect: [0, 1],
  });
  return result.code === 0;
}
