import assert from 'node:assert/strict';
import { checkSessionName, isSlug, slugOf } from '../../../src/core/sessionName';

describe('sessionName', () => {
  it('trims and composes', () => {
    assert.deepEqual(checkSessionName('  Fix login  '), { kind: 'ok', name: 'Fix login' });
    assert.deepEqual(checkSessionName('e\u0301'), { kind: 'ok', name: '\u00e9' });
    for (const name of ['日本語', 'می‌خواهم', '👩‍🚀', 'a'.repeat(100), '👍'.repeat(100), 'Workspaces', '../x']) {
      assert.deepEqual(checkSessionName(name), { kind: 'ok', name: name.normalize('NFC') });
    }
  });

  it('gives a reason for every name it refuses', () => {
    const table: readonly (readonly [string, RegExp])[] = [
      ['', /needs a name/],
      ['  \t ', /needs a name/],
      ['\u200d\u200b', /needs a name/],
      ['a'.repeat(101), /at most 100/],
      ['a\nb', /line breaks/],
      ['a\0', /control/],
      ['a\u2028b', /line breaks/],
      ['a\u202eb', /reading direction/],
      ['a\ud800', /control/],
      ['workspace', /your own checkout/],
      [' WorkSpace ', /your own checkout/],
    ];
    for (const [text, reason] of table) {
      const check = checkSessionName(text);
      assert.ok(check.kind === 'invalid', JSON.stringify(text));
      assert.match(check.reason, reason);
    }
  });

  it('makes a slug', () => {
    const table: Record<string, string> = {
      'Fix login': 'fix-login',
      '  --Fix__LOGIN!!  ': 'fix-login',
      'Crème brûlée': 'creme-brulee',
      'ﬁx ①': 'fix-1',
      日本語: '',
      '': '',
      '...': '',
      '../../etc': 'etc',
      con: 'con-session',
      'CON.': 'con-session',
      nul: 'nul-session',
      'COM¹': 'com1-session',
      lpt9: 'lpt9-session',
      console: 'console',
      [`${'a'.repeat(39)} b`]: 'a'.repeat(39),
      ['b'.repeat(60)]: 'b'.repeat(40),
    };
    for (const [name, slug] of Object.entries(table)) {
      assert.equal(slugOf(name), slug, name);
      assert.equal(isSlug(slug), slug !== '');
    }
    for (const text of ['-a', 'a-', 'a--b', 'A', 'a/b', 'con', '..', 'a'.repeat(41)]) {
      assert.ok(!isSlug(text), text);
    }
  });
});
