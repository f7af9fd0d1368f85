import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readHead, readNestedHead } from '../../src/git/headFile';
import { git } from '../support/git';
import { repo } from '../support/repo';
import { temporaryFolder } from '../support/temporary';

describe('a HEAD that is read from files', () => {
  it('is left to git when the refs are in a reftable, whose HEAD file is a stand-in', () => {
    const gitDir = join(temporaryFolder('head'), '.git');
    mkdirSync(join(gitDir, 'refs'), { recursive: true });
    writeFileSync(join(gitDir, 'HEAD'), 'ref: refs/heads/.invalid\n');
    writeFileSync(join(gitDir, 'refs', 'heads'), 'this repository uses the reftable format\n');
    assert.deepEqual(readHead(gitDir), { kind: 'unknown' });
    assert.deepEqual(readNestedHead(join(gitDir, '..'), [gitDir]), { kind: 'unknown' });
  });

  it('is found for a submodule of a linked work tree, whose git folder lies beside the work tree', () => {
    const folder = temporaryFolder('head');
    const library = repo(join(folder, 'library')).file('l.txt', 'l\n').commit('l');
    const main = repo(join(folder, 'main')).submodule('lib', library.dir).commit('sub');
    const linked = join(folder, 'linked');
    main.git('worktree', 'add', '--quiet', linked);
    git(['submodule', '--quiet', 'update', '--init'], linked);
    const expected = { kind: 'detached', oid: library.resolve('HEAD') };
    assert.deepEqual(readNestedHead(join(linked, 'lib'), [linked, join(main.dir, '.git')]), expected);
    assert.deepEqual(readNestedHead(join(linked, 'lib'), [linked]), { kind: 'unknown' });
  });
});
