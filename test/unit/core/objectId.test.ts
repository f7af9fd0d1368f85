import assert from 'node:assert/strict';
import {
  emptyBlobOid,
  emptyTreeOid,
  hashObject,
  isOid,
  isOidPrefix,
  oidBytes,
  zeroOid,
} from '../../../src/core/objectId';

describe('objectId', () => {
  it("has git's own names for the empty objects", () => {
    assert.equal(emptyTreeOid('sha1'), '4b825dc642cb6eb9a060e54bf8d69288fbee4904');
    assert.equal(emptyTreeOid('sha256'), '6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321');
    assert.equal(emptyBlobOid('sha1'), 'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391');
    assert.equal(emptyBlobOid('sha256'), '473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813');
  });

  it('hashes as git hash-object does', () => {
    assert.equal(hashObject('sha1', 'blob', Buffer.from('hello\n')), 'ce013625030ba8dba906f756967f9e9ca394464a');
    assert.equal(
      hashObject('sha256', 'blob', Buffer.from('hello\n')),
      '2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4',
    );
  });

  it('knows the lengths', () => {
    assert.equal(oidBytes('sha1'), 20);
    assert.equal(oidBytes('sha256'), 32);
    assert.equal(zeroOid('sha1'), '0'.repeat(40));
    assert.equal(zeroOid('sha256'), '0'.repeat(64));
  });

  it('tells names from other text', () => {
    const oid = 'ce013625030ba8dba906f756967f9e9ca394464a';
    assert.ok(isOid(oid));
    assert.ok(isOid(oid, 'sha1'));
    assert.ok(!isOid(oid, 'sha256'));
    assert.ok(isOid('a'.repeat(64), 'sha256'));
    for (const text of ['', oid.slice(1), `${oid}0`, oid.toUpperCase(), `${oid}\n`, 'g'.repeat(40)]) {
      assert.ok(!isOid(text), text);
    }
  });

  it('takes six to 64 digits as the beginning of a name', () => {
    for (const text of ['abcdef', 'ABCDEF', '0'.repeat(64)]) {
      assert.ok(isOidPrefix(text), text);
    }
    for (const text of ['abcde', '0'.repeat(65), 'abcdeg', '-abcdef', 'abcdef\n', '']) {
      assert.ok(!isOidPrefix(text), text);
    }
  });
});
