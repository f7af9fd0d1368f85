import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliWorld, type SessionDocument } from '../support/cliWorld';

interface ContentionDocument {
  readonly path: string;
  readonly sessions: readonly string[];
  readonly merge: string;
  readonly pairs: readonly {
    readonly a: string;
    readonly b: string;
    readonly merge: string;
    readonly lines: readonly (readonly number[])[] | null;
  }[];
}

describe('command line: contention', function () {
  this.timeout(60_000);
  const world = new CliWorld();
  const lines = Array.from({ length: 30 }, (_, index) => `line ${String(index + 1)}`);
  let one: SessionDocument;
  let two: SessionDocument;

  before('two sessions', async () => {
    world.repo.file('shared.txt', `${lines.join('\n')}\n`).commit('shared');
    one = await world.newSession();
    two = await world.newSession();
  });

  const writeLine = (session: SessionDocument, path: string, line: number, text: string): void => {
    const changed = lines.map((old, index) => (index === line ? text : old));
    writeFileSync(join(session.path, path), `${changed.join('\n')}\n`);
  };

  it('is silent while nobody is in the way', async () => {
    writeLine(one, 'shared.txt', 2, 'mine');
    assert.deepEqual(await world.json(['contention']), []);
    const text = await world.run(['contention']);
    assert.equal(text.stdout, '');
  });

  it('tells changes that merge from those that do not, and looks at the live work trees', async () => {
    writeLine(two, 'shared.txt', 27, 'theirs');
    const before = await world.snapshots(two.path);
    const [clean] = await world.json<ContentionDocument[]>(['contention']);
    assert.deepEqual(Object.keys(clean ?? {}), ['path', 'sessions', 'merge', 'pairs']);
    assert.equal(clean?.path, 'shared.txt');
    assert.deepEqual([...clean.sessions].sort(), [one.id, two.id].sort());
    assertMerge(clean.merge, 'clean');
    assert.deepEqual(Object.keys(clean.pairs[0] ?? {}), ['a', 'b', 'merge', 'lines']);

    writeLine(two, 'shared.txt', 2, 'theirs');
    const [conflict] = await world.json<ContentionDocument[]>(['contention']);
    assertMerge(conflict?.merge, 'conflict');
    assert.equal(conflict?.pairs[0]?.lines === null, conflict?.merge === 'unknown');
    assert.deepEqual(await world.snapshots(two.path), before);

    const text = await world.run(['contention']);
    assert.match(text.stdout, /^(conflict|unknown) .*shared\.txt$/m, text.story);
  });

  it('counts the checkout too', async () => {
    writeLine({ ...one, path: world.repo.dir }, 'shared.txt', 2, 'my own');
    const [row] = await world.json<ContentionDocument[]>(['contention']);
    assert.ok(row?.sessions.includes('workspace'), JSON.stringify(row));
    world.repo.git('checkout', '--quiet', '--', 'shared.txt');
  });

  it('puts the worst on top', async () => {
    writeLine(one, 'clean.txt', 2, 'mine');
    writeLine(two, 'clean.txt', 2, 'mine');
    writeLine(one, 'a.txt', 1, 'mine');
    writeLine(two, 'a.txt', 1, 'theirs');
    const rows = await world.json<ContentionDocument[]>(['contention']);
    assert.deepEqual(
      rows.map(({ path }) => path),
      ['a.txt', 'shared.txt'],
    );
  });
});

/** A version that makes no dry merges says so. */
function assertMerge(actual: string | undefined, expected: string): void {
  assert.ok(actual === expected || actual === 'unknown', `${String(actual)} instead of ${expected}`);
}
