import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliWorld, type SessionDocument } from '../support/cliWorld';
import { repo } from '../support/repo';

describe('command line: storage', function () {
  this.timeout(60_000);

  it('lists nothing and makes nothing while there is no storage', async () => {
    const world = new CliWorld();
    for (const args of [
      ['session', 'list'],
      ['session', 'list', '--all'],
      ['session', 'trash'],
      ['snapshots'],
      ['snapshots', '--all'],
      ['contention'],
    ]) {
      assert.deepEqual(await world.json(args), [], args.join(' '));
      const text = await world.run(args);
      assert.deepEqual([text.code, text.stdout], [0, ''], text.story);
    }
    const elsewhere = join(world.folder, 'no storage here');
    assert.deepEqual(await world.json(['session', 'list', '--storage', elsewhere]), []);
    for (const args of [
      ['session', 'show', 'abcd'],
      ['diff', '123456'],
      ['restore', '123456'],
      ['undo'],
      ['checkpoint', '--session', 'abcd'],
    ]) {
      await world.failure(5, args);
    }
    assert.equal(existsSync(elsewhere), false);
    assert.deepEqual(readdirSync(join(world.home, '.local', 'share')), []);
  });

  it('makes one for session new and for checkpoint, readable by its owner only', async () => {
    const world = new CliWorld();
    const session = await world.newSession();
    const storage = storageOf(session);
    assert.ok(storage.startsWith(join(world.home, '.local', 'share')), storage);
    if (process.platform !== 'win32') {
      assert.equal(statSync(storage).mode & 0o777, 0o700);
    }
    const other = new CliWorld();
    await other.checkpoint(other.repo.dir);
    assert.equal((await other.snapshots(other.repo.dir)).length > 0, true);
  });

  it('goes by --storage, then the clone around, then BULKHEAD_STORAGE, then the index', async () => {
    const world = new CliWorld({ process: true });
    const indexed = await world.newSession('--name', 'indexed');
    const optional = join(world.folder, 'by option');
    const environmental = join(world.folder, 'by environment');
    const names = async (args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Promise<string[]> =>
      (await world.json<SessionDocument[]>(['session', 'list', ...args], options)).map(({ name }) => name);
    await world.json(['session', 'new', '--name', 'option', '--storage', optional]);
    await world.json(['session', 'new', '--name', 'environment'], { env: { BULKHEAD_STORAGE: environmental } });

    const env = { BULKHEAD_STORAGE: environmental };
    assert.deepEqual(await names([]), ['indexed']);
    assert.deepEqual(await names([], { env }), ['environment']);
    assert.deepEqual(await names(['--storage', optional], { env }), ['option']);
    assert.deepEqual(await names([], { cwd: indexed.path, env }), ['indexed']);
    assert.deepEqual(await names(['--storage', '../by option']), ['option']);
    assert.deepEqual(await names(['--storage', optional], { cwd: world.folder }), ['option']);
    assert.deepEqual(await names(['--repo', world.repo.dir], { cwd: world.folder }), ['indexed']);
    assert.deepEqual(await names([], { env: { BULKHEAD_STORAGE: '' } }), ['indexed']);
    assert.deepEqual(await names([], { cwd: join(world.repo.dir, 'src') }), ['indexed']);
  });

  it('exits 2 for the storage of another repository', async () => {
    const world = new CliWorld();
    const storage = join(world.folder, 'storage');
    await world.json(['session', 'new', '--storage', storage]);
    const other = repo(join(world.folder, 'other')).file('x', '').commit('x');
    await world.failure(2, ['session', 'list', '--storage', storage], { cwd: other.dir });
    await world.failure(2, ['session', 'list', '--storage', storage, '--repo', other.dir]);
    await world.failure(2, ['session', 'new', '--storage', storage, '--repo', other.dir]);
  });

  it('needs a session where none is around', async () => {
    const world = new CliWorld();
    await world.newSession();
    const error = await world.failure(2, ['snapshots', '--repo', world.repo.dir], { cwd: world.folder });
    assert.equal(error.code, 'no-session');
  });

  for (const args of [['session', 'new'], ['checkpoint']]) {
    it(`fails where nothing can be written: ${args.join(' ')}`, async () => {
      const world = new CliWorld();
      const file = join(world.folder, 'a file');
      writeFileSync(file, 'in the way\n');
      const run = await world.run([...args, '--storage', join(file, 'storage'), '--json']);
      assert.equal(run.code, 1, run.story);
      const under = await world.run([...args, '--storage', file, '--json']);
      assert.ok(under.code === 1 || under.code === 2, under.story);
      assert.equal(readFileSync(file, 'utf8'), 'in the way\n');
    });
  }

  it('will not mix its files with others', async () => {
    const world = new CliWorld();
    const folder = world.emptyFolder('documents');
    writeFileSync(join(folder, 'letter.txt'), 'x\n');
    await world.failure(2, ['session', 'new', '--storage', folder]);
    assert.deepEqual(readdirSync(folder), ['letter.txt']);
  });

  it('takes a storage that has lost its record for its own, with all that lies in one', async () => {
    const world = new CliWorld();
    const storage = storageOf(await world.newSession('--name', 'before'));
    await world.run(['gc', '--storage', storage]);
    for (const log of ['cli.log', 'cli.log.1']) {
      writeFileSync(join(storage, log), 'a warning\n');
    }
    rmSync(join(storage, 'storage.json'));
    await world.newSession('--name', 'after', '--storage', storage);
    const listed = await world.json<SessionDocument[]>(['session', 'list']);
    assert.deepEqual(listed.map(({ name }) => name).sort(), ['after', 'before']);
  });

  it('leaves alone what a newer version wrote: the storage, its record and the list of storages', async () => {
    const world = new CliWorld();
    const session = await world.newSession();
    const index = join(world.home, '.local', 'state', 'bulkhead', 'repositories.json');
    const file = join(storageOf(session), 'storage.json');
    for (const [path, code] of [
      [file, 'storage-newer'],
      [index, 'index-newer'],
    ] as const) {
      const before = readFileSync(path);
      const text = Buffer.from('{"format":2,"repositories":{},"later":true}\n');
      writeFileSync(path, text);
      for (const args of [['session', 'list'], ['session', 'new'], ['checkpoint'], ['lock', 'show']]) {
        const error = await world.failure(1, args);
        assert.equal(error.code, code, args.join(' '));
        assert.match(error.message, /newer version of Bulkhead.*Update Bulkhead/);
      }
      assert.deepEqual(readFileSync(path), text);
      writeFileSync(path, before);
    }
    assert.equal((await world.json<SessionDocument[]>(['session', 'list'])).length, 1);
  });

  it('says so when a storage is damaged', async () => {
    const world = new CliWorld();
    const storage = storageOf(await world.newSession());
    rmSync(join(storage, 'snapshots.git', 'HEAD'));
    rmSync(join(storage, 'snapshots.git', 'objects'), { recursive: true });
    const run = await world.run(['session', 'list', '--json']);
    assert.equal(run.code, 1, run.story);
  });
});

describe('command line: inside a clone', function () {
  this.timeout(60_000);
  const world = new CliWorld();
  let own: SessionDocument;
  let other: SessionDocument;

  before('two sessions', async () => {
    own = await world.newSession('--name', 'own');
    other = await world.newSession('--name', 'other');
    writeFileSync(join(other.path, 'secret.txt'), 'x\n');
    await world.checkpoint(other.path);
    await world.checkpoint(world.repo.dir);
  });

  it('works on that session by itself', async () => {
    mkdirSync(join(own.path, 'deep'));
    writeFileSync(join(own.path, 'deep', 'x.txt'), 'x\n');
    const result = await world.checkpoint(join(own.path, 'deep'));
    assert.equal(result.session, own.id);
    assert.deepEqual(
      (await world.json<SessionDocument[]>(['session', 'list'], { cwd: own.path })).map(({ id }) => id),
      [own.id],
    );
    await world.json(['session', 'show', own.id], { cwd: own.path });
    await world.json(['contention'], { cwd: own.path });
  });

  const reaches: readonly (readonly string[])[] = [
    ['session', 'show', 'other'],
    ['session', 'show', 'workspace'],
    ['session', 'rename', 'other', 'x'],
    ['session', 'rm', 'other', '--force'],
    ['session', 'fork', 'other'],
    ['session', 'new', '--from', 'session:other'],
    ['session', 'new', '--carry-uncommitted'],
    ['session', 'trash'],
    ['checkpoint', '--session', 'other'],
    ['checkpoint', '--session', 'workspace'],
    ['snapshots', '--session', 'other'],
    ['snapshots', '--all'],
    ['diff', 'base', 'session:other'],
    ['diff', 'base', '--session', 'workspace'],
    ['restore', 'OTHER'],
    ['restore', 'OTHER', '--force'],
    ['diff', 'OTHER', 'base'],
    ['undo', '--session', 'other'],
    ['apply', 'other', '--mode', 'branch'],
    ['apply', 'own', '--mode', 'branch'],
  ];
  for (const args of reaches) {
    it(`exits 3 for: ${args.join(' ')}`, async () => {
      const typed = args.map((arg) => (arg === 'OTHER' ? other.newest : arg));
      const error = await world.failure(3, typed, { cwd: own.path });
      assert.equal(error.code, 'other-session');
    });
  }

  it('goes further when the storage is named', async () => {
    const storage = storageOf(own);
    const list = await world.json<SessionDocument[]>(['session', 'list', '--storage', storage], { cwd: own.path });
    assert.equal(list.length, 2);
    await world.json(['checkpoint', '--session', 'other', '--storage', storage], { cwd: own.path });
    const mine = await world.json<{ session: string }>(['checkpoint', '--storage', storage], { cwd: own.path });
    assert.equal(mine.session, own.id);
  });

  it('does not believe a pointer that leads elsewhere', async () => {
    const victim = new CliWorld();
    const clone = join(world.folder, 'planted');
    const planted = repo(clone).file('x', '').commit('x');
    const foreign = await victim.newSession();
    const pointer = readFileSync(join(foreign.path, '.git', 'bulkhead'));
    writeFileSync(join(planted.dir, '.git', 'bulkhead'), pointer);
    const run = await world.run(['snapshots', '--json'], { cwd: clone });
    assert.notEqual(run.code, 0, run.story);
    assert.ok(!run.stdout.includes(foreign.id) || run.code === 2, run.story);
  });

  it('says where a session is when its folder was moved away', async () => {
    const moved = await world.newSession('--name', 'moved');
    renameSync(moved.path, join(world.folder, 'moved away'));
    const shown = await world.json<SessionDocument>(['session', 'show', 'moved']);
    assert.equal(shown.state, 'missing');
    const run = await world.run(['checkpoint', '--session', 'moved', '--json']);
    assert.notEqual(run.code, 0, run.story);
  });
});

function storageOf(session: SessionDocument): string {
  return dirname(dirname(dirname(session.path)));
}
