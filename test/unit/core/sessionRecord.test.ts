import assert from 'node:assert/strict';
import { BulkheadError } from '../../../src/base/errors';
import { type SessionRecord, formatRecord, parseRecord, repositoryPart } from '../../../src/core/sessionRecord';

const id = 'abcdefghij23';
const record: SessionRecord = {
  id,
  nonce: '0123456789abcdef',
  name: 'Fix login',
  slug: 'fix-login',
  repository: 'my-app',
  branch: 'bulkhead/fix-login',
  base: { commit: 'c'.repeat(40), tree: 'd'.repeat(40) },
  created: 1_700_000_000_000,
  from: 'main (c0ffee1)',
  state: 'ready',
  trashed: null,
  successor: null,
};

function json(change: Record<string, unknown>): Buffer {
  return Buffer.from(JSON.stringify({ format: 1, ...record, ...change }));
}

describe('sessionRecord', () => {
  it('reads what it wrote', () => {
    const records: SessionRecord[] = [
      record,
      {
        ...record,
        base: { commit: null, tree: 'd'.repeat(64) },
        state: 'trashed',
        trashed: `${id}-20250101T000000Z`,
        successor: 'zzzzzzzzzzzz',
      },
    ];
    for (const each of records) {
      assert.deepEqual(parseRecord(formatRecord(each), id), { kind: 'ok', record: each });
    }
    assert.equal((JSON.parse(formatRecord(record).toString()) as { format: number }).format, 1);
  });

  it('keeps and writes back what a later version added', () => {
    const parsed = parseRecord(json({ mood: 'fine', nested: { a: [1] } }), id);
    assert.ok(parsed.kind === 'ok');
    assert.deepEqual(parsed.record, { ...record, extra: { mood: 'fine', nested: { a: [1] } } });
    assert.deepEqual(parseRecord(formatRecord(parsed.record), id), parsed);
    // An added field can never stand for one of ours.
    const sly = { ...record, extra: { id: 'zzzzzzzzzzzz', format: 9 } };
    assert.deepEqual(parseRecord(formatRecord(sly), id), { kind: 'ok', record });
  });

  it('leaves newer formats alone', () => {
    assert.deepEqual(parseRecord(Buffer.from('{"format":2}'), id), { kind: 'newer', format: 2 });
  });

  it('says what is damaged', () => {
    const table: readonly (readonly [Buffer, RegExp])[] = [
      [Buffer.alloc(0), /JSON/],
      [Buffer.from('{"format":1'), /JSON/],
      [Buffer.from('[]'), /JSON/],
      [Buffer.from('null'), /JSON/],
      [Buffer.from([0x7b, 0xff, 0x7d]), /JSON/],
      [Buffer.from('{}'), /format/],
      [Buffer.from('{"format":"1"}'), /format/],
      [Buffer.from('{"format":0}'), /format/],
      [Buffer.from('{"format":1}'), /"id"/],
      [Buffer.from('{"format":1,"__proto__":{"id":"abcdefghij23"}}'), /"id"/],
      [json({ from: 'x'.repeat(70_000) }), /bytes/],
      [json({ id: 'zzzzzzzzzzzz' }), /another session/],
      [json({ id: '../../../../x' }), /"id"/],
      [json({ nonce: '' }), /"nonce"/],
      [json({ nonce: '../../xxxxxx' }), /"nonce"/],
      [json({ name: ' ' }), /"name"/],
      [json({ name: 'a\nb' }), /"name"/],
      [json({ name: 'workspace' }), /"name"/],
      [json({ slug: '../x' }), /"slug"/],
      [json({ slug: '' }), /"slug"/],
      [json({ repository: '..' }), /"repository"/],
      [json({ repository: 'a/b' }), /"repository"/],
      [json({ repository: '' }), /"repository"/],
      [json({ branch: '-x' }), /"branch"/],
      [json({ branch: 'a..b' }), /"branch"/],
      [json({ base: null }), /"base"/],
      [json({ base: { tree: 'd'.repeat(40) } }), /"base"/],
      [json({ base: { commit: 'c'.repeat(64), tree: 'd'.repeat(40) } }), /"base"/],
      [json({ base: { commit: null, tree: 'HEAD' } }), /"base"/],
      [json({ created: -1 }), /"created"/],
      [json({ created: '2025-01-01' }), /"created"/],
      [json({ created: 1.5 }), /"created"/],
      [json({ from: 7 }), /"from"/],
      [json({ from: 'a\nb' }), /"from"/],
      [json({ state: 'creating' }), /"state"/],
      [json({ trashed: '../x' }), /"trashed"/],
      [json({ trashed: '' }), /"trashed"/],
      [json({ successor: 'workspace' }), /"successor"/],
      [json({ successor: undefined }), /"successor"/],
    ];
    for (const [bytes, reason] of table) {
      const parsed = parseRecord(bytes, id);
      assert.ok(parsed.kind === 'damaged', bytes.toString().slice(0, 200));
      assert.match(parsed.reason, reason);
    }
  });

  it('writes nothing that it could not read', () => {
    for (const change of [{ slug: 'A' }, { name: '' }, { extra: { big: 'x'.repeat(70_000) } }]) {
      assert.throws(
        () => formatRecord({ ...record, ...change }),
        (error) => error instanceof BulkheadError && error.kind === 'bug',
      );
    }
  });

  it('makes a folder name part of any folder name', () => {
    const table: Record<string, string> = {
      'my-app': 'my-app',
      'My App': 'My-App',
      é日本: 'é日本',
      'e\u0301': 'é',
      '..': 'repository',
      '.git': 'git',
      '-rf': 'rf',
      '': 'repository',
      'a/b\\c:d*e?': 'a-b-c-d-e',
      'a.': 'a',
      'x\u202ey\n': 'x-y',
      [`${'a'.repeat(59)}.b`]: 'a'.repeat(59),
    };
    for (const [name, part] of Object.entries(table)) {
      assert.equal(repositoryPart(name), part);
      assert.equal(repositoryPart(part), part, 'stays as it is');
    }
  });
});
