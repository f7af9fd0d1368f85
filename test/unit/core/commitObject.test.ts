import assert from 'node:assert/strict';
import { BulkheadError } from '../../../src/base/errors';
import { type CommitFields, parseCommit, writeCommit } from '../../../src/core/commitObject';
import { hashObject } from '../../../src/core/objectId';

const tree = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';
const parent = '2f19ca3b15daab3c761f3aeafda999c90ff90108';
const fields: CommitFields = {
  tree,
  parents: [parent],
  author: { name: 'A U Thor', email: 'a@x', time: 1_700_000_000, offset: '+0130' },
  committer: { name: 'Bulk é', email: 'b@x', time: 1_700_000_001, offset: '-0800' },
  message: 'subject\n\nbody é\n',
};

function body(...lines: string[]): Buffer {
  return Buffer.from(lines.join('\n'), 'latin1');
}

describe('commitObject', () => {
  it("writes the commit that git's commit-tree writes", () => {
    const raw = writeCommit(fields);
    assert.equal(hashObject('sha1', 'commit', raw), 'ed88eceb5303a2308fbccc4baee80e915e00683e');
    assert.deepEqual(parseCommit(raw), fields);
  });

  it('writes no parent, several parents, and messages of bytes', () => {
    assert.deepEqual(parseCommit(writeCommit({ ...fields, parents: [] })).parents, []);
    assert.deepEqual(parseCommit(writeCommit({ ...fields, parents: [parent, tree] })).parents, [parent, tree]);
    assert.equal(parseCommit(writeCommit({ ...fields, message: Buffer.from('bytes\n') })).message, 'bytes\n');
    assert.equal(parseCommit(writeCommit({ ...fields, message: '' })).message, '');
  });

  it('drops from names what would end the field', () => {
    const author = { ...fields.author, name: 'E<v>il\nparent x\0', email: 'a>b\n<c' };
    const parsed = parseCommit(writeCommit({ ...fields, author }));
    assert.deepEqual(parsed, { ...fields, author: { ...author, name: 'Evilparent x', email: 'abc' } });
  });

  it('refuses ids and dates that no commit can hold', () => {
    const bad: Partial<CommitFields>[] = [
      { tree: '' },
      { parents: ['HEAD'] },
      { author: { ...fields.author, time: 1.5 } },
      { author: { ...fields.author, time: -1 } },
      { committer: { ...fields.committer, offset: '+1' } },
    ];
    for (const change of bad) {
      assert.throws(
        () => writeCommit({ ...fields, ...change }),
        (error) => error instanceof BulkheadError && error.kind === 'bug',
      );
    }
  });

  it('passes over headers it does not know', () => {
    const raw = body(
      `tree ${tree}`,
      `parent ${parent}`,
      'author A <a@x> 1 +0000',
      'committer B <b@x> 2 +0000',
      'mergetag object 2f19ca3b15daab3c761f3aeafda999c90ff90108',
      ' type commit',
      ' tree 0000000000000000000000000000000000000000',
      'encoding ISO-8859-1',
      'gpgsig -----BEGIN PGP SIGNATURE-----',
      ' ',
      ' author Evil <e@x> 9 +0000',
      ' -----END PGP SIGNATURE-----',
      '',
      'subject',
      '',
      'parent of a body line',
      '',
    );
    const parsed = parseCommit(raw);
    assert.equal(parsed.tree, tree);
    assert.deepEqual(parsed.parents, [parent]);
    assert.equal(parsed.author.name, 'A');
    assert.equal(parsed.message, 'subject\n\nparent of a body line\n');
  });

  it('bears odd names and dates, as git does', () => {
    const person = (line: string): unknown =>
      parseCommit(body(`tree ${tree}`, `author ${line}`, 'committer B <b@x> 2 +0000', '', 'm')).author;
    assert.deepEqual(person('\xff\xfe <\xe9@x> 5 +0100'), {
      name: '\ufffd\ufffd',
      email: '\ufffd@x',
      time: 5,
      offset: '+0100',
    });
    assert.deepEqual(person('<a@x> 5 +0100'), { name: '', email: 'a@x', time: 5, offset: '+0100' });
    assert.deepEqual(person('A <a@x>> 5 +0100'), { name: 'A', email: 'a@x', time: 5, offset: '+0100' });
    assert.deepEqual(person('A <a@x>'), { name: 'A', email: 'a@x', time: 0, offset: '+0000' });
    assert.deepEqual(person('A <a@x> soon'), { name: 'A', email: 'a@x', time: 0, offset: '+0000' });
    assert.deepEqual(person('nobody'), { name: 'nobody', email: '', time: 0, offset: '+0000' });
  });

  it('reads a commit without a message', () => {
    const raw = body(`tree ${tree}`, 'author A <a@x> 1 +0000', 'committer B <b@x> 2 +0000', '');
    assert.equal(parseCommit(raw).message, '');
    assert.equal(parseCommit(raw.subarray(0, raw.length - 1)).message, '');
  });

  it('refuses malformed commits', () => {
    const author = 'author A <a@x> 1 +0000';
    const committer = 'committer A <a@x> 1 +0000';
    const bad: Record<string, Buffer> = {
      empty: Buffer.alloc(0),
      'no tree': body(author, committer, '', 'm'),
      'tree is no id': body('tree abc', author, committer, '', 'm'),
      'parent is no id': body(`tree ${tree}`, 'parent abc', author, committer, '', 'm'),
      'parent of the other format': body(`tree ${tree}`, `parent ${'a'.repeat(64)}`, author, committer, '', 'm'),
      'no author': body(`tree ${tree}`, committer, '', 'm'),
      'no committer': body(`tree ${tree}`, author, '', 'm'),
      'headers in the message': body('', `tree ${tree}`, author, committer, '', 'm'),
    };
    for (const [what, raw] of Object.entries(bad)) {
      assert.throws(
        () => parseCommit(raw),
        (error) => error instanceof BulkheadError && error.code === 'commit-malformed',
        what,
      );
    }
  });
});
