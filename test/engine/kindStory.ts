import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import type { EngineSettings } from '../../src/session/host';
import { git, gitLine, tryGit } from '../support/git';
import type { RepoBuilder } from '../support/repo';
import { filesOfTree, treeDifference } from '../support/snapshotTree';
import { temporaryFolder } from '../support/temporary';
import { checkpoint, cloneOf, contents, EngineWorld, filesIn, fsck, restoreAll, sharedFiles } from './world';

/** One kind of repository that has to work, and what is peculiar to it. */
export interface Kind {
  readonly name: string;
  /** Why it cannot be tried on this machine; undefined when it can. */
  readonly unless?: () => string | undefined;
  readonly source: (folder: string) => RepoBuilder;
  readonly settings?: Partial<EngineSettings>;
  readonly carryUncommitted?: boolean;
  /** What the person's and the agent's git are told on the command line, such as filters. */
  readonly gitArgs?: readonly string[];
  /** The same for a status of her own checkout, where it differs. */
  readonly ownStatusArgs?: readonly string[];
  /** What an agent does in the work tree; called for the clone and for the user's checkout. */
  readonly edit: (workTree: string) => void;
  /** Paths that no snapshot holds, though git would record them. */
  readonly leftOut?: readonly string[];
  /** Folders and files that a restore leaves as they are: repositories of their own, what is left out. */
  readonly untouched?: readonly string[];
  /** At the end, with the clone as it was edited. */
  readonly check?: (story: Story) => void | Promise<void>;
}

export interface Story {
  readonly world: EngineWorld;
  readonly bulkhead: Bulkhead;
  readonly session: Session;
  readonly clone: string;
  readonly user: string;
  readonly notices: readonly string[];
}

/** Never the reader's locks: what a test looks at it must not change. */
const QUIET = { env: { GIT_OPTIONAL_LOCKS: '0' } };

function statusOf(workTree: string, args: readonly string[]): string {
  return git([...args, 'status', '--porcelain=v2', '-z', '--untracked-files=all'], workTree, QUIET).toString('latin1');
}

const known = new Map<string, { readonly gitDir: string; readonly commonDir: string }>();

function gitFolders(workTree: string): { readonly gitDir: string; readonly commonDir: string } {
  const folders = known.get(workTree) ?? {
    gitDir: gitLine(['rev-parse', '--absolute-git-dir'], workTree),
    commonDir: gitLine(['rev-parse', '--path-format=absolute', '--git-common-dir'], workTree),
  };
  known.set(workTree, folders);
  return folders;
}

/** What git itself would record there now, with a copy of that repository's own index; writes nothing into it. */
export function treeByGit(
  workTree: string,
  args: readonly string[],
  leftOut: readonly string[],
): { store: string; tree: string } {
  const { gitDir, commonDir } = gitFolders(workTree);
  const scratch = join(temporaryFolder('kind'), 'scratch.git');
  mkdirSync(scratch);
  const format = gitLine(['rev-parse', '--show-object-format'], workTree);
  git(['init', '--quiet', '--bare', `--object-format=${format}`], scratch);
  const index = join(scratch, 'index');
  if (existsSync(join(gitDir, 'index'))) {
    copyFileSync(join(gitDir, 'index'), index);
    for (const name of readdirSync(gitDir).filter((file) => file.startsWith('sharedindex.'))) {
      copyFileSync(join(gitDir, name), join(scratch, name));
    }
    // As old as can be: git then trusts no stat data, and reads every file.
    utimesSync(index, 1, 1);
  }
  writeFileSync(join(scratch, 'objects', 'info', 'alternates'), `${join(commonDir, 'objects')}\n`);
  const env = { ...QUIET.env, GIT_OBJECT_DIRECTORY: join(scratch, 'objects'), GIT_INDEX_FILE: index };
  const added = tryGit(
    [
      ...args,
      '-c',
      'core.safecrlf=false',
      '-c',
      'core.ignorecase=false',
      '-c',
      'core.splitIndex=false',
      'add',
      '--all',
      '--sparse',
      '--ignore-errors',
      '--',
      '.',
      ...leftOut.map((path) => `:(exclude,literal)${path}`),
    ],
    workTree,
    { env },
  );
  if (added.code !== 0 && !added.stderr.includes('does not have a commit checked out')) {
    throw new Error(`git add failed: ${added.stderr}`);
  }
  const tree = gitLine(['write-tree'], workTree, { env });
  return { store: scratch, tree };
}

/** Compares by path, so that a failure says which file differs. */
export function assertTree(
  world: EngineWorld,
  actual: string,
  expected: { store: string; tree: string },
  where: string,
): void {
  if (actual !== expected.tree) {
    const own = filesOfTree(world.store, actual);
    assert.fail(`${where}:\n${treeDifference(filesOfTree(expected.store, expected.tree), own)}`);
  }
}

/** All that the person has: work tree and git folders, byte for byte. */
function userBytes(user: string): Record<string, string> {
  return { ...contents(user), ...gitBytes(user) };
}

function gitBytes(user: string): Record<string, string> {
  const { gitDir, commonDir } = gitFolders(user);
  return Object.fromEntries(
    [gitDir, commonDir].flatMap((folder) =>
      Object.entries(contents(folder)).map(([path, content]) => [`${folder}/${path}`, content]),
    ),
  );
}

