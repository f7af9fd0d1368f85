import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLog } from '../../src/base/log';
import { ContentWriter } from '../../src/session/contentWriter';
import { createHost } from '../../src/session/host';
import { openSnapshotStore } from '../../src/session/openSnapshotStore';
import { openStorage } from '../../src/session/storage';
import { openUserRepository } from '../../src/session/userRepository';
import { WorkTree } from '../../src/session/workTree';
import { git, gitLine, tryGit } from '../support/git';
import { repo } from '../support/repo';
import { SeededRandom } from '../support/seededRandom';
import { sample, seed } from '../support/soak';
import { temporaryFolder } from '../support/temporary';
import { assertTree, treeByGit } from './kindStory';
import { checkpoint, cloneOf, EngineWorld, pathOf, read, restoreAll, write } from './world';

const UPPER = 'tr a-z A-Z';
const settings = { allowedFilters: ['upper'] };

/** What an allowed filter or git's own conversion is given is what was read without following a link. */
describe('content that git converts', function () {
  this.timeout(sample(60_000, 600_000));
  let world: EngineWorld;

  afterEach(async () => {
    await world.close();
  });

  function leftovers(): string[] {
    return readdirSync(world.store).filter((name) => /^(convert|sparse)-/.test(name));
  }

  it('is what was read, although a link takes the place of its folder before git comes to it', async function () {
    if (process.platform === 'win32') {
      // There are no named pipes that a shell can wait for.
      this.skip();
    }
    const pipe = join(temporaryFolder('pipe'), 'go');
    assert.equal(spawnSync('mkfifo', [pipe]).status, 0);
    world = new EngineWorld((folder) =>
      repo(folder)
        .file('.gitattributes', 'slow.bin filter=slow\n*.txt filter=upper\n')
        .file('slow.bin', 'slow')
        .file('dir/a.txt', 'own\n')
        .git('add', '--all')
        .commit('first')
        .config('filter.slow.clean', `cat '${pipe}' > /dev/null; cat`)
        .config('filter.upper.clean', UPPER),
    );
    const host = await createHost({
      log: silentLog,
      product: 'test',
      settings: { allowedFilters: ['slow', 'upper'] },
      environment: world.environment,
    });
    const repository = await openUserRepository(host, world.repo.dir);
    const storage = await openStorage({
      root: world.storage,
      repository: repository.root,
      create: true,
      sessionsRoot: null,
    });
    const store = await openSnapshotStore(host, storage ?? assert.fail(), repository);
    const outside = temporaryFolder('outside');
    writeFileSync(join(outside, 'a.txt'), 'secret\n');
    const content = new ContentWriter(host.git, store, new WorkTree(world.repo.dir));
    try {
      const none = (): Promise<undefined> => Promise.resolve(undefined);
      const slow = content.write(pathOf('slow.bin'), Buffer.from('slow'), none);
      const other = content.write(pathOf('dir/a.txt'), Buffer.from('own\nlines\n'), none);
      renameSync(join(world.repo.dir, 'dir'), join(world.repo.dir, 'moved'));
      symlinkSync(outside, join(world.repo.dir, 'dir'));
      // Waits in a thread until the filter reads it.
      await writeFile(pipe, 'go');
      await slow;
      const oid = await other;
      assert.equal(git(['cat-file', 'blob', oid], store.gitDir).toString(), 'OWN\nLINES\n');
      const secret = gitLine(['hash-object', '--stdin'], world.folder, { input: 'SECRET\n' });
      assert.notEqual(tryGit(['cat-file', '-e', secret], store.gitDir).code, 0, 'content of outside is in the store');
    } finally {
      await content.stop();
      await store.stop();
    }
    assert.deepEqual(leftovers(), []);
  });

  it('follows the attributes files above it, also after they changed, moved or became links', async () => {
    world = new EngineWorld((folder) =>
      repo(folder)
        .file('.gitattributes', '*.txt filter=upper\n')
        .config('filter.upper.clean', UPPER)
        .file('a.txt', 'a\n')
        .commit('1'),
    );
    const bulkhead = await world.open(settings);
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    const clone = cloneOf(session);
    const stored = async (): Promise<string[]> => {
      const { tree } = await checkpoint(bulkhead, session);
      return ['a.txt', 'sub/b.txt', 'sub/deep/c.txt'].map((path) =>
        git(['cat-file', 'blob', `${tree}:${path}`], world.store).toString(),
      );
    };
    for (const path of ['a.txt', 'sub/b.txt', 'sub/deep/c.txt']) {
      write(clone, path, 'x');
    }
    assert.deepEqual(await stored(), ['X', 'X', 'X']);
    write(clone, 'sub/.gitattributes', 'b.txt -filter\n');
    assert.deepEqual(await stored(), ['X', 'x', 'X']);
    renameSync(join(clone, 'sub/.gitattributes'), join(clone, 'sub/deep/.gitattributes'));
    write(clone, 'sub/deep/.gitattributes', 'c.txt -filter\n');
    assert.deepEqual(await stored(), ['X', 'X', 'x']);
    // Git takes a linked attributes file for none.
    renameSync(join(clone, 'sub/deep/.gitattributes'), join(clone, 'rules'));
    symlinkSync('../../rules', join(clone, 'sub/deep/.gitattributes'));
    assert.deepEqual(await stored(), ['X', 'X', 'X']);
    await world.close();
    assert.deepEqual(leftovers(), []);
  });

  it('is read from one descriptor when it is too large for the memory', async () => {
    const large = Buffer.alloc(33 * 1024 * 1024, 'one\r\ntwo\r\n');
    world = new EngineWorld((folder) =>
      repo(folder)
        .file('.gitattributes', '*.txt text\n*.bin -text\n')
        .file('l.txt', 'x\n')
        .file('l.bin', 'x\n')
        .commit('1'),
    );
    const bulkhead = await world.open();
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    const clone = cloneOf(session);
    write(clone, 'l.txt', large);
    write(clone, 'l.bin', large);
    const { tree } = await checkpoint(bulkhead, session);
    for (const path of ['l.txt', 'l.bin']) {
      assert.equal(gitLine(['rev-parse', `${tree}:${path}`], world.store), gitLine(['hash-object', path], clone));
    }
    await restoreAll(bulkhead, session, session.newest ?? '');
    assert.equal(read(clone, 'l.txt'), 'x\n');
  });

  it('takes the place of a folder that was converted from before', async () => {
    world = new EngineWorld((folder) =>
      repo(folder)
        .file('.gitattributes', '/a filter=upper\n/a/** filter=upper\n')
        .config('filter.upper.clean', UPPER)
        .file('a/b', 'a\n')
        .commit('1'),
    );
    const bulkhead = await world.open(settings);
    const session = await bulkhead.createSession({ from: { kind: 'head' } });
    const clone = cloneOf(session);
    write(clone, 'a/b', 'x');
    await checkpoint(bulkhead, session);
    renameSync(join(clone, 'a'), join(clone, 'c'));
    write(clone, 'a', 'a file now');
    const file = await checkpoint(bulkhead, session);
    assert.equal(git(['cat-file', 'blob', `${file.tree}:a`], world.store).toString(), 'A FILE NOW');
    renameSync(join(clone, 'a'), join(clone, 'd'));
    mkdirSync(join(clone, 'a'));
    write(clone, 'a/b', 'y');
    const folder = await checkpoint(bulkhead, session);
    assert.equal(git(['cat-file', 'blob', `${folder.tree}:a/b`], world.store).toString(), 'Y');
  });

  it('has the line endings that git would give it, whatever it is', async () => {
    const random = new SeededRandom(seed());
    const part = (): string =>
      random.pick(['a', 'words ', '\r\n', '\n', '\r\n', '\r', '\t', '\u001b', '\u0001', '\0', 'x'.repeat(150)]);
    const content = (parts: number): Buffer =>
      Buffer.from(Array.from({ length: parts }, part).join('') + random.pick(['', '', '\u001a', '\r\n']));
    const rules = [
      'text',
      '-text',
      'text=auto',
      'text=input',
      'eol=lf',
      'eol=crlf',
      'text=auto eol=crlf',
      'crlf=auto',
      'crlf',
      '-crlf',
      '!text',
    ];
    for (const autocrlf of ['true', 'input', 'false']) {
      world = new EngineWorld((folder) => {
        const builder = repo(folder);
        for (const [at] of rules.entries()) {
          builder.file(`r${String(at)}/text`, 'a\r\nb\r\n').file(`r${String(at)}/binary`, 'a\0\r\nb\r\n');
        }
        // Committed with their CRLF, before there were rules.
        return builder
          .commit('raw')
          .file('.gitattributes', rules.map((rule, at) => `/r${String(at)}/** ${rule}\n`).join(''))
          .git('add', '.gitattributes')
          .commitStaged('rules')
          .config('core.autocrlf', autocrlf);
      });
      const bulkhead = await world.open();
      const session = await bulkhead.createSession({ from: { kind: 'head' } });
      const clone = cloneOf(session);
      for (const [at] of rules.entries()) {
        write(clone, `r${String(at)}/text`, content(6));
        write(clone, `r${String(at)}/binary`, content(3));
        for (let file = 0; file < sample(4, 200); file++) {
          write(clone, `r${String(at)}/new${String(file)}`, content(random.integer(0, 8)));
        }
      }
      const { tree } = await checkpoint(bulkhead, session);
      assertTree(world, tree, treeByGit(clone, [], []), `seed ${String(random.seed)}, core.autocrlf=${autocrlf}`);
      await world.close();
    }
  });
});
