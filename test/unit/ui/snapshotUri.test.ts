import assert from 'node:assert/strict';
import { repoPathFromBytes } from '../../../src/core/repoPath';
import { formatSnapshotUri, parseSnapshotUri, type SnapshotLocation } from '../../../src/ui/snapshotUri';
import { path } from './fixtures';

const tree = 'ab'.repeat(20);

describe('snapshotUri', () => {
  const names = ['README.md', 'src/a b.ts', 'größe?#%&=+.md', '日本語/😀.txt', 'back\\slash', ' leading', 'tail '];
  for (const name of names) {
    it(`brings back ${JSON.stringify(name)}`, () => {
      const location: SnapshotLocation = { storage: 'k', tree, path: path(name) };
      const uri = formatSnapshotUri(location);
      assert.equal(uri.path, `/${name}`);
      assert.deepEqual(parseSnapshotUri(uri), location);
    });
  }

  it('brings back a name that is not UTF-8', () => {
    const odd = repoPathFromBytes(Buffer.from([0x61, 0xff, 0x2f, 0xfe]));
    assert.ok(odd);
    const location: SnapshotLocation = { storage: 'k', tree, path: odd };
    assert.deepEqual(parseSnapshotUri(formatSnapshotUri(location)), location);
  });

  it('brings back the root, and the empty side', () => {
    for (const location of [
      { storage: 'k', tree, path: '' },
      { storage: 'k', tree: null, path: path('a.ts') },
    ] as const) {
      assert.deepEqual(parseSnapshotUri(formatSnapshotUri(location)), location);
    }
  });

  it('refuses what it did not make', () => {
    const good = formatSnapshotUri({ storage: 'k', tree, path: path('a.ts') });
    const bad = [
      { ...good, scheme: 'file' },
      { ...good, query: '' },
      { ...good, query: 'tree=main' },
      { ...good, path: '/a/../../etc/passwd' },
      { ...good, path: '/.git/config' },
      { ...good, query: `${good.query}&name=${Buffer.from('../x').toString('base64url')}` },
    ];
    assert.deepEqual(
      bad.map((uri) => parseSnapshotUri(uri)),
      bad.map(() => undefined),
    );
  });
});
