import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliWorld, type SessionDocument } from '../support/cliWorld';

describe('command line: snapshots', function () {
  this.timeout(60_000);
  const world = new CliWorld();
  let session: SessionDocument;
  let made: string[];

  before('a session with five snapshots and one in the checkout', async () => {
    session = await world.newSession();
    made = [session.newest];
    const steps: readonly (readonly [string, string, ...string[]])[] = [
      ['a.txt', 'one\n', '--agent', 'claude-code', '--turn', 't1'],
      ['src/b.ts', 'two\n', '--agent', 'claude-code', '--turn', 't1'],
      ['src/c.ts', 'three\nlines\nhere\n', '--agent', 'codex', '--turn', 't2'],
      ['a.txt', 'four\n', '--agent', 'codex'],
    ];
    for (const [path, content, ...args] of steps) {
      writeFileSync(join(session.path, path), content);
      const { snapshot } = await world.checkpoint(session.path, ...args);
      made.push(snapshot ?? assert.fail('no snapshot'));
    }
    world.repo.file('mine.txt', 'mine\n');
    await world.checkpoint(world.repo.dir);
  });

  const oids = async (...args: string[]): Promise<string[]> =>
    (await world.snapshots(session.path, ...args)).map(({ oid }) => oid);
  const madeAt = (...indexes: number[]): string[] =>
    indexes.map((index) => made[index] ?? assert.fail('no such snapshot'));

  it('lists the chain of the session around, newest first', async () => {
    const list = await world.snapshots(session.path);
    assert.deepEqual(
      list.map(({ oid }) => oid),
      madeAt(4, 3, 2, 1, 0),
    );
    const [newest, third] = list;
    assert.deepEqual(Object.keys(newest ?? {}), [
      'oid',
      'session',
      'time',
      'trigger',
      'agent',
      'turn',
      'subject',
      'files',
      'added',
      'deleted',
    ]);
    assert.equal(newest?.session, session.id);
    assert.equal(new Date(newest.time).toISOString(), newest.time);
    assert.equal(newest.turn, null);
    assert.deepEqual([third?.files, third?.added, third?.deleted], [1, 3, 0]);
  });

  it('filters by agent, turn, trigger and path', async () => {
    assert.deepEqual(await oids('--agent', 'codex'), madeAt(4, 3));
    assert.deepEqual(await oids('--turn', 't1'), madeAt(2, 1));
    assert.deepEqual(await oids('--trigger', 'start'), madeAt(0));
    assert.deepEqual(await oids('--path', 'a.txt'), madeAt(4, 1));
    assert.deepEqual(await oids('--path', 'src'), madeAt(3, 2));
    assert.deepEqual(await oids('--path', 'src', '--path', 'a.txt'), madeAt(4, 3, 2, 1));
    assert.deepEqual(await oids('--agent', 'nobody'), []);
  });

  it('is not filtered by the agent who calls', async () => {
    const all = await world.json<unknown[]>(['snapshots'], { cwd: session.path, env: { BULKHEAD_AGENT: 'nobody' } });
    assert.equal(all.length, 5);
  });

  it('pages with --limit and --after', async () => {
    assert.deepEqual(await oids('--limit', '2'), madeAt(4, 3));
    assert.deepEqual(await oids('--limit', '2', '--after', madeAt(3)[0]!.slice(0, 8)), madeAt(2, 1));
    assert.deepEqual(await oids('--after', `${madeAt(2)[0]!}^`), madeAt(0));
    assert.deepEqual(await oids('--after', madeAt(0)[0]!), []);
  });

  it('still knows the history of a file that is gone', async () => {
    writeFileSync(join(session.path, 'gone.txt'), 'x\n');
    await world.checkpoint(session.path);
    rmSync(join(session.path, 'gone.txt'));
    await world.checkpoint(session.path);
    assert.equal((await oids('--path', 'gone.txt')).length, 2);
  });

  it('exits 5 for a path that was never there, and for an unknown snapshot', async () => {
    assert.equal(
      (await world.failure(5, ['snapshots', '--path', 'never.txt'], { cwd: session.path })).code,
      'path-not-found',
    );
    assert.equal(
      (await world.failure(5, ['snapshots', '--after', '0123456789'], { cwd: session.path })).code,
      'snapshot-not-found',
    );
    await world.failure(2, ['snapshots', '--path', '../x'], { cwd: session.path });
    await world.failure(5, ['snapshots', '--session', 'nobody']);
  });

  it('lists all sessions and the checkout together, by time', async () => {
    const all = await world.json<{ oid: string; session: string; time: string }[]>(['snapshots', '--all']);
    assert.deepEqual([...new Set(all.map((row) => row.session))].sort(), [session.id, 'workspace'].sort());
    const times = all.map(({ time }) => time);
    assert.deepEqual(times, [...times].sort().reverse());
    const pages: string[] = [];
    for (let after: string | undefined; ; after = pages.at(-1)) {
      const page = await world.json<{ oid: string }[]>([
        'snapshots',
        '--all',
        '--limit',
        '2',
        ...(after === undefined ? [] : ['--after', after]),
      ]);
      if (page.length === 0) {
        break;
      }
      pages.push(...page.map(({ oid }) => oid));
    }
    assert.deepEqual(
      pages,
      all.map(({ oid }) => oid),
    );
  });

  it('lists the checkout inside the repository', async () => {
    const list = await world.snapshots(world.repo.dir);
    assert.ok(list.every((row) => row.session === 'workspace'));
    assert.ok(list.length > 0);
  });

  it('shows a table', async () => {
    const run = await world.run(['snapshots', '--session', session.id]);
    assert.match(run.stdout, /^SNAPSHOT +AGE +TRIGGER +AGENT +FILES +\+ +- +SUBJECT\n[0-9a-f]{10} /, run.story);
  });
});