/** Files below a `.git`, as text, that name a path of the person's disk. */
export function namesIn(gitDir: string, secret: string): string[] {
  return Object.keys(contents(gitDir)).filter(
    (path) =>
      !path.includes('objects/') &&
      path !== 'bulkhead' &&
      readFileSync(join(gitDir, path)).includes(Buffer.from(secret)),
  );
}

/**
 * The life of a session in one kind of repository: new, saved, compared, restored back and forth, byte for byte, then the
 * same in the person's own checkout; each snapshot is what her own git would record, and her `.git` stays as it is.
 */
export async function liveThrough(kind: Kind): Promise<void> {
  const world = new EngineWorld(kind.source);
  const args = kind.gitArgs ?? [];
  try {
    const user = world.repo.dir;
    const before = userBytes(user);
    const notices: string[] = [];
    const bulkhead = await world.open(kind.settings);
    const session = await bulkhead.createSession({
      name: 'Kind',
      from: { kind: 'head' },
      ...(kind.carryUncommitted === undefined ? {} : { carryUncommitted: kind.carryUncommitted }),
      onNotice: (text) => notices.push(text),
    });
    const clone = cloneOf(session);
    if (kind.carryUncommitted !== true) {
      assert.equal(statusOf(clone, args), '', 'the clone starts clean');
    }
    assert.deepEqual(sharedFiles(gitFolders(user).commonDir, clone), [], 'no file of hers is shared with the clone');
    assert.deepEqual(namesIn(join(clone, '.git'), user), [], 'nothing in the clone names her repository');
    await roundTrip(kind, world, bulkhead, session, clone, args);
    assert.deepEqual(userBytes(user), before, 'her repository is as it was');

    const git0 = gitBytes(user);
    const workspace = await bulkhead.session('workspace');
    await checkpoint(bulkhead, workspace);
    const own = kind.ownStatusArgs ?? args;
    await roundTrip(kind, world, bulkhead, await bulkhead.session('workspace'), user, own);
    assert.deepEqual(withoutModules(gitBytes(user)), withoutModules(git0), 'her .git is as it was');
    fsck(world.store);
    await kind.check?.({ world, bulkhead, session, clone, user, notices });
  } finally {
    await world.close();
  }
}

/** An edit may commit inside a submodule, which writes there. */
function withoutModules(files: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(files).filter(([path]) => !path.includes('/modules/')));
}

async function roundTrip(
  kind: Kind,
  world: EngineWorld,
  bulkhead: Bulkhead,
  session: Session,
  folder: string,
  statusArgs: readonly string[],
): Promise<void> {
  const args = kind.gitArgs ?? [];
  const leftOut = kind.leftOut ?? [];
  const started = statusOf(folder, statusArgs);
  const start = session.newest ?? assert.fail('it has no snapshot');
  assertTree(world, session.newestTree ?? '', treeByGit(folder, args, leftOut), 'at the start');
  assert.equal((await checkpoint(bulkhead, session)).snapshot, null, 'nothing changed since the start');
  const idle = await restoreAll(bulkhead, session, start);
  assert.deepEqual([idle.snapshot, idle.plan.write, idle.plan.delete], [null, [], []], 'the present state is restored');
  assert.equal(statusOf(folder, statusArgs), started, 'status after a restore of the present state');

  const first = filesIn(folder);
  kind.edit(folder);
  const edited = filesIn(folder);
  const saved = await checkpoint(bulkhead, session);
  assertTree(world, saved.tree, treeByGit(folder, args, leftOut), 'after the edit');
  const second = saved.snapshot ?? assert.fail('the edit made no snapshot');
  const listed = await bulkhead.snapshots({ session: session.id });
  assert.equal(listed[0]?.oid, second);
  const { files } = await bulkhead.diff({ kind: 'snapshot', oid: start }, { kind: 'snapshot', oid: second });
  assert.deepEqual(
    [...new Set(files.flatMap(({ path, oldPath }) => (oldPath === null ? [path] : [path, oldPath])))].sort(),
    saved.changed.map(({ path }) => path).sort(),
    'the diff names what the checkpoint found',
  );
  assert.deepEqual(
    (await bulkhead.diff({ kind: 'snapshot', oid: second }, { kind: 'worktree', session: session.id })).files,
    [],
    'the work tree is as recorded',
  );

  const untouched = [...leftOut, ...(kind.untouched ?? [])];
  const part = (files: Record<string, string>, isUntouched: boolean): Record<string, string> =>
    Object.fromEntries(
      Object.entries(files).filter(([path]) => untouched.some((own) => isBelow(path, own)) === isUntouched),
    );
  const back = await restoreAll(bulkhead, session, start);
  assert.deepEqual(part(filesIn(folder), false), part(first, false), 'the bytes of the start');
  assert.deepEqual(part(filesIn(folder), true), part(edited, true), 'what a restore must not touch');
  if (untouched.length === 0) {
    assert.deepEqual(back.plan.keep, []);
    assert.equal(statusOf(folder, statusArgs), started, 'status after the restore of the start');
  }
  await restoreAll(bulkhead, session, second);
  assert.deepEqual(filesIn(folder), edited, 'the bytes of the edit');
  assert.equal((await bulkhead.session(session.id)).newestTree, saved.tree, 'the tree of the edit');
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
