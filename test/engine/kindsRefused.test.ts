import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BulkheadError } from '../../src/base/errors';
import { git, gitLine } from '../support/git';
import { repo } from '../support/repo';
import { temporaryFolder } from '../support/temporary';
import { checkpoint, cloneOf, EngineWorld, read, restoreAll, snapshotOf, write } from './world';

/** Whoever it is, somebody else. */
const OTHER = 12_345;

function chownAll(folder: string, uid: number): void {
  chownSync(folder, uid, uid);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      chownAll(path, uid);
    } else if (!entry.isSymbolicLink()) {
      chownSync(path, uid, uid);
    }
  }
}

async function refusal(world: EngineWorld, repository?: string): Promise<BulkheadError> {
  try {
    await world.open({}, repository);
  } catch (error) {
    assert.ok(error instanceof BulkheadError, String(error));
    assert.equal(error.kind, 'user');
    return error;
  }
  return assert.fail('it was not refused');
}

describe('a repository that cannot be worked with is refused before anything is made', function () {
  this.timeout(60_000);
  let world: EngineWorld;

  afterEach(async () => {
    await world.close();
  });

  async function refused(code: string, message: RegExp, repository?: string): Promise<void> {
    const error = await refusal(world, repository);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.equal(existsSync(world.storage), false, 'no storage was made');
  }

  it('a partial clone, with the commands that make it whole; after them it works', async () => {
    world = new EngineWorld((folder) => {
      const full = repo(join(folder, '..', 'full'))
        .file('a.txt', '1\n')
        .commit('1')
        .file('a.txt', '2\n')
        .commit('2');
      full.config('uploadpack.allowFilter', 'true');
      git(['clone', '--quiet', '--filter=blob:none', `file://${full.dir}`, folder], '/');
      return repo(folder);
    });
    await refused('partial-clone', /partial clone.*Nothing was made/s);
    const steps = /\): (.*)$/s.exec((await refusal(world)).message)?.[1]?.split(' && ') ?? [];
    assert.ok(steps.length >= 3, 'it names commands');
    for (const step of steps) {
      git(step.split(' ').slice(1), world.repo.dir);
    }
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    assert.equal(read(cloneOf(session), 'a.txt'), '2\n');
  });

  it('a bare repository', async () => {
    world = new EngineWorld((folder) => repo(folder, { bare: true }));
    await refused('bare-repository', /no work tree.*Open a clone/s);
  });

  it('a folder without a repository', async () => {
    world = new EngineWorld();
    const folder = join(world.folder, 'plain folder');
    mkdirSync(folder);
    await refused('not-a-repository', /git init/, folder);
  });

  it('the inside of a .git folder', async () => {
    world = new EngineWorld();
    await refused('not-a-repository', /inside a \.git folder/, join(world.repo.dir, '.git', 'objects'));
  });

  it('a work tree that is elsewhere', async () => {
    const elsewhere = temporaryFolder('elsewhere');
    world = new EngineWorld((folder) =>
      repo(folder).file('a.txt', '1\n').commit('1').config('core.worktree', elsewhere),
    );
    await refused('work-tree-elsewhere', new RegExp(`core\\.worktree is ${elsewhere}`));
  });

  it('a format that this git does not know', async () => {
    world = new EngineWorld((folder) =>
      repo(folder)
        .file('a.txt', '1\n')
        .commit('1')
        .config('core.repositoryFormatVersion', '1')
        .config('extensions.fromTheFuture', 'true'),
    );
    await refused('repository-too-new', /fromthefuture.*Update git/s);
  });

  it('a repository of another user, with the remedy of git; after it, it works', async function () {
    if (process.getuid?.() !== 0) {
      // Only root can give files away.
      this.skip();
    }
    world = new EngineWorld();
    chownAll(world.repo.dir, OTHER);
    await refused('unsafe-repository', /belongs to another user.*Nothing was made.*safe\.directory/s);
    const remedy = /git (config --global --add safe\.directory) '?(.*?)'?$/.exec((await refusal(world)).message);
    assert.equal(remedy?.[2], world.repo.dir);
    git(['config', '--global', '--add', 'safe.directory', world.repo.dir], world.folder, { env: world.environment });
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    write(cloneOf(session), 'a.txt', 'changed\n');
    await snapshotOf(bulkhead, session);
    write(world.repo.dir, 'a.txt', 'changed here\n');
    git(
      ['-c', `safe.directory=${world.repo.dir}`, 'commit', '--quiet', '--all', '--message', 'later'],
      world.repo.dir,
      {
        env: world.environment,
      },
    );
    const later = await bulkhead.createSession({ from: { kind: 'head' } });
    assert.equal(read(cloneOf(later), 'a.txt'), 'changed here\n');
  });

  it('a storage that another user owns', async function () {
    if (process.getuid?.() !== 0) {
      this.skip();
    }
    world = new EngineWorld();
    const bulkhead = await world.open();
    await bulkhead.createSession({ from: { kind: 'head' } });
    const before = gitLine(['for-each-ref'], world.store);
    chownAll(world.storage, OTHER);
    const error = await refusal(world);
    assert.equal(error.code, 'storage-of-another-user');
    assert.match(error.message, /uid 12345.*chown/s);
    assert.equal(gitLine([`--git-dir=${world.store}`, 'for-each-ref'], world.folder), before);
  });

  it('goes on recording a clone that another user took over', async function () {
    if (process.getuid?.() !== 0) {
      this.skip();
    }
    world = new EngineWorld();
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    const clone = cloneOf(session);
    write(clone, 'a.txt', 'committed\n');
    git(['commit', '--quiet', '--all', '--message', 'by the agent'], clone);
    chownAll(clone, OTHER);
    const { changed } = await checkpoint(bulkhead, session);
    assert.deepEqual(changed, [{ path: 'a.txt', status: 'modified' }]);
    await restoreAll(bulkhead, session, session.newest ?? '');
    assert.equal(read(clone, 'a.txt'), 'one\ntwo\nthree\n');
  });

  it('takes no notice of a GIT_DIR and its like in the environment', async () => {
    world = new EngineWorld();
    const other = repo(join(world.folder, 'other')).file('other.txt', 'other\n').commit('other');
    Object.assign(world.environment, {
      GIT_DIR: join(other.dir, '.git'),
      GIT_WORK_TREE: other.dir,
      GIT_INDEX_FILE: join(other.dir, '.git', 'index'),
      GIT_OBJECT_DIRECTORY: join(other.dir, '.git', 'objects'),
      GIT_CONFIG_PARAMETERS: `'core.bare=true'`,
    });
    const bulkhead = await world.open();
    assert.equal(bulkhead.info.repository, world.repo.dir);
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    assert.equal(read(cloneOf(session), 'a.txt'), 'one\ntwo\nthree\n');
    write(cloneOf(session), 'b.txt', 'new\n');
    await snapshotOf(bulkhead, session);
    assert.deepEqual(readdirSync(other.dir).sort(), ['.git', 'other.txt']);
  });
});

