import assert from 'node:assert/strict';
import { formatIntent, type Intent, parseIntent } from '../../../src/core/intent';

const session = 'abcdefghij23';
const oid = 'a'.repeat(40);
const restore: Intent = {
  kind: 'restore',
  from: oid,
  to: 'b'.repeat(40),
  undo: 'c'.repeat(40),
  subject: 'Restore to Start',
  agent: 'user',
  reverses: null,
};

function json(change: Record<string, unknown>): Buffer {
  return Buffer.from(JSON.stringify({ format: 1, session, ...restore, holder: null, ...change }));
}

describe('intent', () => {
  it('reads what it wrote', () => {
    const intents: Intent[] = [
      restore,
      { ...restore, kind: 'redo', undo: null, reverses: 'd'.repeat(64) },
      { kind: 'create', nonce: '0123456789abcdef' },
      { kind: 'delete' },
      { kind: 'apply', branch: 'fix-login-2', tip: oid, tree: oid, partial: true },
    ];
    for (const intent of intents) {
      const holder = { pid: 1 };
      assert.deepEqual(parseIntent(formatIntent(session, intent, holder), session), { kind: 'ok', intent, holder });
      assert.deepEqual(parseIntent(formatIntent(session, intent, null), session), { kind: 'ok', intent, holder: null });
    }
  });

  it('leaves newer formats alone', () => {
    assert.deepEqual(parseIntent(Buffer.from('{"format":2}'), session), { kind: 'newer', format: 2 });
  });

  it('takes nothing along that is no field of its kind, so that a file can never say where to write', () => {
    const parsed = parseIntent(json({ path: '/etc', folder: '..' }), session);
    assert.deepEqual(parsed, { kind: 'ok', intent: restore, holder: null });
  });

  it('says what is damaged', () => {
    const table: readonly (readonly [Buffer, RegExp])[] = [
      [Buffer.alloc(0), /JSON/],
      [Buffer.from('[]'), /JSON/],
      [json({}).subarray(0, 40), /JSON/],
      [Buffer.from([0x7b, 0xff, 0x7d]), /JSON/],
      [json({ format: 0 }), /format/],
      [json({ format: '1' }), /format/],
      [json({ session: 'zzzzzzzzzzzz' }), /another session/],
      [json({ kind: 'toString' }), /operation/],
      [json({ kind: 7 }), /operation/],
      [json({ to: '../../etc' }), /"to"/],
      [json({ from: undefined }), /"from"/],
      [json({ undo: 'HEAD' }), /"undo"/],
      [json({ subject: 'two\nlines' }), /"subject"/],
      [json({ kind: 'create', nonce: '../x' }), /"nonce"/],
      [json({ kind: 'apply', branch: '../main', tip: oid, tree: oid, partial: false }), /"branch"/],
      [json({ padding: 'x'.repeat(70_000) }), /bytes/],
    ];
    for (const [bytes, reason] of table) {
      const parsed = parseIntent(bytes, session);
      assert.ok(parsed.kind === 'damaged', bytes.toString('latin1'));
      assert.match(parsed.reason, reason);
    }
  });
});
