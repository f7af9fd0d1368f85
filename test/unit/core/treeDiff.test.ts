import assert from 'node:assert/strict';
import { type ObjectFormat, type Oid, emptyTreeOid, hashObject, oidBytes } from '../../../src/core/objectId';
import { type RepoPath, uncheckedRepoPath } from '../../../src/core/repoPath';
import { type TreeChange, type TreeDiffOptions, diffTrees } from '../../../src/core/treeDiff';
import { type TreeEntry, writeTree } from '../../../src/core/treeObject';
import { chooseSeed } from '../../support/seededRandom';
import { sample } from '../../support/soak';
import { seeded } from './seeded';

/** Files by path; the text says the mode and stands for the content: `100755 x`. */
type Files = Readonly<Record<string, string>>;

class Trees {
  readonly reads: Oid[] = [];
  readonly #raw = new Map<Oid, Buffer>();

  constructor(readonly format: ObjectFormat = 'sha1') {}

  write(files: Files): Oid {
    const entries: TreeEntry[] = [];
    const folders = new Map<string, Record<string, string>>();
    for (const [path, text] of Object.entries(files)) {
      const slash = path.indexOf('/');
      if (slash === -1) {
        entries.push({ name: path, ...this.entry(text) });
      } else {
        const folder = folders.get(path.slice(0, slash)) ?? {};
        folder[path.slice(slash + 1)] = text;
        folders.set(path.slice(0, slash), folder);
      }
    }
    for (const [name, inside] of folders) {
      entries.push({ name, mode: '40000', oid: this.write(inside) });
    }
    return this.store(writeTree(entries, this.format));
  }

  store(raw: Buffer): Oid {
    const oid = hashObject(this.format, 'tree', raw);
    this.#raw.set(oid, raw);
    return oid;
  }

  entry(text: string): { mode: string; oid: Oid } {
    const [, mode = '100644', content = text] = /^(\d{6}) (.*)$/s.exec(text) ?? [];
    return { mode, oid: hashObject(this.format, 'blob', Buffer.from(content)) };
  }

  async diff(from: Files | null, to: Files | null, options?: TreeDiffOptions): Promise<string[]> {
    const changes = await this.changes(
      from === null ? null : this.write(from),
      to === null ? null : this.write(to),
      options,
    );
    return changes.map(
      (change) => `${change.oldMode === null ? '+' : change.newMode === null ? '-' : '~'}${change.path}`,
    );
  }

  async changes(from: Oid | null, to: Oid | null, options?: TreeDiffOptions): Promise<TreeChange[]> {
    const read = async (oid: Oid): Promise<Buffer> => {
      this.reads.push(oid);
      const raw = this.#raw.get(oid);
      assert.ok(raw !== undefined, `no tree ${oid}`);
      return raw;
    };
    return diffTrees(read, this.format, from, to, options);
  }
}

const paths = (...texts: string[]): RepoPath[] => texts.map(uncheckedRepoPath);