describe('what a new session cannot bring along', function () {
  this.timeout(60_000);
  let world: EngineWorld;

  afterEach(async () => {
    await world.close();
  });

  async function noticesOf(carryUncommitted: boolean, settings = {}): Promise<readonly string[]> {
    const bulkhead = await world.open(settings);
    const notices: string[] = [];
    await bulkhead.createSession({ from: { kind: 'head' }, carryUncommitted, onNotice: (text) => notices.push(text) });
    return notices;
  }

  it('names a submodule whose commit is nowhere on the disk, and makes the session all the same', async () => {
    world = new EngineWorld((folder) => {
      const library = repo(join(folder, '..', 'library'))
        .file('lib.txt', 'lib\n')
        .commit('lib');
      const builder = repo(folder).file('a.txt', '1\n').submodule('lib', library.dir).submodule('fine', library.dir);
      const absent = '1234567890123456789012345678901234567890';
      return builder
        .git('update-index', '--cacheinfo', `160000,${absent},lib`)
        .commitStaged('a commit that nobody has');
    });
    const [notice = '', ...more] = await noticesOf(false);
    assert.deepEqual(more, []);
    assert.match(notice, /submodule lib is empty.*1234567890.*git submodule update --init lib/s);
    const bulkhead = await world.open();
    const [session] = await bulkhead.sessions();
    const clone = cloneOf(session ?? assert.fail());
    assert.deepEqual(readdirSync(join(clone, 'lib')), []);
    assert.equal(read(clone, 'fine/lib.txt'), 'lib\n');
    assert.equal(existsSync(join(clone, '.git', 'modules', 'lib')), false, 'nothing half-made is left');
  });

  it('says nothing of a submodule that the person has not checked out either', async () => {
    world = new EngineWorld((folder) => {
      const library = repo(join(folder, '..', 'library'))
        .file('lib.txt', 'lib\n')
        .commit('lib');
      const source = repo(join(folder, '..', 'source'))
        .file('a.txt', '1\n')
        .submodule('lib', library.dir)
        .commit('sub');
      git(['clone', '--quiet', source.dir, folder], '/');
      return repo(folder);
    });
    assert.deepEqual(await noticesOf(false), []);
  });

  it('carries a submodule that was moved to another commit, and names a nested repository that is none', async () => {
    world = new EngineWorld((folder) => {
      const library = repo(join(folder, '..', 'library'))
        .file('lib.txt', 'lib\n')
        .commit('lib');
      const builder = repo(folder).file('a.txt', '1\n').submodule('lib', library.dir).commit('sub');
      write(join(folder, 'lib'), 'lib.txt', 'later\n');
      git(['commit', '--quiet', '--all', '--message', 'later'], join(folder, 'lib'));
      repo(join(folder, 'nested')).file('n.txt', 'n\n').commit('nested');
      return builder;
    });
    const [notice = '', ...more] = await noticesOf(true);
    assert.deepEqual(more, []);
    assert.match(notice, /repository of its own: nested\./);
    const bulkhead = await world.open();
    const [session] = await bulkhead.sessions();
    assert.equal(read(cloneOf(session ?? assert.fail()), 'lib/lib.txt'), 'later\n');
  });

  it('does not run a filter that lies in the work tree, where an agent can change it', async () => {
    const mark = join(temporaryFolder('mark'), 'mark');
    world = new EngineWorld((folder) => {
      const builder = repo(folder)
        .file('.gitattributes', '*.txt filter=own\n')
        .file('tool.sh', '#!/bin/sh\ncat\n', { executable: true });
      return builder
        .file('a.txt', '1\n')
        .config('filter.own.clean', 'sh tool.sh')
        .config('filter.own.smudge', '"./"tool.sh')
        .commit('1');
    });
    const settings = { allowedFilters: ['own'] };
    const notices = (await noticesOf(false, settings)).join();
    assert.match(notices, /filter "own".*is in bulkhead\.filters\.allowed, but.*full path/s);
    const bulkhead = await world.open(settings);
    const [session] = await bulkhead.sessions();
    const clone = cloneOf(session ?? assert.fail());
    writeFileSync(join(clone, 'tool.sh'), `#!/bin/sh\ntouch '${mark}'\ncat\n`);
    chmodSync(join(clone, 'tool.sh'), 0o755);
    write(clone, 'a.txt', '2\n');
    await snapshotOf(bulkhead, session ?? assert.fail());
    await restoreAll(bulkhead, session ?? assert.fail(), session?.newest ?? '');
    assert.equal(lstatSync(mark, { throwIfNoEntry: false }), undefined);
    assert.equal(read(clone, 'a.txt'), '1\n');
  });
});
