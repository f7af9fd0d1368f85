import assert from 'node:assert/strict';
import { deflateSync } from 'node:zlib';
import { BulkheadError } from '../../../src/base/errors';
import { decodeLoose, encodeLoose, loosePath } from '../../../src/core/looseObject';

describe('looseObject', () => {
  it('reads the bytes that git wrote', () => {
    const bytes = Buffer.from('78014bcac94f523063c848cdc9c9e702001dc50414', 'hex');
    const { type, body } = decodeLoose(bytes);
    assert.equal(type, 'blob');
    assert.equal(body.toString(), 'hello\n');
  });

  it('reads what it wrote, at every level', () => {
    const body = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 256));
    for (const type of ['blob', 'tree', 'commit'] as const) {
      for (const level of [0, 1, 6, 9]) {
        assert.deepEqual(decodeLoose(encodeLoose(type, body, { level })), { type, body });
      }
    }
    assert.equal(decodeLoose(encodeLoose('blob', new Uint8Array())).body.length, 0);
  });

  it('refuses damaged objects', () => {
    const good = encodeLoose('blob', Buffer.from('hello\n'));
    const flipped = Buffer.from(good);
    flipped[good.length - 1] = (flipped[good.length - 1] ?? 0) ^ 1;
    const bad: Record<string, Uint8Array> = {
      empty: Buffer.alloc(0),
      'not deflated': Buffer.from('blob 6\0hello\n'),
      cut: good.subarray(0, good.length - 3),
      'wrong check sum': flipped,
      'no header': deflateSync(Buffer.from('hello')),
      'unknown type': deflateSync(Buffer.from('file 6\0hello\n')),
      'too short': deflateSync(Buffer.from('blob 7\0hello\n')),
      'too long': deflateSync(Buffer.from('blob 5\0hello\n')),
      'padded length': deflateSync(Buffer.from('blob 06\0hello\n')),
      'no length': deflateSync(Buffer.from('blob \0')),
    };
    for (const [what, bytes] of Object.entries(bad)) {
      assert.throws(
        () => decodeLoose(bytes),
        (error) => error instanceof BulkheadError && error.code === 'object-malformed',
        what,
      );
    }
  });

  it('splits the path after two digits', () => {
    assert.equal(loosePath(`ab${'0'.repeat(38)}`), `ab/${'0'.repeat(38)}`);
  });
});
