import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { git, gitLine, tryGit } from '../support/git';
import { locate } from '../support/bytePath';
import { awkwardRepo, repo, type RepoBuilder } from '../support/repo';
import { SeededRandom } from '../support/seededRandom';
import { filesOfTree } from '../support/snapshotTree';
import { sample, seed } from '../support/soak';
import { temporaryFolder } from '../support/temporary';
import { longRunning, singleRuns } from './filterDrivers';
import { type Kind, liveThrough, namesIn } from './kindStory';
import { checkpoint, read, restoreAll, sharedFiles, write } from './world';

const MANY = sample(400, 100_000);

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** A repository that the person's own came from. */
function beside(folder: string, name: string): string {
  return join(folder, '..', name);
}

/** A change, a new file, a deletion and a program: what an agent does anywhere. */
function ordinaryEdit(folder: string): void {
  write(folder, 'a.txt', 'changed\n');
  write(folder, 'new/file.txt', 'new\n');
  write(folder, 'tool.sh', '#!/bin/sh\n');
  chmodSync(join(folder, 'tool.sh'), 0o755);
  rmSync(join(folder, 'gone.txt'), { force: true });
}

function plain(folder: string, options: { readonly format?: 'sha1' | 'sha256' } = {}): RepoBuilder {
  return repo(folder, options)
    .file('a.txt', 'one\ntwo\n')
    .file('gone.txt', 'gone\n')
    .file('src/b.ts', 'export const b = 1;\n')
    .commit('first');
}

/** Writes every tracked file anew, as a checkout under the present rules does. */
function checkedOut(builder: RepoBuilder): RepoBuilder {
  for (const path of git(['ls-files', '-z'], builder.dir)
    .toString()
    .split('\0')
    .filter((name) => name !== '')) {
    builder.remove(path);
  }
  return builder.git('checkout', '--quiet', '--', '.');
}

function filtered(folder: string, args: readonly string[]): RepoBuilder {
  const builder = repo(folder);
  for (const setting of args.filter((arg) => arg !== '-c')) {
    const equals = setting.indexOf('=');
    builder.config(setting.slice(0, equals), setting.slice(equals + 1));
  }
  return builder
    .file('.gitattributes', '*.bin filter=pointer -text\n')
    .file('a.txt', 'one\n')
    .file('big.bin', Buffer.alloc(150_000, 'big '))
    .file('dir/ünï "q".bin', 'odd name')
    .commit('first');
}

function editFiltered(folder: string): void {
  write(folder, 'a.txt', 'two\n');
  write(folder, 'big.bin', Buffer.alloc(200_000, 'bigger '));
  write(folder, 'dir/new\nline.bin', Buffer.from([0, 13, 10, 255]));
  rmSync(join(folder, 'dir/ünï "q".bin'));
}

const RUNS = singleRuns();
const PROCESS = longRunning();
/** As if the person's own configuration did not name the driver. */
const UNKNOWN = ['clean=', 'smudge=', 'process=', 'required=false'].flatMap((part) => ['-c', `filter.pointer.${part}`]);

function endings(autocrlf: string): Kind {
  return {
    name: `core.autocrlf=${autocrlf} with text, eol and binary attributes`,
    source: (folder) =>
      checkedOut(
        repo(folder)
          .file(
            '.gitattributes',
            '*.auto text=auto\n*.txt text\n*.win text eol=crlf\n*.nix text eol=lf\n*.raw -text\n*.bin binary\n',
          )
          .file('a.txt', 'one\ntwo\n')
          .file('b.auto', 'one\ntwo\n')
          .file('c.win', 'one\ntwo\n')
          .file('d.nix', 'one\ntwo\n')
          .file('e.raw', 'one\r\ntwo\n')
          .file('f.bin', bytes('\0\r\n\n'))
          .file('plain', 'one\r\ntwo\r\n')
          .file('sub/.gitattributes', '*.txt -text\n')
          .file('sub/mixed.txt', 'a\r\nb\nc\r')
          .commit('first')
          .config('core.autocrlf', autocrlf),
      ),
    edit(folder) {
      for (const name of ['a.txt', 'b.auto', 'c.win', 'd.nix', 'e.raw', 'f.bin', 'plain', 'sub/mixed.txt']) {
        write(folder, name, Buffer.concat([readFileSync(join(folder, name)), readFileSync(join(folder, name))]));
      }
      const newline = autocrlf === 'true' ? '\r\n' : '\n';
      write(folder, 'new', `x${newline}y${newline}`);
      write(folder, 'new.win', 'x\r\ny\r\n');
      write(folder, 'new.raw', 'x\r\ny\n');
    },
  };
}

