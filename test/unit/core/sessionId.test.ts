import assert from 'node:assert/strict';
import { isSessionId, isSessionIdPrefix, isSessionRef, newSessionId } from '../../../src/core/sessionId';

describe('sessionId', () => {
  it('is made of random bytes alone', () => {
    const fixed = (...bytes: number[]): string =>
      newSessionId({
        bytes: (count) => Uint8Array.from({ length: count }, (_, i) => bytes[i] ?? 0),
        fraction: () => 0,
      });
    assert.equal(fixed(), 'aaaaaaaaaaaa');
    assert.equal(fixed(0, 25, 26, 31, 32, 255), 'az27a7aaaaaa');
    for (let byte = 0; byte < 256; byte++) {
      assert.ok(isSessionId(fixed(byte, 255 - byte)));
    }
  });

  it('tells ids, beginnings and the workspace apart', () => {
    assert.ok(isSessionId('abcdefghij23'));
    for (const text of [
      '',
      'workspace',
      'abcdefghij2',
      'abcdefghij234',
      'ABCDEFGHIJ23',
      'abcdefghij01',
      'abcdefghij2\n',
      '../../../../',
    ]) {
      assert.ok(!isSessionId(text), text);
    }
    assert.ok(isSessionIdPrefix('abcd'));
    assert.ok(isSessionIdPrefix('abcdefghij23'));
    for (const text of ['abc', 'abcd1', 'abcdefghij234', '']) {
      assert.ok(!isSessionIdPrefix(text), text);
    }
    assert.ok(isSessionRef('workspace'));
    assert.ok(isSessionRef('abcdefghij23'));
    assert.ok(!isSessionRef('abcd'));
  });
});
