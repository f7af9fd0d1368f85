import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliWorld, type ErrorDocument, type SessionDocument, type SnapshotDocument } from '../support/cliWorld';
import { cleanEnvironment } from '../support/environment';
import { git, gitLine } from '../support/git';
import { cliFile, type CliRun, documentOf, withJson } from '../support/runCli';
import { storeOf } from '../support/snapshotTree';

/** What is built, as people and agents run it: every command once, every exit code, current folder and environment. */
describe('command line: the built program', function () {
  this.timeout(60_000);
  const world = new CliWorld({ process: true });
  const tried = new Set<string>();
  let session: SessionDocument;

  /** Ends well, with one document on stdout; only a reset has a remark for people. */
  async function does<T>(command: string, ...more: string[]): Promise<T> {
    const run = await world.run(withJson([...command.split(' '), ...more]));
    const document = documentOf(run) as T;
    assert.equal(run.stdout, `${JSON.stringify(document)}\n`, run.story);
    assert.match(
      run.stderr,
      command === 'session reset' ? /^bulkhead: Session \w+ is in the trash.*\n$/ : /^$/,
      run.story,
    );
    tried.add(command);
    return document;
  }

  const inSession = (path: string, content: string): void => {
    writeFileSync(join(session.path, path), content);
  };

  it('does what each command is for', async () => {
    session = await does<SessionDocument>('session new', '--name', 'One');
    assert.deepEqual(await does('session show', session.id), session);
    assert.deepEqual(await does('session list'), [session]);
    session = await does<SessionDocument>('session rename', session.id, 'Two');
    assert.equal(session.name, 'Two');

    inSession('a.txt', 'changed\n');
    const made = await does<{ snapshot: string }>('checkpoint', '--session', session.id);
    const snapshots = await does<readonly SnapshotDocument[]>('snapshots', '--session', session.id);
    assert.deepEqual(
      snapshots.map(({ oid }) => oid),
      [made.snapshot, session.newest],
    );
    const diff = await does<{ files: { path: string }[] }>('diff', 'base', made.snapshot, '--session', session.id);
    assert.deepEqual(
      diff.files.map(({ path }) => path),
      ['a.txt'],
    );
    await does('restore', session.newest, '--session', session.id);
    await does('undo', '--session', session.id);
    const fork = await does<SessionDocument>('session fork', session.id);
    assert.equal(gitLine(['hash-object', 'a.txt'], fork.path), gitLine(['hash-object', 'a.txt'], session.path));
    const contention = await does<readonly { path: string }[]>('contention');
    assert.deepEqual(
      contention.map(({ path }) => path),
      [],
    );
    const applied = await does<{ branch: string }>('apply', session.id, '--mode', 'branch');
    assert.equal(git(['show', `${applied.branch}:a.txt`], world.repo.dir).toString(), 'changed\n');

    const reset = await does<{ session: SessionDocument }>('session reset', fork.id, '--force');
    await does('session rm', reset.session.id, '--force');
    const trash = await does<readonly SessionDocument[]>('session trash');
    assert.deepEqual(trash.map(({ id }) => id).sort(), [fork.id, reset.session.id].sort());
    assert.deepEqual(await does('lock show'), []);
    await does('gc');
    const report = await does<{ healthy: boolean }>('doctor');
    assert.equal(report.healthy, true);

    const help = (await world.run(['--help'])).stdout;
    const commands = [...help.matchAll(/^ {2}(\w+(?: \w+)?) {3,}\S/gm)].map(([, words = '']) => words);
    assert.deepEqual([...tried].sort(), commands.sort(), 'no command is left out');
  });

  it('says by its exit code what went wrong, to programs on stdout and to people on stderr', async () => {
    const store = storeOf(join(session.path, '..', '..', '..'));
    inSession('a.txt', 'not recorded\n');
    const failures: readonly (readonly [number, readonly string[]])[] = [
      [2, ['nonsense']],
      [3, ['session', 'rm', session.id]],
      [5, ['session', 'show', 'nobody']],
    ];
    const fails = async (exit: number, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> => {
      const json = await world.run(withJson(args), { env });
      const { error } = documentOf(json, exit) as ErrorDocument;
      assert.deepEqual([json.stdout, json.stderr], [`${JSON.stringify({ error })}\n`, ''], json.story);
      const text = await world.run(args, { env });
      assert.deepEqual([text.code, text.stdout], [exit, ''], text.story);
      assert.ok(text.stderr.startsWith('bulkhead: '), text.story);
    };
    for (const [exit, args] of failures) {
      await fails(exit, args);
    }
    await fails(1, ['session', 'list'], { PATH: world.emptyFolder('no programs') });
    const claim = gitLine(['hash-object', '-w', '--stdin'], store, { input: '{"format":99}' });
    git(['update-ref', `refs/bulkhead/claims/${session.id}`, claim], store);
    await fails(4, ['restore', session.newest, '--session', session.id, '--force']);
    git(['update-ref', '-d', `refs/bulkhead/claims/${session.id}`], store);
  });

  it('goes by the folder that it is started in, and says so when that is gone', async () => {
    const deep = join(session.path, 'deep');
    mkdirSync(deep);
    inSession('deep/x.txt', 'x\n');
    const made = await world.json<{ session: string; changed: { path: string }[] }>(['checkpoint', 'x.txt'], {
      cwd: deep,
    });
    assert.deepEqual([made.session, made.changed.map(({ path }) => path)], [session.id, ['deep/x.txt']]);
    if (process.platform === 'win32') {
      return;
    }
    const gone = world.emptyFolder('gone');
    const leave = 'rmdir "$PWD" && exec "$0" "$@"';
    const run = spawnSync('/bin/sh', ['-c', leave, process.execPath, cliFile(), 'session', 'list', '--json'], {
      cwd: gone,
      env: cleanEnvironment(world.env),
      encoding: 'utf8',
    });
    assert.equal(run.status, 2, run.stderr);
    assert.equal((JSON.parse(run.stdout) as ErrorDocument).error.code, 'folder-gone');
  });

  it('goes by its environment', async () => {
    const env = { BULKHEAD_STORAGE: join(world.folder, 'elsewhere'), BULKHEAD_AGENT: 'codex', BULKHEAD_LOG: 'debug' };
    assert.deepEqual(await world.json(['session', 'list'], { env }), []);
    inSession('a.txt', 'by an agent\n');
    const run = await world.run(['checkpoint', '--json'], { cwd: session.path, env });
    assert.match(run.stderr, /^bulkhead: debug /m, run.story);
    const [newest] = await world.snapshots(session.path, '--limit', '1');
    assert.equal(newest?.agent, 'codex');
  });

  it('answers as a call in the process of a test does', async () => {
    const calls: readonly (readonly string[])[] = [
      ['session', 'list'],
      ['session', 'show', session.id, '--json'],
      ['snapshots', '--all', '--json'],
      ['diff', 'base', '--session', session.id],
      ['contention'],
      ['session', 'show', 'nobody'],
      ['snapshots', '--limit', '0', '--json'],
      ['--version'],
      ['apply', '--help'],
    ];
    const parts = ({ code, stdout, stderr }: CliRun): unknown => ({
      code,
      stdout: stdout.replaceAll(/ +\d+ (s|min) +/g, ' AGE '),
      stderr,
    });
    for (const args of calls) {
      const run = await world.run(args);
      assert.deepEqual(parts(await world.run(args, { process: false })), parts(run), run.story);
    }
    rmSync(session.path, { recursive: true });
    const run = await world.run(['session', 'list', '--json']);
    assert.deepEqual(parts(await world.run(['session', 'list', '--json'], { process: false })), parts(run));
  });
});
