import assert from 'node:assert/strict';
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliWorld, type SessionDocument } from '../support/cliWorld';

interface FileDocument {
  readonly path: string;
  readonly oldPath: string | null;
  readonly status: string;
  readonly oldMode: string | null;
  readonly newMode: string | null;
  readonly added: number | null;
  readonly deleted: number | null;
}

interface DiffDocument {
  readonly from: string;
  readonly to: string;
  readonly files: readonly FileDocument[];
}

describe('command line: diff', function () {
  this.timeout(60_000);
  const world = new CliWorld();
  let session: SessionDocument;
  let first: string;
  let second: string;

  before('two snapshots and an edit after them', async () => {
    world.repo
      .file('moved.txt', 'one\ntwo\nthree\nfour\nfive\n')
      .file('bin', Buffer.from([0, 1, 2]))
      .commit('more');
    session = await world.newSession();
    writeFileSync(join(session.path, 'a.txt'), 'one\ntwo\n3\n4\n');
    first = (await world.checkpoint(session.path)).newest;
    renameSync(join(session.path, 'moved.txt'), join(session.path, 'new name.txt'));
    writeFileSync(join(session.path, 'bin'), Buffer.from([0, 9]));
    chmodSync(join(session.path, 'a.txt'), 0o755);
    rmSync(join(session.path, 'src/b.ts'));
    writeFileSync(join(session.path, 'added.txt'), 'added\n');
    second = (await world.checkpoint(session.path)).newest;
    writeFileSync(join(session.path, 'live.txt'), 'not in a snapshot\n');
  });

  const diff = (...args: string[]): Promise<DiffDocument> =>
    world.json<DiffDocument>(['diff', ...args], { cwd: session.path });
  const paths = async (...args: string[]): Promise<string[]> => (await diff(...args)).files.map(({ path }) => path);

  it('compares two snapshots', async () => {
    const { files, ...trees } = await diff(first, second);
    assert.deepEqual(Object.keys(trees), ['from', 'to']);
    assert.deepEqual(files, [
      { path: 'a.txt', oldPath: null, status: 'modified', oldMode: '100644', newMode: '100755', added: 0, deleted: 0 },
      { path: 'added.txt', oldPath: null, status: 'added', oldMode: null, newMode: '100644', added: 1, deleted: 0 },
      {
        path: 'bin',
        oldPath: null,
        status: 'modified',
        oldMode: '100644',
        newMode: '100644',
        added: null,
        deleted: null,
      },
      {
        path: 'new name.txt',
        oldPath: 'moved.txt',
        status: 'renamed',
        oldMode: '100644',
        newMode: '100644',
        added: 0,
        deleted: 0,
      },
      { path: 'src/b.ts', oldPath: null, status: 'deleted', oldMode: '100644', newMode: null, added: 0, deleted: 1 },
    ]);
  });

  it('takes abbreviated ids, the snapshot before, the base and the work tree', async () => {
    assert.deepEqual(await diff(`${second}^`, second.slice(0, 6)), await diff(first, second));
    assert.deepEqual(await paths('base', first), ['a.txt']);
    assert.deepEqual(await paths(second), ['live.txt']);
    assert.deepEqual(await paths(second, 'worktree'), ['live.txt']);
    assert.deepEqual(await paths('worktree', second), ['live.txt']);
    assert.deepEqual(await paths('base', 'base'), []);
    // As many as one argument can hold.
    const { code, message } = await world.failure(5, ['diff', second + '^'.repeat(100_000)]);
    assert.equal(code, 'snapshot-not-found');
    assert.match(message, /^There is no snapshot before [0-9a-f]+\^\^\.$/);
  });

  it('writes no snapshot when it looks at the work tree', async () => {
    const before = await world.snapshots(session.path);
    await diff('base', 'worktree');
    assert.deepEqual(await world.snapshots(session.path), before);
  });

  it('compares sessions', async () => {
    const other = await world.newSession();
    const result = await world.json<DiffDocument>([
      'diff',
      `session:${other.id}`,
      `session:${session.id}`,
      '--',
      'a.txt',
    ]);
    assert.deepEqual(
      result.files.map(({ path, added, deleted }) => [path, added, deleted]),
      [['a.txt', 2, 1]],
    );
  });

  it('keeps to the given paths', async () => {
    assert.deepEqual(await paths(first, second, '--', 'a.txt', 'src'), ['a.txt', 'src/b.ts']);
    const inside = await world
      .json<DiffDocument>(['diff', first, second, '--', 'b.ts'], { cwd: join(session.path, 'src') })
      .catch(() => undefined);
    // The folder may be gone with its only file; then there is no current folder to be relative to.
    assert.ok(inside === undefined || inside.files[0]?.path === 'src/b.ts');
  });

  it('lists names only', async () => {
    const run = await world.run(['diff', first, second, '--name-only'], { cwd: session.path });
    assert.equal(run.stdout, 'a.txt\nadded.txt\nbin\nnew name.txt\nsrc/b.ts\n', run.story);
  });

  it('shows a table', async () => {
    const run = await world.run(['diff', first, second], { cwd: session.path });
    assert.match(run.stdout, /^R +0 +0 +moved\.txt → new name\.txt$/m, run.story);
  });

  it('exits 5 for unknown snapshots, sessions and paths, and 2 for paths outside', async () => {
    assert.equal((await world.failure(5, ['diff', '0123456789'], { cwd: session.path })).code, 'snapshot-not-found');
    await world.failure(5, ['diff', 'session:nobody']);
    // Inside a clone nothing is told of others, not even whether they are there.
    await world.failure(3, ['diff', 'session:nobody'], { cwd: session.path });
    assert.equal(
      (await world.failure(5, ['diff', first, '--', 'nowhere'], { cwd: session.path })).code,
      'path-not-found',
    );
    await world.failure(2, ['diff', first, '--', '../x'], { cwd: session.path });
    const start = await world.failure(5, ['diff', `${session.newest}^`], { cwd: session.path });
    assert.equal(start.code, 'snapshot-not-found');
  });
});
