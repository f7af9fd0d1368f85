import assert from 'node:assert/strict';
import { pathsOf } from '../../../src/cli/paths';

/** Folders that do not exist: only the words matter. */
const workTree = '/no/such/tree';

describe('paths of the command line', () => {
  const of = (cwd: string, ...given: string[]): Promise<readonly string[] | undefined> =>
    pathsOf({ given, workTree, cwd });

  it('are relative to the current folder inside the work tree, else to its root', async () => {
    assert.deepEqual(await of(workTree, 'a', './b/', 'c//d'), ['a', 'b', 'c/d']);
    assert.deepEqual(await of(`${workTree}/sub`, 'a', '../b', '.'), ['sub/a', 'b', 'sub']);
    assert.deepEqual(await of('/elsewhere', 'a'), ['a']);
    assert.deepEqual(await of('/no/such/tree-beside', 'a'), ['a']);
    assert.deepEqual(await of('/elsewhere', `${workTree}/x`), ['x']);
  });

  it('are taken literally', async () => {
    assert.deepEqual(await of(workTree, '*.txt', ':(top)x', '..a', 'ü'), [
      '*.txt',
      ':(top)x',
      '..a',
      Buffer.from('ü').toString('latin1'),
    ]);
  });

  it('mean everything when there are none, or the root is among them', async () => {
    assert.equal(await of(workTree), undefined);
    assert.equal(await of(workTree, '.'), undefined);
    assert.equal(await of(`${workTree}/sub`, 'a', '..'), undefined);
  });

  for (const path of ['..', '../x', '/etc/passwd', 'a/../../x', '/no/such/tree-beside/x']) {
    it(`refuse ${path} as outside`, async () => {
      await assert.rejects(of(workTree, path), { kind: 'user', code: 'path-outside' });
      await assert.rejects(of('/elsewhere', path), { kind: 'user', code: 'path-outside' });
    });
  }

  for (const path of ['', '.git', '.git/config', 'a/.GIT/b', 'git~1']) {
    it(`refuse ${JSON.stringify(path)} as no path of a work tree`, async () => {
      await assert.rejects(of(workTree, path), { kind: 'user', code: 'path-invalid' });
    });
  }

  it('can be named for a session without a folder, but not by where they would be', async () => {
    const none = (...given: string[]): Promise<readonly string[] | undefined> =>
      pathsOf({ given, workTree: null, cwd: workTree });
    assert.deepEqual(await none('a/b'), ['a/b']);
    for (const path of ['/a', '../a', 'a/../../b']) {
      await assert.rejects(none(path), { code: 'path-outside' }, path);
    }
  });
});
