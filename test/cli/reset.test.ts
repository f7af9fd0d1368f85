import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliWorld, type SessionDocument } from '../support/cliWorld';

interface ResetDocument {
  readonly session: SessionDocument;
  readonly made: boolean;
  readonly snapshot: string;
}

describe('command line: session reset', function () {
  this.timeout(60_000);

  it('refuses while changes were not applied, and replaces the session when told to', async () => {
    const world = new CliWorld();
    const old = await world.newSession('--name', 'Attempt');
    writeFileSync(join(old.path, 'a.txt'), 'of the agent\n');
    const refused = await world.failure(3, ['session', 'reset', old.id]);
    assert.equal(refused.code, 'would-lose');
    assert.match(refused.message, /--force/);
    assert.deepEqual(await world.json(['session', 'list', '--all']), [await world.json(['session', 'show', old.id])]);

    const reset = await world.json<ResetDocument>(['session', 'reset', old.id, '--force']);
    assert.deepEqual(Object.keys(reset), ['session', 'made', 'snapshot']);
    assert.equal(reset.made, true);
    assert.deepEqual([reset.session.name, reset.session.base], ['Attempt', old.base]);
    assert.equal(readFileSync(join(reset.session.path, 'a.txt'), 'utf8'), 'one\ntwo\nthree\n');
    assert.equal(existsSync(old.path), false);
    assert.deepEqual(await world.json(['session', 'list']), [reset.session]);
    assert.deepEqual(await world.json(['session', 'show', 'Attempt']), reset.session);
    const all = await world.json<SessionDocument[]>(['session', 'list', '--all']);
    assert.deepEqual(
      all.map(({ id, state }) => [id, state]),
      [
        [reset.session.id, 'ready'],
        [old.id, 'trashed'],
      ],
    );
    const [final] = await world.snapshots(world.repo.dir, '--all', '--trigger', 'final');
    assert.deepEqual([final?.oid, final?.session], [reset.snapshot, old.id]);
    assert.deepEqual((await world.snapshots(world.repo.dir, '--session', old.id))[0], final);
  });

  it('gives the successor at a later turn, and tells people which it is', async () => {
    const world = new CliWorld();
    const old = await world.newSession();
    const first = await world.run(['session', 'reset', old.id]);
    assert.equal(first.code, 0, first.story);
    assert.match(first.stderr, new RegExp(`Session ${old.id} is in the trash`));
    const again = await world.json<ResetDocument>(['session', 'reset', old.id]);
    assert.equal(again.made, false);
    assert.ok(first.stdout.includes(again.session.id), first.story);
    const told = await world.run(['session', 'reset', old.id.slice(0, 8)]);
    assert.match(told.stderr, /had been reset before/);
    assert.ok(told.stdout.includes(again.session.id), told.story);
    assert.equal((await world.json<unknown[]>(['session', 'list', '--all'])).length, 2);
    const shown = await world.run(['session', 'show', old.id]);
    assert.match(shown.stdout, new RegExp(`trashed: It was reset: session ${again.session.id} took its place`));
  });

  it('exits 5 when the successor was deleted', async () => {
    const world = new CliWorld();
    const old = await world.newSession();
    const { session } = await world.json<ResetDocument>(['session', 'reset', old.id]);
    await world.json(['session', 'rm', session.id, '--force']);
    assert.equal((await world.failure(5, ['session', 'reset', old.id])).code, 'successor-deleted');
    assert.equal((await world.failure(5, ['session', 'reset', session.id])).code, 'session-trashed');
  });

  it('reaches only its own session from inside a clone, and never the checkout', async () => {
    const world = new CliWorld();
    const own = await world.newSession();
    const other = await world.newSession();
    assert.equal((await world.failure(3, ['session', 'reset', other.id], { cwd: own.path })).code, 'other-session');
    await world.failure(2, ['session', 'reset', 'workspace', '--force']);
    await world.failure(2, ['session', 'reset']);
    await world.failure(5, ['session', 'reset', 'aaaaaaaaaaaa']);
    assert.equal((await world.json<unknown[]>(['session', 'list', '--all'])).length, 2);
  });
});