function submodules(folder: string): RepoBuilder {
  const inner = repo(beside(folder, 'inner')).file('deep.txt', 'deep\n').commit('inner');
  const library = repo(beside(folder, 'library'))
    .file('lib.txt', 'lib\n')
    .submodule('nested', inner.dir)
    .commit('library');
  const builder = plain(folder).submodule('libs/one', library.dir).commit('with a submodule');
  git(['submodule', '--quiet', 'update', '--init', '--recursive'], folder);
  git(['config', 'submodule.libs/one.url', 'https://example.com/library.git'], folder);
  git(['-C', 'libs/one', 'remote', 'set-url', 'origin', 'https://example.com/library.git'], folder);
  git(['-C', 'libs/one', 'config', 'submodule.nested.url', 'https://example.com/inner.git'], folder);
  git(['-C', 'libs/one/nested', 'remote', 'set-url', 'origin', 'https://example.com/inner.git'], folder);
  return builder;
}

function sparse(folder: string, how: readonly string[]): RepoBuilder {
  const builder = plain(folder)
    .file('in/one.txt', 'in\n')
    .file('in/deep/two.txt', 'deep\n')
    .file('out/three.txt', 'out\n')
    .file('out/more/four.txt', 'out\n')
    .file('other.md', 'other\n')
    .commit('more');
  return builder.git('sparse-checkout', 'set', ...how);
}

function editSparse(folder: string): void {
  write(folder, 'in/one.txt', 'changed\n');
  write(folder, 'in/new.txt', 'new\n');
  rmSync(join(folder, 'in/deep/two.txt'));
}

function sparseKind(name: string, how: readonly string[], absent: readonly string[]): Kind {
  return {
    name,
    source: (folder) => sparse(folder, how),
    edit: editSparse,
    async check({ clone, user, world, bulkhead, session }) {
      const recorded = (ref: string): string[] => [...filesOfTree(world.store, `refs/bulkhead/${ref}^{tree}`).keys()];
      for (const path of absent) {
        assert.equal(existsSync(join(clone, path)), false, `${path} is outside of the pattern`);
        assert.equal(existsSync(join(user, path)), false, `${path} is outside of the pattern`);
        assert.ok(recorded('workspace').includes(path), `${path} is not recorded as deleted`);
        assert.ok(recorded(`sessions/${session.id}`).includes(path), `${path} is not recorded as deleted`);
      }
      // What an agent brings back by hand is recorded like any other file, and its content comes back.
      const [path = ''] = absent;
      const before = (await bulkhead.session(session.id)).newest ?? '';
      write(clone, path, 'by hand\n');
      const { changed } = await checkpoint(bulkhead, session);
      assert.deepEqual(changed, [{ path, status: 'modified' }]);
      await restoreAll(bulkhead, session, before);
      assert.equal(read(clone, path), 'out\n');
      assert.equal(git(['diff', '--name-only', 'HEAD', '--', path], clone).toString(), '');

      // Another commit, in which such a file is another: recorded as HEAD has it, and never written.
      git(['sparse-checkout', 'reapply'], clone);
      assert.equal(existsSync(join(clone, path)), false);
      const blob = gitLine(['hash-object', '-w', '--stdin'], clone, { input: 'moved on\n' });
      git(['update-index', '--add', '--cacheinfo', `100644,${blob},${path}`], clone);
      git(['update-index', '--skip-worktree', path], clone);
      git(['commit', '--quiet', '--message', 'moved on'], clone);
      const moved = await checkpoint(bulkhead, session);
      assert.equal(filesOfTree(world.store, moved.tree).get(path), `100644 ${blob}`);
      const back = await restoreAll(bulkhead, session, before);
      assert.deepEqual(back.plan.keep, [{ path, reason: 'outside-sparse-checkout' }]);
      assert.equal(existsSync(join(clone, path)), false);

      assert.equal(gitLine(['config', 'core.sparseCheckout'], clone), 'true');
      git(['sparse-checkout', 'disable'], clone);
      assert.ok(existsSync(join(clone, path)), 'the agent can widen the pattern as the person can');
    },
  };
}

