import assert from 'node:assert/strict';
import { shortened, withoutIcons, withoutLinks } from '../../../src/ui/safeText';

describe('safeText', () => {
  it('leaves no icon in a name', () => {
    assert.doesNotMatch(withoutIcons('$(trash) $(sync~spin)'), /\$\(/);
  });

  it('leaves no link in a message', () => {
    assert.doesNotMatch(withoutLinks('[Undo](command:evil) [x](https://example.com)'), /\]\(/);
  });

  it('leaves ordinary text alone', () => {
    const text = 'Édit src/app.ts (2) [draft]';
    assert.equal(withoutLinks(withoutIcons(text)), text);
  });

  it('shortens in the middle and counts characters, not halves of them', () => {
    assert.equal(shortened('abcdefghij', 5), 'ab…ij');
    assert.equal(shortened('😀😀😀😀', 3), '😀…😀');
    assert.equal(shortened('short', 5), 'short');
  });
});
