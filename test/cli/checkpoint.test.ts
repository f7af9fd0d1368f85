import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliWorld, type CheckpointDocument, type SessionDocument } from '../support/cliWorld';
import { gitLine } from '../support/git';
import { Oracle } from '../support/oracle';
import { storeOf, treeOf } from '../support/snapshotTree';

describe('command line: checkpoint', function () {
  this.timeout(60_000);
  const world = new CliWorld();
  let session: SessionDocument;
  let store: string;

  before('a session', async () => {
    session = await world.newSession();
    store = storeOf(dirname(dirname(dirname(session.path))));
  });

  const write = (path: string, content: string): void => {
    const file = join(session.path, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  };

  it('records everything that changed', async () => {
    write('a.txt', 'changed\n');
    write('new/deep/file.txt', 'new\n');
    rmSync(join(session.path, 'src/b.ts'));
    const result = await world.checkpoint(session.path);
    assert.deepEqual(Object.keys(result), ['session', 'snapshot', 'newest', 'tree', 'changed', 'skipped']);
    assert.equal(result.session, session.id);
    assert.equal(result.newest, result.snapshot);
    assert.deepEqual(result.changed, [
      { path: 'a.txt', status: 'modified' },
      { path: 'new/deep/file.txt', status: 'added' },
      { path: 'src/b.ts', status: 'deleted' },
    ]);
    assert.deepEqual(result.skipped, []);
    assert.equal(treeOf(store, result.newest), result.tree);
    assert.equal(gitLine(['rev-parse', session.shadowRef], store), result.newest);
    const oracle = new Oracle({ objects: [join(session.path, '.git', 'objects')] });
    assert.equal(
      oracle.tree({ workTree: session.path, baseTree: session.base.tree, headTree: session.base.tree }),
      result.tree,
    );
  });

  it('makes no snapshot when nothing changed, also with a message', async () => {
    const before = await world.checkpoint(session.path);
    const result = await world.checkpoint(session.path, '-m', 'still the same');
    assert.equal(result.snapshot, null);
    assert.equal(result.newest, before.newest);
    assert.deepEqual(result.changed, []);
  });

  it('records only the given paths, literally, relative to the current folder', async () => {
    write('sub/one.txt', '1\n');
    write('sub/two.txt', '2\n');
    write('sub/inner/three.txt', '3\n');
    write('*.txt', 'star\n');
    const one = await world.checkpoint(join(session.path, 'sub'), 'one.txt');
    assert.deepEqual(
      one.changed.map(({ path }) => path),
      ['sub/one.txt'],
    );
    const star = await world.checkpoint(session.path, '*.txt');
    assert.deepEqual(
      star.changed.map(({ path }) => path),
      ['*.txt'],
    );
    const folder = await world.json<CheckpointDocument>(['checkpoint', '--session', session.id, 'sub'], {
      cwd: world.repo.dir,
    });
    assert.deepEqual(
      folder.changed.map(({ path }) => path),
      ['sub/inner/three.txt', 'sub/two.txt'],
    );
  });

  it('takes names that look like options after --', async () => {
    write('-dash', 'x\n');
    const result = await world.checkpoint(session.path, '--', '-dash');
    assert.deepEqual(
      result.changed.map(({ path }) => path),
      ['-dash'],
    );
  });

  it('takes absolute paths inside the work tree', async () => {
    write('absolute.txt', 'x\n');
    const result = await world.checkpoint(session.path, join(session.path, 'absolute.txt'));
    assert.deepEqual(
      result.changed.map(({ path }) => path),
      ['absolute.txt'],
    );
  });

  it('records a deletion by its path', async () => {
    write('short-lived.txt', 'x\n');
    await world.checkpoint(session.path);
    rmSync(join(session.path, 'short-lived.txt'));
    const result = await world.checkpoint(session.path, 'short-lived.txt');
    assert.deepEqual(result.changed, [{ path: 'short-lived.txt', status: 'deleted' }]);
  });

  for (const path of ['../outside', '/etc/passwd', 'sub/../../x', '.git/config', '.GIT/config', '']) {
    it(`exits 2 for the path ${JSON.stringify(path)}`, async () => {
      await world.failure(2, ['checkpoint', '--', path], { cwd: session.path });
    });
  }

  it('exits 5 for a path that neither the disk nor the newest snapshot knows', async () => {
    const error = await world.failure(5, ['checkpoint', 'nowhere.txt'], { cwd: session.path });
    assert.equal(error.code, 'path-not-found');
  });

  it('records a link as a link, and nothing from behind it', async () => {
    const outside = world.emptyFolder('outside');
    writeFileSync(join(outside, 'secret.txt'), 'secret\n');
    symlinkSync(outside, join(session.path, 'way-out'));
    const result = await world.checkpoint(session.path);
    assert.deepEqual(result.changed, [{ path: 'way-out', status: 'added' }]);
    assert.match(gitLine(['ls-tree', result.tree, 'way-out'], store), /^120000 /);
    const behind = await world.run(['checkpoint', 'way-out/secret.txt', '--json'], { cwd: session.path });
    const { snapshot } = JSON.parse(behind.stdout) as Partial<CheckpointDocument>;
    assert.equal(snapshot ?? null, null, behind.story);
    rmSync(join(session.path, 'way-out'));
  });

  it('keeps the message, the agent and the turn', async () => {
    write('a.txt', 'by an agent\n');
    await world.checkpoint(session.path, '-m', 'My own words', '--agent', 'claude-code', '--turn', 'turn-7');
    const [newest] = await world.snapshots(session.path, '--limit', '1');
    assert.equal(newest?.subject, 'My own words');
    assert.equal(newest.agent, 'claude-code');
    assert.equal(newest.turn, 'turn-7');
    assert.equal(newest.trigger, 'manual');
  });

  it('takes the agent from the option, else from BULKHEAD_AGENT, else it is unknown in a clone and user in the checkout', async () => {
    const agentOf = async (
      content: string,
      cwd: string,
      args: string[],
      env: NodeJS.ProcessEnv,
    ): Promise<string | undefined> => {
      writeFileSync(join(cwd, 'agent.txt'), content);
      await world.json(['checkpoint', ...args], { cwd, env });
      return (await world.snapshots(cwd, '--limit', '1'))[0]?.agent;
    };
    assert.equal(await agentOf('1', session.path, ['--agent', 'codex'], { BULKHEAD_AGENT: 'gemini' }), 'codex');
    assert.equal(await agentOf('2', session.path, [], { BULKHEAD_AGENT: 'gemini' }), 'gemini');
    assert.equal(await agentOf('3', session.path, [], { BULKHEAD_AGENT: '' }), 'unknown');
    assert.equal(await agentOf('4', world.repo.dir, [], {}), 'user');
    await world.failure(2, ['checkpoint'], { cwd: session.path, env: { BULKHEAD_AGENT: 'No Agent' } });
  });

  it('cannot be given forged trailers', async () => {
    write('a.txt', 'forged\n');
    await world.checkpoint(session.path, '-m', 'Innocent\n\nBulkhead-Agent: root\nBulkhead-Session: workspace');
    const [newest] = await world.snapshots(session.path, '--limit', '1');
    assert.equal(newest?.session, session.id);
    assert.notEqual(newest.agent, 'root');
  });

  it('skips an untracked file that is too large, and says so', async () => {
    writeFileSync(join(session.path, 'large.bin'), Buffer.alloc(10 * 1024 * 1024 + 1));
    write('small.txt', 'x\n');
    const result = await world.checkpoint(session.path);
    assert.deepEqual(result.skipped, [{ path: 'large.bin', reason: 'too-large' }]);
    assert.deepEqual(
      result.changed.map(({ path }) => path),
      ['small.txt'],
    );
    rmSync(join(session.path, 'large.bin'));
  });

  it('gives names that are not UTF-8 as Base64 too', async function () {
    if (process.platform !== 'linux') {
      this.skip();
    }
    const name = Buffer.from('latin1-\xe9', 'latin1');
    writeFileSync(Buffer.concat([Buffer.from(`${session.path}/`), name]), 'x\n');
    const result = await world.checkpoint(session.path);
    assert.deepEqual(result.changed, [{ path: 'latin1-\ufffd', pathBase64: name.toString('base64'), status: 'added' }]);
  });

  it('says what it did', async () => {
    write('a.txt', 'text output\n');
    const made = await world.run(['checkpoint'], { cwd: session.path });
    assert.match(made.stdout, /^[0-9a-f]{10} {2}1 path changed\n$/, made.story);
    const again = await world.run(['checkpoint'], { cwd: session.path });
    assert.match(again.stdout, /^Nothing changed since [0-9a-f]{10}\.\n$/, again.story);
  });

  it('loses nothing when eight processes checkpoint one session at once', async () => {
    const before = (await world.snapshots(session.path, '--limit', '100000')).length;
    const names = Array.from({ length: 8 }, (_, index) => `race-${String(index)}.txt`);
    names.forEach((name) => {
      write(name, `${name}\n`);
    });
    const runs = await Promise.all(
      names.map((name) => world.run(['checkpoint', name, '--json'], { cwd: session.path, process: true })),
    );
    for (const run of runs) {
      assert.equal(run.code, 0, run.story);
    }
    const snapshots = await world.snapshots(session.path, '--limit', '100000');
    assert.equal(snapshots.length, before + 8);
    const tree = treeOf(store, session.shadowRef);
    for (const name of names) {
      assert.notEqual(gitLine(['ls-tree', tree, name], store), '', name);
    }
  });
});
