import assert from 'node:assert/strict';
import { breaksLine, cutCodePoints, isBlank, showUnseen, toOneLine } from '../../../src/core/visibleText';

describe('visibleText', () => {
  it('shows what cannot be seen and nothing else', () => {
    assert.equal(showUnseen('plain é 日本 👍'), 'plain é 日本 👍');
    assert.equal(showUnseen('a\u0000\u200b\u{e0001}\ud800'), 'a\\u{0}\\u{200B}\\u{E0001}\\u{D800}');
    assert.equal(showUnseen('\u00ad'), '\\u{AD}');
  });

  it('leaves joiners to words and emoji', () => {
    assert.ok(!breaksLine('می‌خواهم 👩‍🚀'));
    for (const text of ['\n', '\u2028', '\u202e', '\u200f', '\u061c', '\ud800', '\x7f', '\u0085']) {
      assert.ok(breaksLine(`a${text}b`), JSON.stringify(text));
    }
    assert.ok(breaksLine('\n') && breaksLine('\n'), 'no state between calls');
    assert.equal(toOneLine(' a\r\nb '), 'a  b');
  });

  it('knows blank text', () => {
    for (const text of ['', ' ', '\u200b', '\u3164', '\u00a0\u200d']) {
      assert.ok(isBlank(text), JSON.stringify(text));
    }
    assert.ok(!isBlank('a'));
    assert.ok(!isBlank('👍'));
  });

  it('tears no character', () => {
    assert.equal(cutCodePoints('👍👍👍', 2), '👍👍');
    assert.equal(cutCodePoints('abc', 3), 'abc');
  });
});
