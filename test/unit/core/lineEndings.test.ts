import assert from 'node:assert/strict';
import { lineEndingsOf, looksBinary, withoutCarriageReturns } from '../../../src/core/lineEndings';

describe('line endings', () => {
  const unspecified = { text: 'unspecified', crlf: 'unspecified', eol: 'unspecified' };
  const cases: readonly (readonly [Partial<typeof unspecified>, 'true' | 'input' | 'false', string])[] = [
    [{}, 'false', 'none'],
    [{}, 'true', 'auto'],
    [{}, 'input', 'auto'],
    [{ text: 'set' }, 'false', 'forced'],
    [{ text: 'input' }, 'false', 'forced'],
    [{ text: 'auto' }, 'false', 'auto'],
    [{ text: 'auto', eol: 'crlf' }, 'false', 'auto'],
    [{ text: 'unset' }, 'true', 'none'],
    [{ text: 'unset', eol: 'lf' }, 'true', 'none'],
    [{ eol: 'lf' }, 'false', 'forced'],
    [{ eol: 'crlf' }, 'false', 'forced'],
    [{ eol: 'strange' }, 'false', 'none'],
    [{ crlf: 'set' }, 'false', 'forced'],
    [{ crlf: 'unset' }, 'true', 'none'],
    [{ crlf: 'auto' }, 'false', 'auto'],
    [{ text: 'strange', crlf: 'unset' }, 'true', 'none'],
    [{ text: 'auto', crlf: 'unset' }, 'false', 'auto'],
  ];
  for (const [attributes, autocrlf, expected] of cases) {
    it(`are ${expected} for ${JSON.stringify(attributes)} and core.autocrlf=${autocrlf}`, () => {
      assert.equal(lineEndingsOf({ ...unspecified, ...attributes }, autocrlf), expected);
    });
  }

  it('lose the CR before an LF, and no other one', () => {
    const converted = (text: string): string => withoutCarriageReturns(Buffer.from(text)).toString();
    assert.equal(converted('a\r\nb\r\n'), 'a\nb\n');
    assert.equal(converted('\r\r\n\r'), '\r\n\r');
    assert.equal(converted('plain\n'), 'plain\n');
    assert.equal(converted(''), '');
  });

  it('stay in what does not look like text', () => {
    assert.equal(looksBinary(Buffer.from('a\r\nb\n')), false);
    assert.equal(looksBinary(Buffer.from('a\rb\r\n')), true);
    assert.equal(looksBinary(Buffer.from('a\0\r\n')), true);
    assert.equal(looksBinary(Buffer.from('tab\tescape\u001b[0m\f\b\r\n')), false);
    assert.equal(looksBinary(Buffer.from('\u0001\r\n')), true);
    assert.equal(looksBinary(Buffer.from(`${'x'.repeat(128)}\u0001\r\n`)), false);
    assert.equal(looksBinary(Buffer.from('dos\r\n\u001a')), false);
  });
});
