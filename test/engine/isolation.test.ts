import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { headTreeOf, Oracle } from '../support/oracle';
import { awkwardRepo, repo } from '../support/repo';
import {
  checkpoint,
  cloneOf,
  contents,
  EngineWorld,
  filesIn,
  fsck,
  leaveRestore,
  loseObject,
  read,
  restoreAll,
  sharedFiles,
  snapshotOf,
  userState,
  write,
} from './world';

describe('isolation', () => {
  useOwnHome();
  const worlds: EngineWorld[] = [];
  const newWorld = (...args: ConstructorParameters<typeof EngineWorld>): EngineWorld => {
    const world = new EngineWorld(...args);
    worlds.push(world);
    return world;
  };

  afterEach('end the windows', async () => {
    for (const world of worlds.splice(0)) {
      await world.close();
    }
  });

  /** Git inside a clone, as an agent runs it: without anything that the test's own git is told. */
  const refsOf = (folder: string): string[] => gitLine(['for-each-ref', '--format=%(refname)'], folder).split('\n');

  it('shares no file between a clone and what must be safe, and leaves the user repository as it is, through a whole life', async () => {
    const world = newWorld(awkwardRepo);
    const { repo: user, store } = world;
    user
      .file('dirty.txt', 'stashed\n')
      .git('stash', '--include-untracked')
      .file('staged.txt', 'staged\n')
      .git('add', 'staged.txt');
    writeFileSync(join(user.dir, '.git', 'hooks', 'pre-commit'), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
    const before = userState(user.dir);
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Life', from: { kind: 'head' }, carryUncommitted: true });
    const clone = cloneOf(session);
    const unchanged = (when: string): void => {
      assert.deepEqual(userState(user.dir), before, `the user's repository changed after ${when}`);
      for (const folder of ['sessions', 'trash']) {
        const clones = join(world.storage, folder);
        assert.deepEqual(sharedFiles(clones, user.dir), [], `${folder} and user's repository after ${when}`);
        assert.deepEqual(sharedFiles(clones, store), [], `${folder} and store after ${when}`);
      }
    };
    unchanged('session new');
    write(clone, 'plain.txt', 'changed\n');
    git(['add', '--all'], clone);
    git(['commit', '--quiet', '--message', 'by the agent'], clone);
    write(clone, 'new.txt', 'new\n');
    await checkpoint(bulkhead, session);
    unchanged('checkpoint');
    await bulkhead.checkpoint({ session: 'workspace', trigger: 'manual' });
    unchanged('checkpoint of the checkout');
    await restoreAll(bulkhead, session, session.newest ?? '');
    unchanged('restore');
    await bulkhead.undo({ session: session.id, consent: 'all' });
    unchanged('undo');
    await bulkhead.contention('live');
    await bulkhead.diff({ kind: 'base', session: session.id }, { kind: 'worktree', session: session.id });
    unchanged('looking');
    loseObject(store, user.resolve('HEAD:plain.txt'));
    const { repairs } = await bulkhead.checkStore({ repair: true });
    assert.notDeepEqual(repairs, []);
    unchanged('repair');
    write(clone, 'plain.txt', 'changed again\n');
    leaveRestore(world, session, { undo: await snapshotOf(bulkhead, session), to: session.newest ?? '' });
    await bulkhead.recover({ sweep: true });
    assert.equal(existsSync(join(clone, 'new.txt')), false);
    unchanged('recovery of a restore that was cut off');
    await bulkhead.maintain();
    unchanged('maintenance');
    const { session: successor } = await bulkhead.resetSession(session.id, { force: true });
    unchanged('reset');
    await bulkhead.removeSession(successor.id, { force: true });
    unchanged('removal');
    fsck(store);
  });

  it('shows no ref of ours in the user repository or the clone', async () => {
    const world = newWorld();
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Refs', from: { kind: 'head' } });
    write(cloneOf(session), 'a.txt', 'changed\n');
    await checkpoint(bulkhead, session);
    assert.deepEqual(refsOf(world.repo.dir), ['refs/heads/main']);
    assert.deepEqual(
      refsOf(cloneOf(session)).filter((ref) => ref.includes('bulkhead')),
      [],
    );
    assert.equal(gitLine(['branch', '--all', '--list', '*bulkhead*'], cloneOf(session)), '');
  });

  it('names neither the user repository, nor donor, nor store in anything that git in the clone reads', async () => {
    const world = newWorld();
    const bulkhead = await world.open();
    const clone = cloneOf(await bulkhead.createSession({ name: 'Names', from: { kind: 'head' } }));
    const naming = Object.keys(contents(join(clone, '.git'), (path) => path === 'objects'))
      // The pointer names the storage on purpose; no git reads it.
      .filter((path) => path !== 'bulkhead')
      .filter((path) => {
        const text = readFileSync(join(clone, '.git', path), 'latin1');
        return [world.repo.dir, world.store, join(world.storage, 'donor.git')].some((place) => text.includes(place));
      });
    assert.deepEqual(naming, []);
    assert.equal(existsSync(join(clone, '.git', 'objects', 'info', 'alternates')), false);
    assert.deepEqual(existsSync(join(clone, '.git', 'hooks')) ? readdirSync(join(clone, '.git', 'hooks')) : [], []);
  });

  it('pushes from the clone to the remote of the user, and never to her repository', async () => {
    const world = newWorld();
    const remote = repo(join(world.folder, 'remote.git'), { bare: true }).dir;
    world.repo.git('remote', 'add', 'origin', remote).git('push', '--quiet', '--set-upstream', 'origin', 'main');
    world.repo.git('remote', 'add', 'myself', world.repo.dir);
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Push me', from: { kind: 'head' } });
    const clone = cloneOf(session);
    const before = userState(world.repo.dir);
    git(['commit', '--quiet', '--allow-empty', '--message', 'work'], clone);
    git(['push', '--quiet'], clone);
    assert.equal(gitLine(['rev-parse', 'refs/heads/push-me'], remote), gitLine(['rev-parse', 'HEAD'], clone));
    assert.equal(gitLine(['remote'], clone), 'origin');
    assert.deepEqual(userState(world.repo.dir), before);
    assert.equal(gitLine(['rev-parse', 'refs/remotes/origin/main'], clone), world.repo.resolve('main'));
  });

  it('has nowhere to push to when the user has no remote', async () => {
    const world = newWorld();
    const bulkhead = await world.open();
    const clone = cloneOf(await bulkhead.createSession({ name: 'Alone', from: { kind: 'head' } }));
    const before = userState(world.repo.dir);
    git(['commit', '--quiet', '--allow-empty', '--message', 'work'], clone);
    assert.notEqual(tryGit(['push'], clone).code, 0);
    assert.notEqual(tryGit(['push', 'local', 'HEAD'], clone).code, 0);
    assert.deepEqual(userState(world.repo.dir), before);
  });

  it('carries branches, remotes, upstreams, identity and excludes', async () => {
    const world = newWorld();
    const remote = repo(join(world.folder, 'remote.git'), { bare: true }).dir;
    world.repo
      .branch('feature')
      .switch('main')
      .git('remote', 'add', 'origin', remote)
      .git('push', '--quiet', '--set-upstream', 'origin', 'main')
      .config('user.name', 'Carried Name')
      .config('user.email', 'carried@example.com')
      .config('core.hooksPath', '/somewhere/hooks')
      .config('alias.st', 'status');
    writeFileSync(join(world.repo.dir, '.git', 'info', 'exclude'), 'private/\n');
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Carry', from: { kind: 'head' } });
    const clone = cloneOf(session);
    const own = (key: string): string => tryGit(['config', '--local', key], clone).stdout.toString().trim();
    assert.deepEqual(
      refsOf(clone).filter((ref) => ref !== 'refs/remotes/local/HEAD'),
      ['refs/heads/carry', 'refs/remotes/local/feature', 'refs/remotes/local/main', 'refs/remotes/origin/main'],
    );
    assert.equal(gitLine(['symbolic-ref', 'HEAD'], clone), 'refs/heads/carry');
    assert.equal(session.branch, 'carry');
    assert.equal(own('user.name'), 'Carried Name');
    assert.equal(own('remote.origin.url'), remote);
    assert.equal(own('branch.main.merge'), 'refs/heads/main');
    assert.equal(own('core.hooksPath'), '');
    assert.equal(own('alias.st'), '');
    write(clone, 'private/notes.txt', 'mine\n');
    assert.equal(gitLine(['status', '--porcelain'], clone), '');
    assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
  });

  it('carries a remote and a branch that are called like something of ours', async () => {
    const world = newWorld();
    const remote = repo(join(world.folder, 'remote.git'), { bare: true }).dir;
    world.repo
      .git('remote', 'add', 'local', remote)
      .git('push', '--quiet', 'local', 'main:theirs')
      .branch('bulkhead/none')
      .file('a.txt', 'newer\n')
      .commit('second')
      .git('push', '--quiet', 'local', 'bulkhead/none:main');
    const session = await (
      await world.open()
    ).createSession({ name: 'Namesakes', from: { kind: 'revision', revision: 'main' } });
    const clone = cloneOf(session);
    assert.deepEqual(
      refsOf(clone).filter((ref) => ref !== 'refs/remotes/local/HEAD'),
      [
        'refs/heads/namesakes',
        'refs/remotes/local/bulkhead/none',
        'refs/remotes/local/main',
        'refs/remotes/local/theirs',
      ],
    );
    const oid = (revision: string): string => gitLine(['rev-parse', revision], clone);
    assert.equal(oid('local/main'), world.repo.resolve('bulkhead/none'), 'the branch of the remote counts');
    assert.equal(oid('HEAD'), world.repo.resolve('main'));
  });

  it('follows the branches of the user that were moved, made and deleted since the last session', async () => {
    const world = newWorld();
    world.repo.branch('old').branch('moved').switch('main');
    const bulkhead = await world.open();
    await bulkhead.createSession({ name: 'Before', from: { kind: 'head' } });
    world.repo
      .git('branch', '--delete', 'old')
      .git('tag', 'v1')
      .switch('moved')
      .file('a.txt', 'moved\n')
      .commit('second');
    const clone = cloneOf(await bulkhead.createSession({ name: 'After', from: { kind: 'head' } }));
    assert.deepEqual([...refsOf(clone)].sort(), [
      'refs/heads/after',
      'refs/remotes/local/main',
      'refs/remotes/local/moved',
      'refs/tags/v1',
    ]);
    assert.equal(gitLine(['rev-parse', 'local/moved'], clone), world.repo.resolve('moved'));
  });

  it('brings uncommitted work along, on disk and as no change of the session', async () => {
    const world = newWorld(awkwardRepo);
    const user = world.repo
      .file('plain.txt', 'edited\n')
      .file('fresh/new file.txt', 'new\n')
      .remove('empty.txt')
      .file('staged.txt', 'staged\n');
    user.git('add', 'staged.txt');
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({
      name: 'Carry work',
      from: { kind: 'head' },
      carryUncommitted: true,
    });
    assert.deepEqual(filesIn(cloneOf(session)), filesIn(user.dir));
    assert.equal(await bulkhead.changedSinceBase(session.id), 0);
    assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
  });

  it('copies the ignored files that .worktreeinclude lists, and no others', async () => {
    const world = newWorld();
    world.repo
      .file('.gitignore', '.env\nsecret.txt\ncache/\n')
      .file('.worktreeinclude', '.env\ncache/keep.txt\na.txt\nloose.txt\n')
      .commit('rules');
    world.repo
      .file('.env', 'KEY=1\n')
      .file('secret.txt', 'not listed\n')
      .file('cache/keep.txt', 'kept\n')
      .file('cache/drop.txt', 'x\n')
      .file('loose.txt', 'untracked\n')
      .file('a.txt', 'edited\n');
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Include', from: { kind: 'head' } });
    const clone = cloneOf(session);
    assert.deepEqual(Object.keys(filesIn(clone)), [
      '.env',
      '.gitignore',
      '.worktreeinclude',
      'a.txt',
      'cache/keep.txt',
      'src/b.ts',
    ]);
    assert.equal(read(clone, 'a.txt'), 'one\ntwo\nthree\n');
    assert.deepEqual(sharedFiles(clone, world.repo.dir), []);
    assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
  });

  it('starts from a branch, from a snapshot, and from the present state of another session', async () => {
    const world = newWorld();
    world.repo.branch('other').file('other.txt', 'other\n').commit('other').switch('main');
    const bulkhead = await world.open();
    const branch = await bulkhead.createSession({ name: 'Branch', from: { kind: 'revision', revision: 'other' } });
    assert.equal(read(cloneOf(branch), 'other.txt'), 'other\n');
    assert.equal(branch.base?.commit, world.repo.resolve('other'));
    write(cloneOf(branch), 'other.txt', 'second\n');
    const snapshot = await snapshotOf(bulkhead, branch);
    write(cloneOf(branch), 'other.txt', 'third, in no snapshot\n');
    const fromSnapshot = await bulkhead.createSession({ name: 'Snapshot', from: { kind: 'snapshot', oid: snapshot } });
    const fromSession = await bulkhead.createSession({
      name: 'Session',
      from: { kind: 'session', session: branch.id },
    });
    assert.equal(read(cloneOf(fromSnapshot), 'other.txt'), 'second\n');
    assert.equal(read(cloneOf(fromSession), 'other.txt'), 'third, in no snapshot\n');
    for (const session of [fromSnapshot, fromSession]) {
      assert.equal(await bulkhead.changedSinceBase(session.id), 0);
      assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
      assert.deepEqual(
        sharedFiles(cloneOf(session), cloneOf(branch)).filter((pair) => !pair.includes('/objects/')),
        [],
      );
    }
  });

  /** A session that is worked in, with the oracle's opinion of its snapshot. */
  async function worksIn(world: EngineWorld, bulkhead: Bulkhead, session: Session): Promise<void> {
    const clone = cloneOf(session);
    write(clone, 'agent/work.txt', 'work\n');
    const { tree, snapshot } = await checkpoint(bulkhead, session);
    assert.notEqual(snapshot, null);
    const oracle = new Oracle({
      objects: [join(world.store, 'objects'), join(clone, '.git', 'objects')],
      format: tree.length === 64 ? 'sha256' : 'sha1',
    });
    assert.equal(
      tree,
      oracle.tree({ workTree: clone, baseTree: session.base?.tree ?? '', headTree: headTreeOf(clone) }),
    );
    await restoreAll(bulkhead, session, session.newest ?? '');
    assert.equal(existsSync(join(clone, 'agent')), false);
    await bulkhead.undo({ session: session.id, consent: 'ask' });
    assert.equal(read(clone, 'agent/work.txt'), 'work\n');
    assert.equal(tryGit(['fsck', '--no-dangling'], clone).code, 0);
    fsck(world.store);
  }

  it('works in a repository without commits', async () => {
    const world = newWorld((folder) => repo(folder).file('loose.txt', 'loose\n'));
    const bulkhead = await world.open();
    const empty = await bulkhead.createSession({ name: 'Empty', from: { kind: 'head' } });
    assert.deepEqual(filesIn(cloneOf(empty)), {});
    assert.equal(gitLine(['symbolic-ref', 'HEAD'], cloneOf(empty)), 'refs/heads/empty');
    await worksIn(world, bulkhead, empty);
    const carried = await bulkhead.createSession({ name: 'Carried', from: { kind: 'head' }, carryUncommitted: true });
    assert.equal(read(cloneOf(carried), 'loose.txt'), 'loose\n');
    await worksIn(world, bulkhead, carried);
    // The first commits of both sides come later.
    git(['add', '--all'], cloneOf(empty));
    git(['commit', '--quiet', '--message', 'first'], cloneOf(empty));
    assert.equal((await checkpoint(bulkhead, empty)).snapshot, null);
    world.repo.commit('her first');
    const later = await bulkhead.createSession({ name: 'Later', from: { kind: 'head' } });
    assert.equal(read(cloneOf(later), 'loose.txt'), 'loose\n');
  });

  it('works from a detached HEAD whose commit no branch reaches', async () => {
    const world = newWorld();
    world.repo.git('switch', '--quiet', '--detach').file('a.txt', 'detached\n').commit('detached');
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Detached', from: { kind: 'head' } });
    assert.equal(read(cloneOf(session), 'a.txt'), 'detached\n');
    assert.equal(session.base?.commit, world.repo.resolve('HEAD'));
    await worksIn(world, bulkhead, session);
    // Newer than store and donor.
    world.repo.file('a.txt', 'again\n').commit('again');
    assert.equal(
      read(cloneOf(await bulkhead.createSession({ name: 'Newer', from: { kind: 'head' } })), 'a.txt'),
      'again\n',
    );
  });

  it('works from a linked work tree', async () => {
    const world = newWorld();
    const linked = join(world.folder, 'linked tree');
    world.repo.git('worktree', 'add', '--quiet', '-b', 'linked', linked);
    write(linked, 'a.txt', 'in the linked tree\n');
    git(['commit', '--quiet', '--all', '--message', 'linked'], linked);
    const before = contents(world.repo.dir);
    const bulkhead = await world.open({}, linked);
    const session = await bulkhead.createSession({ name: 'Linked', from: { kind: 'head' } });
    assert.equal(read(cloneOf(session), 'a.txt'), 'in the linked tree\n');
    await worksIn(world, bulkhead, session);
    write(linked, 'a.txt', 'edited\n');
    const { changed } = await bulkhead.checkpoint({ session: 'workspace', trigger: 'manual' });
    assert.deepEqual(
      changed.map(({ path }) => path),
      ['a.txt'],
    );
    assert.deepEqual(contents(world.repo.dir), before);
  });

  it('works in a repository with SHA-256', async () => {
    const world = newWorld((folder) => repo(folder, { format: 'sha256' }).file('a.txt', 'one\n').commit('first'));
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Long', from: { kind: 'head' } });
    assert.equal(session.newest?.length, 64);
    await worksIn(world, bulkhead, session);
  });

  it('works from a shallow repository, also when it has moved on', async () => {
    const world = newWorld((folder) => {
      const full = repo(`${folder} full`)
        .file('a.txt', '1\n')
        .commit('1')
        .file('a.txt', '2\n')
        .commit('2')
        .file('a.txt', '3\n')
        .commit('3');
      git(['clone', '--quiet', '--depth=1', `file://${full.dir}`, folder], '/');
      return repo(folder);
    });
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Shallow', from: { kind: 'head' } });
    assert.equal(read(cloneOf(session), 'a.txt'), '3\n');
    await worksIn(world, bulkhead, session);
    world.repo.file('a.txt', '4\n').commit('4');
    const later = await bulkhead.createSession({ name: 'Later', from: { kind: 'head' } });
    assert.equal(read(cloneOf(later), 'a.txt'), '4\n');
    git(['commit', '--quiet', '--allow-empty', '--message', 'of the agent'], cloneOf(later));
    await checkpoint(bulkhead, later);
    assert.equal(
      gitLine(['rev-parse', `refs/bulkhead/heads/${later.id}/HEAD`], world.store),
      gitLine(['rev-parse', 'HEAD'], cloneOf(later)),
    );
  });

  it('borrows nothing from where a repository with alternates borrows', async () => {
    const world = newWorld((folder) => {
      const lender = repo(`${folder} lender`).file('a.txt', 'lent\n').commit('lent');
      git(['clone', '--quiet', '--shared', lender.dir, folder], '/');
      return repo(folder).file('b.txt', 'own\n').commit('own');
    });
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ name: 'Borrow', from: { kind: 'head' } });
    for (const gitDir of [world.store, join(world.storage, 'donor.git'), join(cloneOf(session), '.git')]) {
      assert.equal(existsSync(join(gitDir, 'objects', 'info', 'alternates')), false, gitDir);
    }
    await worksIn(world, bulkhead, session);
  });

  it('copies the objects of a repository that lies on another file system', async () => {
    // Memory is a file system of its own wherever there is one; elsewhere the two are on the same disk, and that works too.
    const elsewhere = mkdtempSync(existsSync('/dev/shm') ? '/dev/shm/bulkhead-' : join(tmpdir(), 'bulkhead-'));
    try {
      const world = newWorld(() => repo(join(elsewhere, 'user')).file('a.txt', 'far away\n').commit('first'));
      const bulkhead = await world.open();
      const session = await bulkhead.createSession({ name: 'Far away', from: { kind: 'head' } });
      await worksIn(world, bulkhead, session);
    } finally {
      rmSync(elsewhere, { recursive: true, force: true });
    }
  });

  it('keeps a session in a repository that is reached through a link apart from nothing: one storage, one key', async () => {
    const world = newWorld();
    const link = join(world.folder, 'link');
    mkdirSync(link, { recursive: true });
    symlinkSync(world.repo.dir, join(link, 'repo'));
    const bulkhead = await world.open({}, join(link, 'repo'));
    assert.equal(bulkhead.info.repository, realpathSync(world.repo.dir));
  });
});
