import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliWorld, type SessionDocument } from '../support/cliWorld';
import { gitLine } from '../support/git';

interface ApplyDocument {
  readonly files: readonly { readonly path: string; readonly status: string }[];
  readonly conflicts: readonly string[];
  readonly branch: string | null;
  readonly patch: string | null;
  readonly undo: string | null;
}

describe('command line: apply', function () {
  this.timeout(60_000);
  let world: CliWorld;
  let session: SessionDocument;

  beforeEach('a session with work', async () => {
    world = new CliWorld();
    session = await world.newSession('--name', 'My work');
    writeFileSync(join(session.path, 'a.txt'), 'changed\n');
    writeFileSync(join(session.path, 'new.txt'), 'new\n');
    await world.checkpoint(session.path);
  });

  const apply = (...args: string[]): Promise<ApplyDocument> =>
    world.json<ApplyDocument>(['apply', session.id, '--mode', 'branch', ...args]);
  const branches = (): string => gitLine(['branch', '--list', '--format=%(refname:short)'], world.repo.dir);

  it('shows what it would do and writes nothing with --dry-run', async () => {
    const result = await apply('--dry-run');
    assert.deepEqual(Object.keys(result), ['files', 'conflicts', 'branch', 'patch', 'undo']);
    assert.deepEqual(result.files, [
      { path: 'a.txt', status: 'modified' },
      { path: 'new.txt', status: 'added' },
    ]);
    assert.deepEqual([result.conflicts, result.patch], [[], null]);
    assert.equal(branches(), 'main');
  });

  it('makes a branch, and leaves the checkout alone', async () => {
    const head = world.repo.resolve('HEAD');
    const { branch } = await apply();
    assert.ok(branch !== null);
    assert.equal(gitLine(['show', `${branch}:a.txt`], world.repo.dir), 'changed');
    assert.equal(gitLine(['show', `${branch}:new.txt`], world.repo.dir), 'new');
    assert.equal(world.repo.resolve('HEAD'), head);
    assert.equal(gitLine(['status', '--porcelain'], world.repo.dir), '');
    assert.equal(gitLine(['symbolic-ref', '--short', 'HEAD'], world.repo.dir), 'main');
    assert.equal(gitLine(['for-each-ref', 'refs/bulkhead'], world.repo.dir), '');
  });

  it('applies only the given paths', async () => {
    const { branch, files } = await apply('--', 'new.txt');
    assert.deepEqual(files, [{ path: 'new.txt', status: 'added' }]);
    assert.equal(gitLine(['show', `${branch ?? ''}:a.txt`], world.repo.dir), 'one\ntwo\nthree');
  });

  it('exits 5 for an unknown path, and 2 for one outside', async () => {
    await world.failure(5, ['apply', session.id, '--mode', 'branch', '--', 'nowhere']);
    await world.failure(2, ['apply', session.id, '--mode', 'branch', '--', '../x']);
    await world.failure(2, ['apply', 'workspace', '--mode', 'branch']);
  });
});