/** A repository in the middle of something, with conflicts in its index. */
function inTheMiddle(command: 'merge' | 'rebase' | 'cherry-pick'): Kind {
  return {
    name: `in the middle of a ${command}, with uncommitted work carried over`,
    carryUncommitted: true,
    source(folder) {
      const builder = plain(folder)
        .branch('other')
        .file('a.txt', 'theirs\n')
        .commit('theirs')
        .switch('main')
        .file('a.txt', 'ours\n')
        .commit('ours');
      const run = tryGit([command, 'other'], folder);
      assert.notEqual(run.code, 0, 'it conflicts');
      return builder.file('untracked.txt', 'mine\n');
    },
    edit: ordinaryEdit,
    check({ clone, user }) {
      assert.equal(read(user, 'a.txt'), 'changed\n');
      assert.ok(existsSync(join(clone, 'untracked.txt')));
    },
  };
}

function inFolder(name: string, folderName: string): Kind {
  return {
    name: `a path with ${name}`,
    source: (folder) => plain(`${folder}/${folderName}`),
    edit: ordinaryEdit,
  };
}

const KINDS: readonly Kind[] = [
  { name: 'an ordinary repository', source: plain, edit: ordinaryEdit },
  { name: 'SHA-256', source: (folder) => plain(folder, { format: 'sha256' }), edit: ordinaryEdit },
  {
    name: 'refs in a reftable',
    unless: () =>
      tryGit(['init', '--quiet', '--ref-format=reftable', join(temporaryFolder('reftable'), 'r')], '/').code === 0
        ? undefined
        : 'this git has no reftable',
    source(folder) {
      git(['init', '--quiet', '--ref-format=reftable', folder], '/');
      return plain(folder);
    },
    edit: ordinaryEdit,
  },
  {
    name: 'a linked work tree as checkout',
    source(folder) {
      const main = plain(beside(folder, 'main'));
      main.git('worktree', 'add', '--quiet', '-b', 'linked', folder);
      return repo(folder).file('linked.txt', 'linked\n').commit('linked');
    },
    edit: ordinaryEdit,
  },
  {
    name: 'alternates',
    source(folder) {
      const lender = plain(beside(folder, 'lender'));
      git(['clone', '--quiet', '--shared', lender.dir, folder], '/');
      return repo(folder).file('own.txt', 'own\n').commit('own');
    },
    edit: ordinaryEdit,
  },
  {
    name: 'a shallow clone',
    source(folder) {
      const full = plain(beside(folder, 'full')).file('a.txt', '2\n').commit('2').file('a.txt', '3\n').commit('3');
      git(['clone', '--quiet', '--depth=1', `file://${full.dir}`, folder], '/');
      return repo(folder);
    },
    edit: ordinaryEdit,
  },
  {
    name: 'a detached HEAD that no branch reaches',
    source: (folder) =>
      plain(folder).git('switch', '--quiet', '--detach').file('a.txt', 'detached\n').commit('detached'),
    edit: ordinaryEdit,
  },
  {
    name: 'an unborn HEAD',
    source: (folder) => repo(folder).file('a.txt', 'not yet\n'),
    edit: ordinaryEdit,
    carryUncommitted: true,
  },
  {
    name: 'a subfolder with a split index',
    source: (folder) => plain(folder).git('update-index', '--split-index'),
    edit: ordinaryEdit,
  },
  {
    name: 'submodules, nested ones too',
    source: submodules,
    edit(folder) {
      ordinaryEdit(folder);
      write(join(folder, 'libs/one'), 'lib.txt', 'committed\n');
      git(['commit', '--quiet', '--all', '--message', 'in the submodule'], join(folder, 'libs/one'));
      write(join(folder, 'libs/one'), 'dirty.txt', 'never recorded\n');
      write(join(folder, 'libs/one/nested'), 'deep.txt', 'dirty\n');
    },
    untouched: ['libs/one'],
    check({ clone, user, world, session, notices }) {
      assert.deepEqual(notices, []);
      for (const sub of ['libs/one', 'libs/one/nested']) {
        assert.equal(gitLine(['rev-parse', '--show-toplevel'], join(clone, sub)), join(clone, sub));
        assert.match(gitLine(['remote', 'get-url', 'origin'], join(clone, sub)), /^https:\/\/example\.com\//);
      }
      assert.equal(gitLine(['config', 'submodule.libs/one.url'], clone), 'https://example.com/library.git');
      assert.deepEqual(sharedFiles(join(user, '.git'), clone), []);
      assert.deepEqual(namesIn(join(clone, '.git'), world.folder.concat('/user repo')), []);
      const shadow = gitLine(['rev-parse', `refs/bulkhead/sessions/${session.id}^{tree}`], world.store);
      assert.equal(
        filesOfTree(world.store, shadow).get('libs/one'),
        `160000 ${gitLine(['rev-parse', 'HEAD'], join(clone, 'libs/one'))}`,
      );
    },
  },
  sparseKind('a sparse checkout with a cone', ['--cone', 'in'], ['out/three.txt']),
  sparseKind('a sparse checkout with a cone and a sparse index', ['--cone', '--sparse-index', 'in'], ['out/three.txt']),
  sparseKind('a sparse checkout with patterns', ['--no-cone', '/*', '!/out/', '!*.md'], ['out/three.txt', 'other.md']),
  {
    name: 'an allowed filter that is started for each file',
    source: (folder) => filtered(folder, RUNS),
    settings: { allowedFilters: ['pointer'] },
    gitArgs: RUNS,
    edit: editFiltered,
  },
  {
    name: 'an allowed filter that is one long-running process',
    source: (folder) => filtered(folder, PROCESS),
    settings: { allowedFilters: ['pointer'] },
    gitArgs: PROCESS,
    edit: editFiltered,
  },
  {
    name: 'a filter that is not allowed: the bytes as they are, and a notice',
    source: (folder) => filtered(folder, RUNS),
    gitArgs: UNKNOWN,
    // Her own git goes on to run it in her checkout.
    ownStatusArgs: [],
    edit: editFiltered,
    check({ clone, notices }) {
      assert.match(read(clone, 'big.bin'), /^big/);
      assert.equal(notices.length, 1);
      assert.match(notices[0] ?? '', /filter "pointer"/);
      assert.match(notices[0] ?? '', /bulkhead\.filters\.allowed/);
    },
  },
  endings('true'),
  endings('input'),
  endings('false'),
  {
    name: 'working-tree encodings',
    source: (folder) =>
      repo(folder)
        .file(
          '.gitattributes',
          '*.u16 text working-tree-encoding=UTF-16LE-BOM\n*.sjis text working-tree-encoding=SHIFT-JIS\n',
        )
        .file('a.u16', Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('one\ntwo\n', 'utf16le')]))
        .file('b.sjis', Buffer.from([0x93, 0xfa, 0x96, 0x7b, 0x0a]))
        .commit('first'),
    edit(folder) {
      write(folder, 'a.u16', Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('drei\nünf\n', 'utf16le')]));
      write(folder, 'b.sjis', Buffer.from([0x93, 0xfa, 0x0a, 0x96, 0x7b, 0x0a]));
      write(folder, 'dir/new.sjis', Buffer.from([0x82, 0xa0, 0x0a]));
    },
  },
  {
    name: 'core.ignoreCase=true on a disk that tells cases apart',
    unless: () => {
      const folder = temporaryFolder('case');
      writeFileSync(join(folder, 'a'), '');
      return existsSync(join(folder, 'A')) ? 'this disk does not tell them apart' : undefined;
    },
    source: (folder) => plain(folder).file('Readme.md', 'readme\n').commit('readme').config('core.ignoreCase', 'true'),
    gitArgs: ['-c', 'core.ignoreCase=false'],
    edit(folder) {
      renameSync(join(folder, 'Readme.md'), join(folder, 'README.md'));
      write(folder, 'A.txt', 'another\n');
    },
  },
  {
    name: 'composed and decomposed names side by side',
    unless: () => {
      const folder = temporaryFolder('nfc');
      writeFileSync(join(folder, '\u00e9'), '');
      return existsSync(join(folder, 'e\u0301')) ? 'this disk does not tell them apart' : undefined;
    },
    source: (folder) =>
      plain(folder)
        .config('core.precomposeUnicode', 'true')
        .file('\u00e9.txt', 'composed\n')
        .file('e\u0301.txt', 'decomposed\n')
        .commit('both'),
    edit(folder) {
      write(folder, '\u00e9.txt', 'composed, changed\n');
      write(folder, 'a\u030a/e\u0301.txt', 'decomposed\n');
      write(folder, '\u00e5/e\u0301.txt', 'mixed\n');
      rmSync(join(folder, 'e\u0301.txt'));
    },
  },
  {
    name: 'names that break careless tools',
    source: (folder) => awkwardRepo(folder).file('tab\there', 'tab\n').file('trailing ', 'space\n').commit('more'),
    edit(folder) {
      const put = (name: Buffer): void => {
        writeFileSync(locate(folder, name), 'changed\n');
      };
      put(bytes('latin1-\xe9.txt'));
      put(bytes('latin1-\xff new'));
      put(Buffer.from('new\nline.txt'));
      put(Buffer.from('quo"te\'s.txt'));
      put(Buffer.from('-dash.txt'));
      put(Buffer.from('-n'));
      put(Buffer.from('tab\there'));
      put(Buffer.from('trailing '));
      put(Buffer.from('emoji-🛟.txt'));
      put(Buffer.from('"quoted\\'));
      put(Buffer.from('end\r'));
      unlinkSync(join(folder, 'with space.txt'));
    },
  },
  {
    name: 'files above the size limit',
    source: (folder) =>
      plain(folder)
        .file('big.tracked', Buffer.alloc(5000, 't'))
        .commit('tracked')
        .file('large.untracked', Buffer.alloc(5000, 'u')),
    settings: { maxFileSize: 1000 },
    carryUncommitted: true,
    leftOut: ['large.untracked', 'larger.untracked'],
    edit(folder) {
      ordinaryEdit(folder);
      write(folder, 'big.tracked', Buffer.alloc(6000, 'T'));
      write(folder, 'larger.untracked', Buffer.alloc(7000, 'U'));
    },
    check({ clone, notices }) {
      assert.equal(existsSync(join(clone, 'large.untracked')), false);
      assert.equal(notices.length, 1);
      assert.match(notices[0] ?? '', /large\.untracked/);
      assert.match(notices[0] ?? '', /bulkhead\.snapshot\.maxFileSize/);
    },
  },
  {
    name: 'another file system than the storage',
    unless: () => (existsSync('/dev/shm') ? undefined : 'there is no second file system'),
    source(): RepoBuilder {
      const folder = mkdtempSync('/dev/shm/bulkhead-kind-');
      process.once('exit', () => {
        rmSync(folder, { recursive: true, force: true });
      });
      return plain(join(folder, 'user'));
    },
    edit: ordinaryEdit,
  },
  inTheMiddle('merge'),
  inTheMiddle('rebase'),
  inTheMiddle('cherry-pick'),
  {
    name: 'core.worktree that names the checkout itself',
    source: (folder) => plain(folder).config('core.worktree', '..'),
    edit: ordinaryEdit,
  },
  {
    name: 'a git folder elsewhere',
    source(folder) {
      mkdirSync(folder, { recursive: true });
      git(['init', '--quiet', `--separate-git-dir=${beside(folder, 'elsewhere.git')}`, folder], '/');
      return plain(folder);
    },
    edit: ordinaryEdit,
  },
  inFolder('spaces', 'with  two spaces '),
  inFolder('a newline', 'new\nline'),
  inFolder('quotes and a backslash', `quo"te's \\ back`),
  inFolder('letters beyond ASCII', 'ünïcödé 日本 🛟'),
  inFolder('a leading dash', '-dash'),
  {
    name: 'excludes outside of the work tree',
    source(folder) {
      const builder = plain(folder)
        .file('one.info', '1')
        .file('two.own', '2')
        .file('three.kept.own', '3')
        .config('core.excludesFile', join(folder, '.git', 'my excludes'));
      writeFileSync(join(folder, '.git', 'my excludes'), '*.own\n*.info2\n');
      mkdirSync(join(folder, '.git', 'info'), { recursive: true });
      writeFileSync(join(folder, '.git', 'info', 'exclude'), '*.info\n!*.kept.own');
      return builder;
    },
    edit(folder) {
      ordinaryEdit(folder);
      write(folder, 'x.info', 'ignored\n');
      write(folder, 'x.own', 'ignored\n');
      write(folder, 'x.kept.own', 'recorded\n');
    },
    untouched: ['x.info', 'x.own'],
  },
  {
    name: 'nested repositories, one without a commit',
    source: plain,
    edit(folder) {
      ordinaryEdit(folder);
      repo(join(folder, 'unborn')).file('x.txt', 'x\n');
      repo(join(folder, 'born')).file('y.txt', 'y\n').commit('y');
    },
    untouched: ['unborn', 'born'],
  },
  {
    name: `a seeded sample of ${String(MANY)} files`,
    source(folder) {
      const random = new SeededRandom(20_261_121);
      const builder = repo(folder);
      for (let number = 0; number < MANY; number++) {
        const depth = random.integer(0, 3);
        const path = [...Array(depth).keys()]
          .map((level) => `d${String(level)}-${String(random.integer(0, 5))}`)
          .join('/');
        builder.file(`${path === '' ? '' : `${path}/`}f${String(number)}.txt`, `${String(random.integer(0, 999))}\n`);
      }
      return builder.file('a.txt', 'one\n').commit('many');
    },
    edit: ordinaryEdit,
  },
];

/** So many kinds are taken in an ordinary run, others each time; all of them in a soak, or when one is asked for by its seed. */
const CHOSEN = sample(10, KINDS.length);

describe('every kind of repository works', () => {
  const random = new SeededRandom(seed());
  const left = [...KINDS];
  const chosen = Array.from({ length: CHOSEN }, () => left.splice(random.integer(0, left.length - 1), 1)).flat();
  console.log(`      ${String(CHOSEN)} of ${String(KINDS.length)} kinds (BULKHEAD_SOAK=1 for all)`);
  for (const kind of chosen) {
    it(kind.name, async function () {
      // Each is a whole life, with a hundred runs of git.
      this.timeout(sample(60_000, 900_000));
      const missing = kind.unless?.();
      if (missing !== undefined) {
        console.log(`      skipped: ${kind.name}, because ${missing}`);
        this.skip();
      }
      await liveThrough(kind);
    });
  }
});
