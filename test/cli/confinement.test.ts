import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliWorld, type ErrorDocument, type SessionDocument } from '../support/cliWorld';
import { gitLine } from '../support/git';
import { repo } from '../support/repo';
import type { CliRun } from '../support/runCli';

/** What an agent in one clone would type to reach another session. `OTHER` and `SNAPSHOT` stand for its id and newest snapshot. */
const REACHES: readonly (readonly string[])[] = [
  ['session', 'show', 'OTHER'],
  ['session', 'rename', 'OTHER', 'taken over'],
  ['session', 'rm', 'OTHER', '--force'],
  ['session', 'fork', 'OTHER'],
  ['checkpoint', '--session', 'OTHER'],
  ['checkpoint', '--session', 'workspace'],
  ['snapshots', '--session', 'OTHER'],
  ['snapshots', '--all'],
  ['diff', 'SNAPSHOT', 'base', '--session', 'OTHER'],
  ['diff', 'session:OTHER', 'worktree'],
  ['restore', 'SNAPSHOT', '--force'],
  ['restore', 'SNAPSHOT', '--session', 'OTHER', '--force'],
  ['undo', '--session', 'OTHER'],
  ['apply', 'OTHER', '--mode', 'branch'],
];

interface AttackOptions {
  readonly process?: boolean;
  readonly env?: NodeJS.ProcessEnv;
  readonly with?: typeof REACHES;
}

