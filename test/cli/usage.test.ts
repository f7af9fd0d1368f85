import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { CliWorld, type ErrorDocument } from '../support/cliWorld';
import { repo } from '../support/repo';

describe('command line: usage', function () {
  this.timeout(60_000);
  const world = new CliWorld();

  it('shows help for everything, for a group and for each command', async () => {
    const all = await world.run(['--help']);
    assert.equal(all.code, 0, all.story);
    assert.match(all.stdout, /^Usage: bulkhead COMMAND/);
    const commands = [...all.stdout.matchAll(/^ {2}(\w+(?: \w+)?) {3,}\S/gm)].map(([, words = '']) => words);
    assert.deepEqual(commands, [
      'session new',
      'session list',
      'session show',
      'session rename',
      'session reset',
      'session rm',
      'session trash',
      'session fork',
      'checkpoint',
      'snapshots',
      'diff',
      'restore',
      'undo',
      'contention',
      'apply',
      'lock show',
      'doctor',
      'gc',
    ]);
    const group = await world.run(['session', '--help']);
    assert.equal(group.code, 0, group.story);
    for (const command of commands) {
      const help = await world.run([...command.split(' '), '-h']);
      assert.equal(help.code, 0, help.story);
      assert.ok(help.stdout.startsWith(`Usage: bulkhead ${command}`), help.story);
    }
  });

  it('shows the version', async () => {
    const text = await world.run(['--version']);
    assert.match(text.stdout, /^\d+\.\d+\.\d+\n$/, text.story);
    const json = await world.json<{ version: string }>(['--version']);
    assert.equal(`${json.version}\n`, text.stdout);
  });

  const mistakes: readonly (readonly string[])[] = [
    [],
    ['nonsense'],
    ['session'],
    ['session', 'nonsense'],
    ['session', 'recover', 'abcd'],
    ['session', 'purge', 'abcd'],
    ['lock'],
    ['lock', 'break'],
    ['lock', 'show', 'argument'],
    ['du'],
    ['hook', 'claude-code', 'stop'],
    ['mcp'],
    ['session', 'new', '--nonsense'],
    ['session', 'new', 'argument'],
    ['session', 'new', '--name'],
    ['session', 'new', '--redo'],
    ['session', 'new', '--carry-uncommitted', '--from', 'main'],
    ['session', 'new', '--carry-uncommitted=yes'],
    ['session', 'show'],
    ['session', 'rename', 'abcd'],
    ['session', 'list', '--state', 'nonsense'],
    ['session', 'list', '--agent', 'Not An Agent'],
    ['checkpoint', '--agent', '-dash'],
    ['checkpoint', '--turn', 'two\nlines'],
    ['checkpoint', '--session', ''],
    ['snapshots', '--limit', '0'],
    ['snapshots', '--limit', 'many'],
    ['snapshots', '--trigger', 'nonsense'],
    ['snapshots', '--all', '--session', 'workspace'],
    ['diff'],
    ['diff', 'base', 'worktree', 'third'],
    ['restore'],
    ['restore', '123456', '--force', '--only-safe'],
    ['undo', 'argument'],
    ['contention', 'argument'],
    ['apply', 'abcd'],
    ['apply', 'abcd', '--mode', 'squash'],
    ['apply', 'abcd', '--mode', 'patch'],
    ['apply', 'abcd', '--mode', 'nonsense'],
    ['apply', 'abcd', '--conflicts', '--mode', 'branch'],
  ];
  for (const args of mistakes) {
    it(`exits 2 for: bulkhead ${JSON.stringify(args)}`, async () => {
      const run = await world.run([...args, '--json']);
      assert.equal(run.code, 2, run.story);
      assert.equal(run.stderr, '', run.story);
      const { error } = JSON.parse(run.stdout) as ErrorDocument;
      assert.deepEqual(Object.keys(error), ['code', 'message', 'data']);
      assert.match(error.code, /^[a-z]+(-[a-z]+)*$/);
      assert.notEqual(error.message, '');
    });
  }

  it('names the modes of apply that exist', async () => {
    const error = await world.failure(2, ['apply', 'abcd', '--mode', 'squash']);
    assert.match(error.message, /--mode branch/);
    assert.deepEqual(error.data, { modes: ['branch'] });
  });

  it('writes an error for people to stderr only', async () => {
    const run = await world.run(['nonsense']);
    assert.equal(run.code, 2, run.story);
    assert.equal(run.stdout, '');
    assert.match(run.stderr, /^bulkhead: There is no command "nonsense"/);
  });

  it('takes options before, between and after the arguments', async () => {
    const before = await world.json(['--repo', world.repo.dir, 'session', 'list']);
    const between = await world.json(['session', '--repo', world.repo.dir, 'list']);
    assert.deepEqual([before, between], [[], []]);
  });

  it('makes control characters of what was typed visible', async () => {
    const run = await world.run(['non\u001b[31msense\u202e']);
    assert.equal(run.code, 2, run.story);
    assert.match(run.stderr, /non\\u\{1B\}\[31msense\\u\{202E\}/);
  });
});

describe('command line: surroundings', function () {
  this.timeout(60_000);
  const world = new CliWorld();

  for (const command of [['session', 'list'], ['session', 'new'], ['checkpoint'], ['snapshots'], ['contention']]) {
    it(`exits 2 outside of a repository: ${command.join(' ')}`, async () => {
      const error = await world.failure(2, command, { cwd: world.emptyFolder('plain') });
      assert.equal(error.code, 'not-a-repository');
    });
  }

  it('exits 2 for a bare repository', async () => {
    const bare = repo(join(world.folder, 'bare.git'), { bare: true });
    const error = await world.failure(2, ['session', 'new'], { cwd: bare.dir });
    assert.equal(error.code, 'bare-repository');
  });

  it('exits 2 when the home folder is the repository', async () => {
    repo(world.home).file('x', '').commit('dotfiles');
    const error = await world.failure(2, ['session', 'new'], { cwd: world.home, process: true });
    assert.equal(error.code, 'home-refused');
  });

  it('exits 2 in the root folder', async () => {
    const run = await world.run(['session', 'new', '--json'], { cwd: '/' });
    assert.equal(run.code, 2, run.story);
  });

  it('exits 2 for a --repo that does not exist', async () => {
    const run = await world.run(['session', 'list', '--repo', join(world.folder, 'nowhere'), '--json']);
    assert.equal(run.code, 2, run.story);
  });

  it('makes a session in a repository without a commit', async () => {
    const empty = repo(join(world.folder, 'no commit')).file('a', 'a\n');
    const session = await world.json<{ base: { commit: string | null } }>(['session', 'new'], { cwd: empty.dir });
    assert.equal(session.base.commit, null);
  });

  it('checkpoints a repository without a commit', async () => {
    const empty = repo(join(world.folder, 'no commit 2')).file('a', 'a\n');
    const result = await world.checkpoint(empty.dir);
    assert.notEqual(result.newest, null);
  });

  it('exits 1 when git is missing', async () => {
    const error = await world.failure(1, ['session', 'list'], { env: { PATH: world.emptyFolder('no-programs') } });
    assert.equal(error.code, 'git-not-found');
  });

  it('exits 1 when git is too old', async function () {
    if (process.platform === 'win32') {
      this.skip();
    }
    const programs = world.emptyFolder('old-git');
    writeFileSync(join(programs, 'git'), '#!/bin/sh\necho git version 2.20.1\n');
    chmodSync(join(programs, 'git'), 0o755);
    const error = await world.failure(1, ['session', 'list'], {
      env: { PATH: [programs, process.env['PATH'] ?? ''].join(delimiter) },
    });
    assert.equal(error.code, 'git-too-old');
    assert.match(error.message, /2\.20/);
  });

  it('does not run a git that lies in the work tree', async function () {
    if (process.platform === 'win32') {
      this.skip();
    }
    const programs = join(world.repo.dir, 'node_modules', '.bin');
    const witness = join(world.folder, 'the trap was sprung');
    mkdirSync(programs, { recursive: true });
    writeFileSync(join(programs, 'git'), `#!/bin/sh\ntouch '${witness}'\nexec git "$@"\n`);
    chmodSync(join(programs, 'git'), 0o755);
    const path = [programs, process.env['PATH'] ?? ''].join(delimiter);
    await world.json(['session', 'list'], { env: { PATH: path } });
    assert.equal(existsSync(witness), false);
  });

  it('ends quietly when nobody reads the output', async () => {
    const run = await world.run(['--help'], {
      onStart: (child) => {
        child.stdout?.destroy();
      },
    });
    assert.equal(run.code, 0, run.story);
    assert.equal(run.stderr, '');
  });

  it('exits 130 when interrupted', async function () {
    if (process.platform === 'win32') {
      this.skip();
    }
    const big = repo(join(world.folder, 'big'));
    for (let index = 0; index < 2000; index++) {
      big.file(`f/${index % 50}/${index}.txt`, `${String(index)}\n`);
    }
    big.commit('many');
    const creating = join(world.folder, 'storage', 'creating');
    const run = await world.run(['session', 'new', '--storage', dirname(creating), '--json'], {
      cwd: big.dir,
      onStart: (child) => {
        const halfMade = setInterval(() => {
          if (existsSync(creating) && readdirSync(creating).length > 0) {
            clearInterval(halfMade);
            child.kill('SIGINT');
          }
        }, 5);
        child.once('exit', () => {
          clearInterval(halfMade);
        });
      },
    });
    assert.equal(run.code, 130, run.story);
    const listed = await world.json<readonly unknown[]>(['session', 'list', '--storage', dirname(creating)], {
      cwd: big.dir,
    });
    assert.deepEqual(listed, [], 'no half-made session is listed');
    assert.deepEqual(readdirSync(creating), [], 'nor left behind');
  });
});