describe('treeDiff', () => {
  it('names both sides of a change', async () => {
    const trees = new Trees();
    const from = trees.write({ a: 'one', gone: 'g' });
    const to = trees.write({ a: '100755 one', new: '120000 target' });
    assert.deepEqual(await trees.changes(from, to), [
      {
        path: 'a',
        oldMode: '100644',
        oldOid: trees.entry('one').oid,
        newMode: '100755',
        newOid: trees.entry('one').oid,
      },
      { path: 'gone', oldMode: '100644', oldOid: trees.entry('g').oid, newMode: null, newOid: null },
      { path: 'new', oldMode: null, oldOid: null, newMode: '120000', newOid: trees.entry('target').oid },
    ]);
  });

  it('goes in path order', async () => {
    const trees = new Trees();
    assert.deepEqual(await trees.diff({}, { 'a/z': '1', 'a-b': '1', a0: '1', 'a/b/c': '1', B: '1' }), [
      '+B',
      '+a-b',
      '+a/b/c',
      '+a/z',
      '+a0',
    ]);
  });

  it('never reads equal folders', async () => {
    const trees = new Trees();
    const same = { 'same/a': '1', 'same/deep/b': '2', 'x/same/c': '3' };
    assert.deepEqual(await trees.diff({ ...same, 'x/d': '1' }, { ...same, 'x/d': '2' }), ['~x/d']);
    assert.equal(trees.reads.length, 4, 'two roots and two x');
    trees.reads.length = 0;
    assert.deepEqual(await trees.diff(same, same), []);
    assert.equal(trees.reads.length, 0);
  });

  it('takes a swap of file and folder for a deletion and additions', async () => {
    const trees = new Trees();
    assert.deepEqual(await trees.diff({ a: '1', 'a.b': '1' }, { 'a/x': '1', 'a/y/z': '1', 'a.b': '1' }), [
      '-a',
      '+a/x',
      '+a/y/z',
    ]);
    assert.deepEqual(await trees.diff({ 'a/x': '1', 'a-c': '1' }, { a: '1', 'a-c': '2' }), ['+a', '~a-c', '-a/x']);
    assert.deepEqual(await trees.diff({ 'a/x': '1' }, { a: '160000 commit' }), ['+a', '-a/x']);
    assert.deepEqual(await trees.diff({ a: '120000 b' }, { a: '160000 commit' }), ['~a']);
  });

  it('takes null and the empty tree for no files', async () => {
    const trees = new Trees();
    assert.deepEqual(await trees.diff(null, { 'a/b': '1' }), ['+a/b']);
    assert.deepEqual(await trees.diff({ 'a/b': '1' }, null), ['-a/b']);
    assert.deepEqual(await trees.changes(null, null), []);
    const tree = trees.write({ a: '1' });
    assert.equal((await new Trees().changes(null, emptyTreeOid('sha1'))).length, 0);
    assert.equal((await trees.changes(emptyTreeOid('sha1'), tree)).length, 1);
  });

  it('keeps to the paths asked for', async () => {
    const trees = new Trees();
    const from = { 'a/b/c': '1', 'a/b/d': '1', 'a/e': '1', ab: '1', f: '1' };
    const to = { 'a/b/c': '2', 'a/b/d': '2', 'a/e': '2', ab: '2', f: '2' };
    assert.deepEqual(await trees.diff(from, to, { paths: paths('a') }), ['~a/b/c', '~a/b/d', '~a/e']);
    assert.deepEqual(await trees.diff(from, to, { paths: paths('a/b', 'f') }), ['~a/b/c', '~a/b/d', '~f']);
    assert.deepEqual(await trees.diff(from, to, { paths: paths('a/b/c') }), ['~a/b/c']);
    assert.deepEqual(await trees.diff(from, to, { paths: paths('f/x') }), []);
    assert.deepEqual(await trees.diff(from, to, { paths: [] }), []);
    trees.reads.length = 0;
    await trees.diff(from, to, { paths: paths('f') });
    assert.equal(trees.reads.length, 2, 'only the roots');
  });

  it('finds the pairs of a tree that is not in order', async () => {
    const trees = new Trees();
    const sorted = trees.write({ a: '1', b: '1', c: '1' });
    const id = Buffer.from(trees.entry('1').oid, 'hex');
    const wild = trees.store(Buffer.concat(['c', 'a', 'b'].flatMap((name) => [Buffer.from(`100644 ${name}\0`), id])));
    assert.deepEqual(await trees.changes(sorted, wild), []);
  });

  it('finds what comparing all files finds', async () => {
    const first = chooseSeed();
    for (let seed = first; seed < first + sample(100, 2000); seed++) {
      const random = seeded(seed);
      const trees = new Trees(random.pick(['sha1', 'sha256']));
      assert.equal(trees.entry('x').oid.length, oidBytes(trees.format) * 2);
      const files = (): Record<string, string> => {
        const made: Record<string, string> = {};
        for (let i = random.below(10); i > 0; i--) {
          const path = Array.from({ length: 1 + random.below(3) }, () => random.pick(['a', 'a-', 'a0', 'b'])).join('/');
          const clash = Object.keys(made).some((other) => other.startsWith(`${path}/`) || path.startsWith(`${other}/`));
          if (!clash) {
            made[path] = random.pick(['1', '2', '100755 1', '120000 1']);
          }
        }
        return made;
      };
      const from = files();
      const to = files();
      const expected = [...new Set([...Object.keys(from), ...Object.keys(to)])]
        .filter((path) => from[path] !== to[path])
        .sort((x, y) => (x < y ? -1 : 1))
        .map((path) => `${from[path] === undefined ? '+' : to[path] === undefined ? '-' : '~'}${path}`);
      assert.deepEqual(await trees.diff(from, to), expected, `BULKHEAD_SEED=${seed}`);
    }
  });
});
