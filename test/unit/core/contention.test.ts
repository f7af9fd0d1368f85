import assert from 'node:assert/strict';
import {
  type ChangeMap,
  DEFAULT_EXCLUDED,
  type Entry,
  type SideChanges,
  contendedPaths,
  excludedBy,
} from '../../../src/core/contention';
import { type RepoPath, uncheckedRepoPath } from '../../../src/core/repoPath';

const p = uncheckedRepoPath;

function entry(text: string | null): Entry | null {
  return text === null ? null : { mode: text.startsWith('x:') ? '100755' : '100644', oid: text.replace(/^x:/, '') };
}

/** Path to [before, after]; null is absent. */
function changes(table: Readonly<Record<string, readonly [string | null, string | null]>>): ChangeMap {
  return new Map(
    Object.entries(table).map(([path, [before, after]]) => [p(path), { old: entry(before), new: entry(after) }]),
  );
}

function found(sides: readonly SideChanges[], exclude: (path: RepoPath) => boolean = () => false): string[] {
  return contendedPaths(sides, { exclude }).map(
    ({ path, sessions, pairs }) => `${path} ${sessions.join('')} ${pairs.map(({ a, b }) => a + b).join(' ')}`,
  );
}

function two(a: readonly [string | null, string | null], b: readonly [string | null, string | null]): boolean {
  return (
    found([
      { session: 'A', changes: changes({ f: a }) },
      { session: 'B', changes: changes({ f: b }) },
    ]).length > 0
  );
}

describe('contention', () => {
  it('follows the rule', () => {
    assert.ok(two(['0', '1'], ['0', '2']), 'both changed it');
    assert.ok(two([null, '1'], [null, '2']), 'both added it');
    assert.ok(two(['0', null], ['0', '2']), 'one deleted it');
    assert.ok(two(['0', '1'], ['0', 'x:1']), 'the mode counts');
    assert.ok(two(['0', '1'], ['9', '2']), 'from different bases');
    assert.ok(!two(['0', '1'], ['0', '1']), 'the same content');
    assert.ok(!two(['0', null], ['0', null]), 'both deleted it');
    assert.ok(!two(['0', '1'], ['1', '2']), 'B started from what A wrote');
    assert.ok(!two(['0', '1'], ['2', '0']), "B went back to A's base");
    assert.ok(!two(['0', '0'], ['0', '2']), 'A changed nothing');
  });

  it('needs a change on both sides', () => {
    assert.deepEqual(
      found([
        { session: 'A', changes: changes({ f: ['0', '1'] }) },
        { session: 'B', changes: changes({ g: ['0', '2'] }) },
      ]),
      [],
    );
    assert.deepEqual(found([{ session: 'A', changes: changes({ f: ['0', '1'] }) }]), []);
    assert.deepEqual(found([]), []);
  });

  it('puts the paths with most sessions on top, then goes by path', () => {
    const sides: SideChanges[] = [
      { session: 'A', changes: changes({ z: ['0', '1'], b: ['0', '1'], a: ['0', '1'] }) },
      { session: 'B', changes: changes({ z: ['0', '2'], b: ['0', '2'] }) },
      { session: 'C', changes: changes({ z: ['0', '3'], a: ['0', '3'] }) },
    ];
    assert.deepEqual(found(sides), ['z ABC AB AC BC', 'a AC AC', 'b AB AB']);
  });

  it('names only the sessions of contended pairs', () => {
    const sides: SideChanges[] = [
      { session: 'A', changes: changes({ f: ['0', '1'] }) },
      { session: 'B', changes: changes({ f: ['0', '2'] }) },
      { session: 'C', changes: changes({ f: ['0', '1'] }) },
    ];
    assert.deepEqual(found(sides), ['f ABC AB BC']);
  });

  it("counts the user's checkout from each session's base", () => {
    const sides: SideChanges[] = [
      { session: 'A', changes: changes({ f: ['0', '1'], g: ['0', '1'] }) },
      { session: 'B', changes: changes({ f: ['5', '6'] }) },
      {
        session: 'W',
        changes: changes({ f: ['9', '7'] }),
        against: new Map([
          // Since A's base the checkout changed f; since B's base it did not.
          ['A', changes({ f: ['0', '5'] })],
          ['B', changes({})],
        ]),
      },
    ];
    assert.deepEqual(found(sides), ['f ABW AB AW']);
    assert.deepEqual(found([...sides].reverse()), ['f WAB WA BA'], 'whatever side it stands on');
  });

  it('leaves out what is excluded', () => {
    const sides: SideChanges[] = ['1', '2'].map((text) => ({
      session: text,
      changes: changes({ 'package-lock.json': ['0', text], 'src/a.ts': ['0', text] }),
    }));
    assert.deepEqual(found(sides, excludedBy(DEFAULT_EXCLUDED)), ['src/a.ts 12 12']);
  });

  it('matches lock and generated files at any depth', () => {
    const excluded = excludedBy(DEFAULT_EXCLUDED);
    for (const path of [
      'yarn.lock',
      'a/b/Cargo.lock',
      'go.sum',
      'x/app.min.js',
      'a.js.map',
      'dist/a',
      'a/dist/b/c',
      'node_modules/.bin/x',
      '.x/bun.lockb',
    ]) {
      assert.ok(excluded(p(path)), path);
    }
    for (const path of [
      'a.lock.ts',
      'package.json',
      'src/map.ts',
      'distance/a',
      'my-go.sum.txt',
      'yarn.locks',
      'go.sum/a',
    ]) {
      assert.ok(!excluded(p(path)), path);
    }
  });

  it('takes globs as people write them', () => {
    const excluded = excludedBy(['*.snap', 'docs/**', './x', '!a.ts', 'é*', '']);
    assert.ok(excluded(p('a/.b/c.snap')));
    assert.ok(excluded(p('docs/.x/y')));
    assert.ok(!excluded(p('a/docs/x')), 'a slash holds it to the root');
    assert.ok(!excluded(p('b.ts')), 'no glob negates');
    assert.ok(excluded(p(Buffer.from('éa').toString('latin1'))), 'names are compared as text');
    assert.ok(!excludedBy([])(p('a')));
  });
});
