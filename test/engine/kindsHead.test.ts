import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readHead, readNestedHead } from '../../src/git/headFile';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { repo } from '../support/repo';
import { temporaryFolder } from '../support/temporary';
import { checkpoint, cloneOf, EngineWorld, write } from './world';

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

describe('a clone whose agent has moved the refs into tables', () => {
  useOwnHome();
  let world: EngineWorld;

  beforeEach(() => {
    world = new EngineWorld();
  });

  afterEach(async () => {
    await world.close();
  });

  it('is brought in with HEAD and its branches, as one with plain files', async function () {
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    const clone = cloneOf(session);
    // The first versions that can do it do not take logs along.
    rmSync(join(clone, '.git', 'logs'), { recursive: true });
    if (tryGit(['refs', 'migrate', '--ref-format=reftable'], clone).code !== 0) {
      this.skip();
    }
    write(clone, 'ignored but tracked.log', 'log\n');
    git(['add', '--all'], clone);
    git(['commit', '--quiet', '--message', 'work'], clone);
    git(['branch', 'aside', 'HEAD~1'], clone);
    write(clone, '.gitignore', '*.log\n');
    write(clone, 'ignored but tracked.log', 'changed\n');
    const { changed } = await checkpoint(bulkhead, session);
    assert.deepEqual(
      changed.map(({ path }) => path),
      ['.gitignore', 'ignored but tracked.log'],
    );
    assert.equal((await bulkhead.preflightRemoval(session.id)).unpushedCommits, 1);
    const kept = gitLine(['for-each-ref', '--format=%(refname)', `refs/bulkhead/heads/${session.id}`], world.store);
    assert.deepEqual(
      kept.split('\n').map((ref) => ref.slice(`refs/bulkhead/heads/${session.id}/`.length)),
      ['HEAD', 'aside', session.branch],
    );
    const { branch } = await bulkhead.apply({ session: session.id, mode: 'branch' });
    assert.equal(gitLine(['rev-parse', `${branch ?? ''}~1`], world.repo.dir), gitLine(['rev-parse', 'HEAD'], clone));
  });
});
