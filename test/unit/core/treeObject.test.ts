import assert from 'node:assert/strict';
import { BulkheadError } from '../../../src/base/errors';
import { type ObjectFormat, hashObject, oidBytes } from '../../../src/core/objectId';
import {
  type TreeEdit,
  type TreeEntry,
  findEntry,
  isTreeMode,
  kindOfMode,
  parseTree,
  spliceTree,
  writeTree,
} from '../../../src/core/treeObject';
import { forSeeds, seeded } from './seeded';

const formats: readonly ObjectFormat[] = ['sha1', 'sha256'];
const hello = 'ce013625030ba8dba906f756967f9e9ca394464a';

function rawEntry(mode: string, name: string, id: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${mode} ${name}\0`, 'latin1'), id]);
}

function isMalformed(error: unknown): boolean {
  return error instanceof BulkheadError && error.kind === 'damaged' && error.code === 'tree-malformed';
}

describe('treeObject', () => {
  it("writes the tree that git's mktree writes", () => {
    const tree = writeTree(
      [
        { mode: '40000', name: 'a', oid: '4b825dc642cb6eb9a060e54bf8d69288fbee4904' },
        { mode: '100644', name: 'a.b', oid: hello },
        { mode: '100755', name: 'a0', oid: hello },
        { mode: '120000', name: 'link', oid: hello },
        { mode: '160000', name: 'sub', oid: '1'.repeat(40) },
      ],
      'sha1',
    );
    assert.equal(hashObject('sha1', 'tree', tree), 'b4e420248afbff5f6bb237e57b1417d3407d3fe5');
    assert.deepEqual(
      parseTree(tree, 'sha1').map((entry) => entry.name),
      ['a.b', 'a', 'a0', 'link', 'sub'],
    );
  });

  it('names the kinds of entries', () => {
    const table = {
      '100644': 'file',
      '100664': 'file',
      '100755': 'executable',
      '120000': 'link',
      '40000': 'folder',
      '040000': 'folder',
      '160000': 'gitlink',
    };
    for (const [mode, kind] of Object.entries(table)) {
      assert.equal(kindOfMode(mode), kind);
      assert.equal(isTreeMode(mode), kind === 'folder');
    }
    for (const mode of ['', '0', '10644', '200000', '100648', '1006440', 'x']) {
      assert.throws(() => kindOfMode(mode), isMalformed, mode);
    }
  });

  it('refuses malformed trees', () => {
    const id = Buffer.alloc(20, 7);
    const good = rawEntry('100644', 'a', id);
    const bad: Record<string, Buffer> = {
      'cut in the id': good.subarray(0, good.length - 1),
      'cut in the name': good.subarray(0, 8),
      'cut in the mode': good.subarray(0, 3),
      'trailing byte': Buffer.concat([good, Buffer.from('1')]),
      'empty name': rawEntry('100644', '', id),
      'slash in the name': rawEntry('100644', 'a/b', id),
      'no mode': rawEntry('', 'a', id),
      'mode with letters': rawEntry('10064x', 'a', id),
      'mode too long': rawEntry('1006444', 'a', id),
      'ids of the other format': rawEntry('100644', 'a', Buffer.alloc(32, 1)),
    };
    for (const [what, raw] of Object.entries(bad)) {
      assert.throws(() => parseTree(raw, 'sha1'), isMalformed, what);
      assert.throws(() => findEntry(raw, 'zzz', 'sha1'), isMalformed, what);
      assert.throws(() => spliceTree(raw, new Map([['zzz', null]]), 'sha1'), isMalformed, what);
    }
  });

  it('names what has a slash in its name, as far as people can read it and with what hides in it', () => {
    const id = Buffer.alloc(20, 7);
    const named = {
      '/etc/passwd': '/etc/passwd',
      '../\u202etxt\n': '../\\u{202E}txt\\u{A}',
      [`/${'x'.repeat(5000)}`]: `/${'x'.repeat(1023)}`,
    };
    for (const [name, path] of Object.entries(named)) {
      const raw = rawEntry('100644', Buffer.from(name).toString('latin1'), id);
      for (const bytes of [raw, raw.subarray(0, raw.indexOf(0))]) {
        assert.throws(
          () => parseTree(bytes, 'sha1'),
          (error: unknown) => isMalformed(error) && (error as BulkheadError).message.includes(` ${path},`),
          name,
        );
      }
    }
  });

  it('reads an empty tree', () => {
    assert.deepEqual(parseTree(Buffer.alloc(0), 'sha1'), []);
    assert.equal(findEntry(Buffer.alloc(0), 'a', 'sha1'), undefined);
    assert.equal(spliceTree(Buffer.alloc(0), new Map([['a', null]]), 'sha1').length, 0);
  });

  it('is not fooled by a name inside the bytes of an id', () => {
    const trap = Buffer.alloc(20, 1);
    rawEntry('100644', 'want', Buffer.alloc(0)).copy(trap, 4);
    const raw = Buffer.concat([rawEntry('100644', 'a', trap), rawEntry('100755', 'want', Buffer.alloc(20, 2))]);
    assert.deepEqual(findEntry(raw, 'want', 'sha1'), { mode: '100755', name: 'want', oid: '02'.repeat(20) });
    assert.equal(findEntry(raw.subarray(0, 29), 'want', 'sha1'), undefined);
    const removed = spliceTree(raw, new Map([['want', null]]), 'sha1');
    assert.deepEqual(removed, rawEntry('100644', 'a', trap));
  });

  it('finds names of any bytes', () => {
    const entries: TreeEntry[] = ['\x01', 'a b', 'caf\xc3\xa9', '\xff\xfe', 'new\nline'].map((name) => ({
      mode: '100644',
      name,
      oid: hello,
    }));
    const raw = writeTree(entries, 'sha1');
    for (const entry of entries) {
      assert.deepEqual(findEntry(raw, entry.name, 'sha1'), entry);
    }
    assert.equal(findEntry(raw, 'caf', 'sha1'), undefined);
    assert.equal(findEntry(raw, '', 'sha1'), undefined);
  });

  it('finds its way in a folder of 10,000 files', () => {
    const entries = Array.from({ length: 10_000 }, (_, i) => ({ mode: '100644', name: `file-${i}`, oid: hello }));
    const raw = writeTree(entries, 'sha1');
    assert.equal(findEntry(raw, 'file-9999', 'sha1')?.oid, hello);
    const spliced = spliceTree(raw, new Map([['file-5000', { mode: '100755', oid: hello }]]), 'sha1');
    assert.equal(spliced.length, raw.length);
    assert.equal(findEntry(spliced, 'file-5000', 'sha1')?.mode, '100755');
  });

  describe('spliceTree', () => {
    const base = writeTree(
      [
        { mode: '100644', name: 'a', oid: hello },
        { mode: '100644', name: 'a.c', oid: hello },
        { mode: '40000', name: 'd', oid: hello },
        { mode: '100644', name: 'd.x', oid: hello },
      ],
      'sha1',
    );
    const names = (raw: Buffer): string[] =>
      parseTree(raw, 'sha1').map((entry) => `${entry.name}${isTreeMode(entry.mode) ? '/' : ''}`);

    it('moves a name that changes its kind', () => {
      const folder = { mode: '40000', oid: hello };
      const file = { mode: '100644', oid: hello };
      assert.deepEqual(names(base), ['a', 'a.c', 'd.x', 'd/']);
      assert.deepEqual(names(spliceTree(base, new Map([['a', folder]]), 'sha1')), ['a.c', 'a/', 'd.x', 'd/']);
      assert.deepEqual(names(spliceTree(base, new Map([['d', file]]), 'sha1')), ['a', 'a.c', 'd', 'd.x']);
    });

    it('adds at both ends, removes, and leaves the rest alone', () => {
      const file = { mode: '100644', oid: hello };
      const edits = new Map<string, TreeEdit>([
        ['0', file],
        ['z', file],
        ['a.c', null],
        ['absent', null],
      ]);
      assert.deepEqual(names(spliceTree(base, edits, 'sha1')), ['0', 'a', 'd.x', 'd/', 'z']);
    });

    it('gives the same bytes when nothing is edited', () => {
      assert.equal(spliceTree(base, new Map(), 'sha1'), base);
      assert.deepEqual(spliceTree(base, new Map([['absent', null]]), 'sha1'), base);
    });

    it('keeps odd modes of unedited entries as they are', () => {
      const id = Buffer.from(hello, 'hex');
      const raw = Buffer.concat([rawEntry('100664', 'a', id), rawEntry('040000', 'b', id)]);
      const spliced = spliceTree(raw, new Map([['c', { mode: '100644', oid: hello }]]), 'sha1');
      assert.deepEqual(spliced.subarray(0, raw.length), raw);
    });

    it('puts a tree that was not in order into order', () => {
      const id = Buffer.from(hello, 'hex');
      const raw = Buffer.concat([
        rawEntry('100644', 'c', id),
        rawEntry('100644', 'a', id),
        rawEntry('100644', 'b', id),
      ]);
      assert.deepEqual(names(spliceTree(raw, new Map([['a', { mode: '40000', oid: hello }]]), 'sha1')), [
        'a/',
        'b',
        'c',
      ]);
    });

    it('refuses names and ids that no tree can hold', () => {
      for (const name of ['', 'a/b', 'a\0']) {
        assert.throws(() => spliceTree(base, new Map([[name, { mode: '100644', oid: hello }]]), 'sha1'), BulkheadError);
      }
      for (const oid of ['', 'ab', 'z'.repeat(40), 'a'.repeat(64)]) {
        assert.throws(() => spliceTree(base, new Map([['a', { mode: '100644', oid }]]), 'sha1'), BulkheadError);
      }
    });

    it('is parse, edit and write in one', () => {
      forSeeds(400, (seed) => {
        const random = seeded(seed);
        const format = random.pick(formats);
        // Few letters around `/` (0x2f), so that names share beginnings and sort on both sides of a folder's slash.
        const name = (): string =>
          Array.from({ length: 1 + random.below(3) }, () => random.pick(['a', '-', '.', '0', '\xff', ' '])).join('');
        const oid = (): string =>
          // Ids made of spaces, NULs, digits and letters: bytes that look like entries.
          Array.from({ length: oidBytes(format) }, () => random.pick(['20', '00', '61', '31', '34', 'ff'])).join('');
        const edit = (): { mode: string; oid: string } => ({
          mode: random.pick(['100644', '100755', '120000', '40000', '160000']),
          oid: oid(),
        });

        const before = new Map<string, { mode: string; oid: string }>();
        for (let i = random.below(12); i > 0; i--) {
          before.set(name(), edit());
        }
        const edits = new Map<string, TreeEdit>();
        for (let i = random.below(6); i > 0; i--) {
          edits.set(
            random.fraction() < 0.5 && before.size > 0 ? random.pick([...before.keys()]) : name(),
            random.fraction() < 0.3 ? null : edit(),
          );
        }

        const raw = writeTree(
          [...before].map(([entryName, value]) => ({ name: entryName, ...value })),
          format,
        );
        const after = new Map(parseTree(raw, format).map((entry) => [entry.name, entry]));
        for (const [entryName, value] of edits) {
          if (value === null) {
            after.delete(entryName);
          } else {
            after.set(entryName, { name: entryName, ...value });
          }
        }
        assert.deepEqual(spliceTree(raw, edits, format), writeTree([...after.values()], format));
        for (const [entryName, value] of before) {
          assert.deepEqual(findEntry(raw, entryName, format), { name: entryName, ...value });
        }
      });
    });
  });
});
