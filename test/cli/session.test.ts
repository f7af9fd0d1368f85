import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliWorld, type SessionDocument } from '../support/cliWorld';
import { git, gitLine } from '../support/git';
import { storeOf } from '../support/snapshotTree';

const SHAPE = ['id', 'name', 'path', 'state', 'base', 'shadowRef', 'branch', 'snapshots', 'newest', 'created'];

describe('command line: session', function () {
  this.timeout(60_000);

  it('makes a session at HEAD and shows it', async () => {
    const world = new CliWorld();
    const made = await world.newSession('--name', 'Try one');
    assert.deepEqual(Object.keys(made), SHAPE);
    assert.match(made.id, /^[a-z2-7]{12}$/);
    assert.equal(made.name, 'Try one');
    assert.equal(made.state, 'ready');
    assert.deepEqual(made.base, { commit: world.repo.resolve('HEAD'), tree: world.repo.resolve('HEAD^{tree}') });
    assert.equal(made.shadowRef, `refs/bulkhead/sessions/${made.id}`);
    assert.equal(made.snapshots, 1);
    assert.match(made.newest, /^[0-9a-f]{40}$/);
    assert.equal(new Date(made.created).toISOString(), made.created);
    assert.equal(gitLine(['symbolic-ref', '--short', 'HEAD'], made.path), made.branch);
    assert.equal(gitLine(['status', '--porcelain'], made.path), '');
    assert.deepEqual(await world.json(['session', 'show', made.id]), made);
    assert.deepEqual(await world.json(['session', 'show', made.id.slice(0, 4)]), made);
    assert.deepEqual(await world.json(['session', 'show', 'Try one']), made);
    assert.deepEqual(await world.json(['session', 'list']), [made]);
    const [start] = await world.snapshots(made.path);
    assert.equal(start?.trigger, 'start');
  });

  it('says on stderr what could not be brought along, and makes the session all the same', async () => {
    const world = new CliWorld();
    writeFileSync(join(world.repo.dir, 'large.dat'), Buffer.alloc(11 * 1024 * 1024));
    const run = await world.run(['session', 'new', '--carry-uncommitted', '--json']);
    assert.equal(run.code, 0);
    assert.match(run.stderr, /Not carried over.*bulkhead\.snapshot\.maxFileSize: 1 file \(large\.dat\)/);
    assert.deepEqual(Object.keys(JSON.parse(run.stdout) as object), SHAPE);
  });

  it('keeps the user’s .git as it is', async () => {
    const world = new CliWorld();
    const before =
      gitLine(['for-each-ref'], world.repo.dir) +
      world.repo.resolve('HEAD') +
      git(['config', '--list', '--local'], world.repo.dir).toString();
    const session = await world.newSession();
    writeFileSync(join(session.path, 'a.txt'), 'changed\n');
    await world.checkpoint(session.path);
    await world.checkpoint(world.repo.dir);
    const after =
      gitLine(['for-each-ref'], world.repo.dir) +
      world.repo.resolve('HEAD') +
      git(['config', '--list', '--local'], world.repo.dir).toString();
    assert.equal(after, before);
    assert.equal(gitLine(['status', '--porcelain'], world.repo.dir), '');
  });

  it('names sessions by themselves, and lists the newest first', async () => {
    const world = new CliWorld();
    const first = await world.newSession();
    const second = await world.newSession();
    assert.deepEqual([first.name, second.name], ['Session 1', 'Session 2']);
    const list = await world.json<SessionDocument[]>(['session', 'list']);
    assert.deepEqual(
      list.map(({ id }) => id),
      [second.id, first.id],
    );
    const text = await world.run(['session', 'list']);
    assert.match(text.stdout, /^ID +NAME +STATE/, text.story);
    assert.equal(text.stdout.trimEnd().split('\n').length, 3);
    assert.ok(!text.stdout.includes('\u001b'));
  });

  it('starts from a branch, a commit, a snapshot, and another session', async () => {
    const world = new CliWorld();
    const { repo } = world;
    repo.branch('side').file('side.txt', 'side\n').commit('side').switch('main');
    const fromBranch = await world.newSession('--from', 'side');
    assert.equal(fromBranch.base.commit, repo.resolve('side'));
    const fromCommit = await world.newSession('--from', repo.resolve('side').slice(0, 12));
    assert.equal(fromCommit.base.commit, repo.resolve('side'));
    const fromParent = await world.newSession('--from', 'side~1');
    assert.equal(fromParent.base.commit, repo.resolve('main'));

    writeFileSync(join(fromBranch.path, 'side.txt'), 'more\n');
    const { snapshot } = await world.checkpoint(fromBranch.path);
    assert.ok(snapshot !== null);
    writeFileSync(join(fromBranch.path, 'side.txt'), 'most\n');
    await world.checkpoint(fromBranch.path);

    const fromSnapshot = await world.newSession('--from', snapshot.slice(0, 8));
    assert.equal(
      git(['hash-object', 'side.txt'], fromSnapshot.path).toString(),
      git(['hash-object', '--stdin'], world.folder, { input: 'more\n' }).toString(),
    );
    const fromSession = await world.newSession('--from', `session:${fromBranch.id}`);
    assert.equal(
      git(['hash-object', 'side.txt'], fromSession.path).toString(),
      git(['hash-object', '--stdin'], world.folder, { input: 'most\n' }).toString(),
    );
  });

  it('carries uncommitted work when asked, as part of the base', async () => {
    const world = new CliWorld();
    world.repo.file('a.txt', 'uncommitted\n').file('new.txt', 'untracked\n');
    const without = await world.newSession();
    assert.equal(existsSync(join(without.path, 'new.txt')), false);
    const carried = await world.newSession('--carry-uncommitted');
    assert.equal(existsSync(join(carried.path, 'new.txt')), true);
    assert.notEqual(carried.base.tree, without.base.tree);
    const diff = await world.json<{ files: unknown[] }>(['diff', 'base', '--session', carried.id]);
    assert.deepEqual(diff.files, []);
  });

  it('forks a session', async () => {
    const world = new CliWorld();
    const parent = await world.newSession();
    writeFileSync(join(parent.path, 'forked.txt'), 'x\n');
    await world.checkpoint(parent.path);
    const fork = await world.json<SessionDocument>(['session', 'fork', parent.id]);
    assert.notEqual(fork.id, parent.id);
    assert.equal(existsSync(join(fork.path, 'forked.txt')), true);
  });

  it('renames', async () => {
    const world = new CliWorld();
    const session = await world.newSession('--name', 'before');
    const renamed = await world.json<SessionDocument>(['session', 'rename', session.id, 'Nach dem Spiel 🛟']);
    assert.deepEqual(renamed, { ...session, name: 'Nach dem Spiel 🛟' });
    assert.deepEqual(await world.json(['session', 'show', 'Nach dem Spiel 🛟']), renamed);
  });

  it('shows the checkout as workspace, and lists it nowhere', async () => {
    const world = new CliWorld();
    await world.checkpoint(world.repo.dir);
    const workspace = await world.json<SessionDocument>(['session', 'show', 'workspace']);
    assert.deepEqual(Object.keys(workspace), SHAPE);
    assert.equal(workspace.path, world.repo.dir);
    assert.equal(workspace.shadowRef, 'refs/bulkhead/workspace');
    assert.deepEqual(await world.json(['session', 'list', '--all']), []);
    await world.failure(2, ['session', 'rename', 'workspace', 'x']);
    await world.failure(2, ['session', 'rm', 'workspace', '--force']);
  });

  it('deletes into the trash, and keeps the snapshots', async () => {
    const world = new CliWorld();
    const kept = await world.newSession('--name', 'kept');
    const session = await world.newSession('--name', 'gone');
    writeFileSync(join(session.path, 'work.txt'), 'work\n');
    const refused = await world.failure(3, ['session', 'rm', session.id]);
    assert.equal(refused.code, 'would-lose');
    assert.equal(existsSync(session.path), true);

    const removed = await world.json<{ session: string; snapshot: string; trashed: string }>([
      'session',
      'rm',
      session.id,
      '--force',
    ]);
    assert.equal(removed.session, session.id);
    assert.equal(existsSync(session.path), false);
    assert.notEqual(removed.trashed, null);
    const store = storeOf(storageOf(kept));
    assert.equal(git(['cat-file', 'blob', `${removed.snapshot}:work.txt`], store).toString(), 'work\n');
    assert.deepEqual(
      (await world.json<SessionDocument[]>(['session', 'list'])).map(({ id }) => id),
      [kept.id],
    );
    const all = await world.json<SessionDocument[]>(['session', 'list', '--all']);
    assert.deepEqual(
      all.map(({ id, state }) => [id, state]),
      [
        [session.id, 'trashed'],
        [kept.id, 'ready'],
      ],
    );
    const trash = await world.json<SessionDocument[]>(['session', 'trash']);
    assert.deepEqual(
      trash.map(({ id }) => id),
      [session.id],
    );
    const snapshots = await world.snapshots(world.repo.dir, '--session', session.id);
    assert.equal(snapshots[0]?.trigger, 'final');
  });

  it('filters the list by state and by agent', async () => {
    const world = new CliWorld();
    const one = await world.newSession();
    const two = await world.newSession();
    writeFileSync(join(one.path, 'x'), 'x');
    await world.checkpoint(one.path, '--agent', 'claude-code');
    const ids = async (...args: string[]): Promise<string[]> =>
      (await world.json<SessionDocument[]>(['session', 'list', ...args])).map(({ id }) => id);
    assert.deepEqual(await ids('--agent', 'claude-code'), [one.id]);
    assert.deepEqual(await ids('--agent', 'codex'), []);
    rmSync(two.path, { recursive: true });
    assert.deepEqual(await ids('--state', 'missing'), [two.id]);
    assert.deepEqual(await ids('--state', 'ready'), [one.id]);
  });

  it('lists the others when one record is damaged', async () => {
    const world = new CliWorld();
    const good = await world.newSession();
    const bad = await world.newSession();
    const store = storeOf(storageOf(good));
    const junk = gitLine(['hash-object', '-w', '--stdin'], store, { input: '{"format":1,"id":' });
    git(['update-ref', `refs/bulkhead/records/${bad.id}`, junk], store);
    const list = await world.json<SessionDocument[]>(['session', 'list']);
    assert.deepEqual(
      list.map(({ id, state }) => [id, state]).sort(),
      [
        [good.id, 'ready'],
        [bad.id, 'damaged'],
      ].sort(),
    );
    assert.equal((await world.snapshots(world.repo.dir, '--session', bad.id)).length, 1);
  });

  it('never lists a half-made clone', async () => {
    const world = new CliWorld();
    const session = await world.newSession();
    mkdirSync(join(storageOf(session), 'creating', 'abcdefghijkl'), { recursive: true });
    const list = await world.json<SessionDocument[]>(['session', 'list']);
    assert.deepEqual(
      list.map(({ id }) => id),
      [session.id],
    );
  });

  const badNames = [
    '',
    '   ',
    'x'.repeat(101),
    'two\nlines',
    'bell\u0007',
    'turn\u202earound',
    'workspace',
    'Workspace',
  ];
  for (const name of badNames) {
    it(`exits 2 for the name ${JSON.stringify(name.slice(0, 20))}, and makes nothing`, async () => {
      const world = new CliWorld();
      const error = await world.failure(2, ['session', 'new', '--name', name]);
      assert.equal(error.code, 'name-invalid');
      assert.deepEqual(readdirSync(join(world.home, '.local', 'share')), []);
    });
  }

  const badStarts: readonly (readonly [string, readonly string[], readonly number[]])[] = [
    ['a branch that does not exist', ['--from', 'nowhere'], [2, 5]],
    ['a branch that begins with a dash', ['--from=-x'], [2]],
    ['an unknown snapshot', ['--from', '0123456789abcdef'], [2, 5]],
    ['an unknown session', ['--from', 'session:aaaaaaaaaaaa'], [5]],
    ['a revision with control characters', ['--from', 'ma\u0007in'], [2, 5]],
    ['a blob', ['--from', 'HEAD:a.txt'], [2, 5]],
  ];
  for (const [what, args, codes] of badStarts) {
    it(`refuses to start from ${what}`, async () => {
      const world = new CliWorld();
      const run = await world.run(['session', 'new', ...args, '--json']);
      assert.ok(codes.includes(run.code ?? -1), run.story);
      assert.deepEqual(await world.json(['session', 'list']), []);
    });
  }

  it('exits 2 for a name that another session has', async () => {
    const world = new CliWorld();
    await world.newSession('--name', 'same');
    const other = await world.newSession('--name', 'other');
    assert.equal((await world.failure(2, ['session', 'new', '--name', 'same'])).code, 'name-taken');
    assert.equal((await world.failure(2, ['session', 'rename', other.id, 'same'])).code, 'name-taken');
  });

  it('exits 5 for an unknown session', async () => {
    const world = new CliWorld();
    await world.newSession();
    assert.equal((await world.failure(5, ['session', 'show', 'nobody'])).code, 'session-not-found');
    assert.equal((await world.failure(5, ['session', 'rm', 'aaaaaaaaaaaa'])).code, 'session-not-found');
    await world.failure(5, ['session', 'fork', 'aaaaaaaaaaaa']);
    await world.failure(5, ['session', 'rename', 'aaaaaaaaaaaa', 'x']);
    await world.failure(5, ['apply', 'aaaaaaaaaaaa', '--mode', 'branch']);
  });
});

/** The storage that a session lies in. */
function storageOf(session: SessionDocument): string {
  return dirname(dirname(dirname(session.path)));
}
