import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliWorld, type RestoreDocument, type SessionDocument } from '../support/cliWorld';
import { git, gitLine } from '../support/git';
import { storeOf } from '../support/snapshotTree';

describe('command line: restore and undo', function () {
  this.timeout(60_000);
  let world: CliWorld;
  let session: SessionDocument;
  let target: string;

  beforeEach('a snapshot, and another one after it', async () => {
    world = new CliWorld();
    session = await world.newSession();
    write('a.txt', 'first\n');
    write('only-then.txt', 'x\n');
    target = (await world.checkpoint(session.path)).newest;
    write('a.txt', 'second\n');
    write('later.txt', 'later\n');
    rmSync(join(session.path, 'only-then.txt'));
    await world.checkpoint(session.path);
  });

  const write = (path: string, content: string): void => writeFileSync(join(session.path, path), content);
  const read = (path: string): string => readFileSync(join(session.path, path), 'utf8');
  const restore = (...args: string[]): Promise<RestoreDocument> =>
    world.json<RestoreDocument>(['restore', ...args], { cwd: session.path });
  const undo = (...args: string[]): Promise<RestoreDocument> =>
    world.json<RestoreDocument>(['undo', ...args], { cwd: session.path });

  it('shows the plan and writes nothing with --dry-run', async () => {
    const before = await world.snapshots(session.path);
    const result = await restore(target, '--dry-run');
    assert.deepEqual(Object.keys(result), ['plan', 'snapshot', 'undo']);
    assert.deepEqual(result, {
      plan: { write: ['a.txt', 'only-then.txt'], delete: ['later.txt'], keep: [], contested: [], risky: [] },
      snapshot: null,
      undo: null,
    });
    assert.equal(read('a.txt'), 'second\n');
    assert.deepEqual(await world.snapshots(session.path), before);
  });

  it('makes the work tree equal to the snapshot', async () => {
    const result = await restore(target);
    assert.deepEqual(result.plan.write, ['a.txt', 'only-then.txt']);
    assert.equal(read('a.txt'), 'first\n');
    assert.equal(existsSync(join(session.path, 'later.txt')), false);
    assert.notEqual(result.snapshot, null);
    assert.notEqual(result.undo, null);
    const diff = await world.json<{ files: unknown[] }>(['diff', target], { cwd: session.path });
    assert.deepEqual(diff.files, []);
    const again = await restore(target);
    assert.deepEqual([again.plan.write, again.snapshot], [[], null]);
  });

  it('restores only the given paths, also those that are gone', async () => {
    const result = await restore(target, '--', 'only-then.txt');
    assert.deepEqual([result.plan.write, result.plan.delete], [['only-then.txt'], []]);
    assert.equal(read('only-then.txt'), 'x\n');
    assert.equal(read('a.txt'), 'second\n');
  });

  it('keeps uncaptured work in the safety snapshot, and undo brings back the exact bytes', async () => {
    write('a.txt', 'not yet recorded\r\n');
    const done = await restore(target);
    assert.equal(read('a.txt'), 'first\n');
    const undone = await undo();
    assert.equal(read('a.txt'), 'not yet recorded\r\n');
    assert.equal(read('later.txt'), 'later\n');
    assert.notEqual(undone.snapshot, done.snapshot);
    const redone = await undo('--redo');
    assert.equal(read('a.txt'), 'first\n');
    assert.notEqual(redone.snapshot, null);
  });

  it('undoes one further back each time', async () => {
    await restore(target);
    await restore(session.newest);
    assert.equal(read('a.txt'), 'one\ntwo\nthree\n');
    await undo();
    assert.equal(read('a.txt'), 'first\n');
    await undo();
    assert.equal(read('a.txt'), 'second\n');
    assert.equal((await world.failure(5, ['undo'], { cwd: session.path })).code, 'nothing-to-undo');
  });

  it('asks before it writes over the work of another agent', async () => {
    write('a.txt', 'theirs\n');
    await world.checkpoint(session.path, '--agent', 'claude-code');
    const before = await world.snapshots(session.path);
    const refused = await world.failure(3, ['restore', target, '--agent', 'codex'], { cwd: session.path });
    assert.equal(refused.code, 'needs-consent');
    const { plan } = refused.data as unknown as RestoreDocument;
    assert.deepEqual(
      plan.contested.map(({ path, agent }) => [path, agent]).filter(([, agent]) => agent === 'claude-code'),
      [['a.txt', 'claude-code']],
    );
    assert.equal(read('a.txt'), 'theirs\n');
    assert.deepEqual(await world.snapshots(session.path), before);

    const dry = await restore(target, '--agent', 'codex', '--dry-run');
    assert.ok(dry.plan.contested.some(({ path }) => path === 'a.txt'));

    const text = await world.run(['restore', target, '--agent', 'codex'], { cwd: session.path });
    assert.equal(text.code, 3, text.story);
    assert.match(text.stderr, /contested a\.txt \(claude-code/);

    await restore(target, '--agent', 'codex', '--only-safe');
    assert.equal(read('a.txt'), 'theirs\n');
    await restore(target, '--agent', 'codex', '--force');
    assert.equal(read('a.txt'), 'first\n');
  });

  it('asks before it writes risky files', async () => {
    write('.env', 'SECRET=1\n');
    const withSecret = (await world.checkpoint(session.path)).newest;
    write('.env', 'SECRET=2\n');
    await world.checkpoint(session.path);
    const refused = await world.failure(3, ['restore', withSecret], { cwd: session.path });
    const { plan } = refused.data as unknown as RestoreDocument;
    assert.deepEqual(plan.risky, [{ path: '.env', category: 'system' }]);
    await restore(withSecret, '--force');
    assert.equal(read('.env'), 'SECRET=1\n');
  });

  it('needs --force for a snapshot of another session', async () => {
    const other = await world.newSession();
    const args = ['restore', target, '--session', other.id];
    const refused = await world.run([...args, '--json']);
    assert.equal(refused.code, 3, refused.story);
    assert.equal(readFileSync(join(other.path, 'a.txt'), 'utf8'), 'one\ntwo\nthree\n');
    await world.json([...args, '--dry-run']);
    await world.json([...args, '--force']);
    assert.equal(readFileSync(join(other.path, 'a.txt'), 'utf8'), 'first\n');
  });

  it('exits 5 for unknown snapshots and paths, and 2 for paths outside', async () => {
    assert.equal((await world.failure(5, ['restore', '0123456789'], { cwd: session.path })).code, 'snapshot-not-found');
    assert.equal(
      (await world.failure(5, ['restore', target, '--', 'nowhere'], { cwd: session.path })).code,
      'path-not-found',
    );
    await world.failure(2, ['restore', target, '--', '../x'], { cwd: session.path });
    await world.failure(2, ['restore', target, 'a.txt'], { cwd: session.path });
    assert.equal((await world.failure(5, ['undo'], { cwd: session.path })).code, 'nothing-to-undo');
  });

  it('exits 4 while somebody else holds the session, and changes nothing', async () => {
    const store = storeOf(dirname(dirname(dirname(session.path))));
    // The record of a later version: it cannot be read, so its holder cannot be proven dead.
    const claim = gitLine(['hash-object', '-w', '--stdin'], store, { input: '{"format":99}' });
    git(['update-ref', `refs/bulkhead/claims/${session.id}`, claim], store);
    const before = gitLine(['rev-parse', session.shadowRef], store);
    for (const args of [['restore', target], ['undo'], ['session', 'rm', session.id, '--force']]) {
      const run = await world.run([...args, '--json'], { cwd: session.path });
      assert.ok(run.code === 4 || (run.code === 5 && args[0] === 'undo'), run.story);
    }
    assert.equal(read('a.txt'), 'second\n');
    assert.equal(gitLine(['rev-parse', session.shadowRef], store), before);
  });

  it('restores the checkout from inside the repository', async () => {
    const { newest } = await world.checkpoint(world.repo.dir);
    world.repo.file('a.txt', 'edited\n');
    await world.checkpoint(world.repo.dir);
    await world.json(['restore', newest]);
    assert.equal(readFileSync(join(world.repo.dir, 'a.txt'), 'utf8'), 'one\ntwo\nthree\n');
  });
});