describe('command line: an agent that pretends to be elsewhere', function () {
  this.timeout(180_000);
  const world = new CliWorld();
  let own: SessionDocument;
  let other: SessionDocument;
  let storage: string;

  beforeEach('two sessions', async () => {
    own = await world.newSession();
    other = await world.newSession();
    writeFileSync(join(other.path, 'secret.txt'), 'secret of the other session\n');
    const { newest } = await world.checkpoint(other.path);
    other = { ...other, newest };
    storage = dirname(dirname(dirname(own.path)));
  });

  const refs = (): string =>
    gitLine(
      ['for-each-ref', `refs/bulkhead/*/${other.id}`, `refs/bulkhead/*/${other.id}/**`],
      join(storage, 'snapshots.git'),
    );

  function refused(run: CliRun): void {
    assert.equal(run.code, 3, run.story);
    const { error } = JSON.parse(run.stdout) as ErrorDocument;
    assert.ok(['other-session', 'pointer-not-believed'].includes(error.code), run.story);
    assert.ok(!run.stdout.includes('secret.txt'), run.story);
  }

  /** Reads and writes from a folder; nothing of the other session is shown or changed. */
  async function attack(
    cwd: string,
    { env = {}, process = false, with: reaches = REACHES.filter((_, index) => index % 5 === 4) }: AttackOptions = {},
  ): Promise<void> {
    const before = refs();
    for (const args of reaches) {
      const typed = args.map((arg) => arg.replace('OTHER', other.id).replace('SNAPSHOT', other.newest));
      refused(await world.run([...typed, '--json'], { cwd, env, process }));
    }
    const list = await world.run(['session', 'list', '--all', '--json'], { cwd, env, process });
    assert.ok(list.code === 3 || !list.stdout.includes(other.id), list.story);
    assert.equal(refs(), before);
    assert.equal(readFileSync(join(other.path, 'secret.txt'), 'utf8'), 'secret of the other session\n');
  }

  it('is confined in its clone, and in a repository of its own making inside it', async () => {
    await attack(own.path, { with: REACHES, process: true });
    const nested = repo(join(own.path, 'nested')).file('x', 'x\n').commit('x').dir;
    await attack(nested);
  });

  it('is confined although BULKHEAD_STORAGE, --repo and --session say otherwise', async () => {
    const run = (...args: string[]): Promise<CliRun> =>
      world.run([...args, '--json'], { cwd: own.path, env: { BULKHEAD_STORAGE: storage, BULKHEAD_SESSION: other.id } });
    refused(await run('checkpoint', '--session', other.id));
    refused(await run('snapshots', '--session', other.id, '--repo', other.path));
    refused(await run('snapshots', '--all', '--repo', world.repo.dir));
    const mine = await run('checkpoint', '--repo', other.path);
    assert.equal((JSON.parse(mine.stdout) as { session: string }).session, own.id, mine.story);
  });

  it('does not say which other sessions there are', async () => {
    for (const text of [other.name, other.id.slice(0, 4), 'no such session', other.id]) {
      const error = await world.failure(3, ['session', 'show', text], { cwd: own.path });
      assert.deepEqual([error.code, error.data], ['other-session', { session: own.id }]);
    }
  });

  const forged: readonly (readonly [string, (file: string, text: string) => void])[] = [
    ['with the id of another session', (file, text) => { writeFileSync(file, text.replace(own.id, other.id)); }],
    ['with another nonce', (file, text) => { writeFileSync(file, text.replace(/"nonce":"./, '"nonce":"x')); }],
    ['with another storage', (file, text) => { writeFileSync(file, text.replace(storage, world.emptyFolder('fake'))); }],
    ['that is a copy of the other one', (file) => { writeFileSync(file, readFileSync(join(other.path, '.git', 'bulkhead'))); }],
    ['that is a link to the other one', (file) => { rmSync(file); symlinkSync(join(other.path, '.git', 'bulkhead'), file); }],
    ['that is huge', (file, text) => { writeFileSync(file, `${text}${' '.repeat(5_000_000)}`); }],
    ['that is not UTF-8', (file) => { writeFileSync(file, Buffer.from([0xff, 0xfe, 0x80, 0x00])); }],
    ['that is a pipe', (file) => { rmSync(file); execFileSync('mkfifo', [file]); }],
    ['that is gone', (file) => { rmSync(file); }],
  ]; // prettier-ignore
  for (const [name, forge] of forged) {
    it(`is confined with a pointer ${name}`, async () => {
      const file = join(own.path, '.git', 'bulkhead');
      forge(file, readFileSync(file, 'utf8'));
      for (const args of [
        ['checkpoint', '--session', other.id],
        ['snapshots', '--session', other.id],
        ['diff', other.newest, 'base'],
      ]) {
        refused(await world.run([...args, '--json'], { cwd: own.path }));
      }
      const list = await world.run(['session', 'list', '--json'], { cwd: own.path });
      assert.ok([0, 3].includes(list.code ?? -1) && !list.stdout.includes(other.id), list.story);
    });
  }

  it('is confined when its .git is a file or a link to that of another session or of the user', async () => {
    const gitDir = join(own.path, '.git');
    renameSync(gitDir, join(world.folder, `aside ${own.id}`));
    for (const target of [join(other.path, '.git'), join(world.repo.dir, '.git')]) {
      writeFileSync(gitDir, `gitdir: ${target}\n`);
      await attack(own.path);
      rmSync(gitDir);
      symlinkSync(target, gitDir);
      await attack(own.path);
      rmSync(gitDir);
    }
  });

  it('cannot make up a session folder inside its clone', async () => {
    const made = join(own.path, other.id);
    const clone = join(made, 'clone');
    repo(clone).file('x', 'x\n').commit('x');
    for (const id of [other.id, own.id]) {
      const claim = { format: 1, id, nonce: 'made-up' };
      writeFileSync(join(made, 'session.json'), JSON.stringify(claim));
      writeFileSync(join(own.path, 'session.json'), JSON.stringify(claim));
      writeFileSync(join(clone, '.git', 'bulkhead'), JSON.stringify({ ...claim, storage }));
      await attack(clone);
      const result = await world.checkpoint(clone);
      assert.equal(result.session, own.id);
    }
  });

  it('cannot make up a session folder anywhere else', async () => {
    const folder = join(world.emptyFolder('made up'), other.id);
    const clone = join(folder, 'clone');
    mkdirSync(folder);
    repo(clone).file('x', 'x\n').commit('x');
    const claim = { format: 1, id: other.id, nonce: 'made-up' };
    writeFileSync(join(folder, 'session.json'), JSON.stringify(claim));
    for (const pointer of [
      { ...claim, storage },
      { ...claim, storage: world.folder },
    ]) {
      writeFileSync(join(clone, '.git', 'bulkhead'), JSON.stringify(pointer));
      await attack(clone);
    }
  });

  it('is confined in a folder that is reached through a link, into the clone and out of it', async () => {
    const link = join(world.folder, `link to ${own.id}`);
    symlinkSync(own.path, link);
    // In processes: what the system tells them of their folder is what counts.
    await attack(link, { env: { PWD: link }, process: true });
    mkdirSync(join(own.path, 'deep'));
    symlinkSync(other.path, join(own.path, 'deep', 'out'));
    await attack(join(own.path, 'deep', 'out'), { env: { PWD: join(own.path, 'deep', 'out') }, process: true });
    symlinkSync(world.repo.dir, join(own.path, 'deep', 'home'));
    await attack(join(own.path, 'deep', 'home'), { env: { PWD: join(own.path, 'deep', 'home') }, process: true });
  });

  it('cannot bring a commit of another session to its own HEAD by name alone', async () => {
    writeFileSync(join(own.path, '.git', 'HEAD'), `${other.newest}\n`);
    writeFileSync(join(own.path, 'a.txt'), 'mine\n');
    await world.checkpoint(own.path);
    const forked = await world.json<SessionDocument>(['session', 'fork', own.id], { cwd: own.path });
    assert.notEqual(gitLine(['rev-parse', 'HEAD'], forked.path), other.newest);
    assert.equal(gitLine(['ls-tree', '--name-only', 'HEAD', 'secret.txt'], forked.path), '');
    const applied = await world.json<{ branch: string }>(['apply', own.id, '--mode', 'branch']);
    assert.equal(gitLine(['ls-tree', '-r', '--name-only', applied.branch, 'secret.txt'], world.repo.dir), '');
    assert.equal(
      gitLine(['log', '--format=%H', '--max-count=2', applied.branch], world.repo.dir).includes(other.newest),
      false,
    );
  });
});
