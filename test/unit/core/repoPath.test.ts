import assert from 'node:assert/strict';
import {
  type RepoPath,
  baseName,
  displayPath,
  isUtf8Path,
  isWithin,
  joinPath,
  parentPath,
  pathBytes,
  pathProblem,
  repoPathFromBytes,
  repoPathFromText,
  visiblePath,
} from '../../../src/core/repoPath';

function path(text: string): RepoPath {
  const found = repoPathFromText(text);
  assert.ok(found !== undefined, text);
  return found;
}

function problem(text: string): string | undefined {
  return pathProblem(Buffer.from(text, 'utf8'));
}

describe('repoPath', () => {
  it('keeps every byte of a name', () => {
    const bytes = Buffer.from([0x61, 0xff, 0x2f, 0xc3, 0xa9, 0x0a, 0x80]);
    const kept = repoPathFromBytes(bytes);
    assert.ok(kept !== undefined);
    assert.deepEqual(pathBytes(kept), bytes);
    assert.equal(kept.length, bytes.length);
    assert.equal(isUtf8Path(kept), false);
    assert.equal(displayPath(kept), 'a\ufffd/é\n\ufffd');
  });

  it('does not normalise: composed and decomposed letters are two names', () => {
    assert.notEqual(path('\u00e9'), path('e\u0301'));
    assert.equal(displayPath(path('e\u0301')), 'e\u0301');
    assert.ok(isUtf8Path(path('日本語/é')));
  });

  it("compares in git's byte order", () => {
    // UTF-16 order would put the emoji (a surrogate pair) before U+FF5E.
    assert.ok(path('\uff5e') < path('\u{1f600}'));
    assert.ok(path('a-b') < path('a/b'));
  });

  it('refuses what is no path below the root', () => {
    for (const text of ['', '/', '/a', 'a/', 'a//b', '.', '..', './a', 'a/.', 'a/../b', 'a/..', 'a\0b']) {
      assert.notEqual(problem(text), undefined, JSON.stringify(text));
      assert.equal(repoPathFromText(text), undefined);
    }
  });

  it('refuses .git in every disguise', () => {
    const disguises = [
      '.git',
      '.GIT',
      '.Git',
      'a/.git',
      '.git/config',
      'a/.gIt/b',
      '.git.',
      '.git ',
      '.git. . .',
      'git~1',
      'GIT~1',
      'git~1. ',
      'a/git~1/b',
      '.g\u200cit',
      '\u200d.git',
      '.git\u200e',
      '.gi\u200ft',
      '.\u202agit',
      '.g\u202eit',
      '.git\u206a',
      '.gi\u206ft',
      '\ufeff.git',
      '.G\u200c\u200dI\ufefft',
      '.git:x',
      '.git::$INDEX_ALLOCATION',
      '.git ::$INDEX_ALLOCATION',
      'git~1:a',
      '.git\\config',
      'a\\.git',
      'a\\.GIT\\b',
      '.git \\x',
      '.git\uffff',
      '..\\a',
      'a\\..',
      'a\\..\\b',
    ];
    for (const text of disguises) {
      assert.notEqual(problem(text), undefined, JSON.stringify(text));
    }
    assert.notEqual(pathProblem(Buffer.from('.git\xff', 'latin1')), undefined, 'git ends the name at a malformed byte');
    assert.notEqual(pathProblem('a/.git'), undefined, 'also as a binary string');
  });

  it('lets ordinary names pass', () => {
    const names = [
      'a',
      '...',
      '.gitignore',
      '.gitattributes',
      '.github/workflows/x.yml',
      'git',
      'git~2',
      'git~10',
      '.git2',
      'a.git',
      'x.git/config',
      '.git-blame-ignore-revs',
      '.gitx\u200c',
      'a\\b',
      'C:\\x',
      '.gıt',
      '.git\ufffd',
      'new\nline',
      '-rf',
      ':(top)',
      'CON',
      'a:b',
      ' ',
    ];
    for (const text of names) {
      assert.equal(problem(text), undefined, JSON.stringify(text));
    }
  });

  it('shows what cannot be seen', () => {
    const table: readonly (readonly [string, string])[] = [
      ['a/b c.txt', 'a/b c.txt'],
      ['é/日本', 'é/日本'],
      ['a\nb\tc\x1b[31m', 'a\\u{A}b\\u{9}c\\u{1B}[31m'],
      ['\u202egpj.exe', '\\u{202E}gpj.exe'],
      ['a\u2066b\u2069', 'a\\u{2066}b\\u{2069}'],
      ['a\u200eb\u200fc\u061c', 'a\\u{200E}b\\u{200F}c\\u{61C}'],
      ['a\u200bb\u200db\u2060c\ufeff', 'a\\u{200B}b\\u{200D}b\\u{2060}c\\u{FEFF}'],
      ['a\u2028b\u2029c\u0085', 'a\\u{2028}b\\u{2029}c\\u{85}'],
      ['a\u{e0041}', 'a\\u{E0041}'],
      ['a\u3164', 'a\\u{3164}'],
    ];
    for (const [text, visible] of table) {
      assert.equal(visiblePath(path(text)), visible);
      assert.equal(displayPath(path(text)), text, 'the plain name stays exact');
    }
  });

  it('takes paths apart and puts them together', () => {
    assert.equal(parentPath(path('a/b/c')), 'a/b');
    assert.equal(parentPath(path('a')), '');
    assert.equal(baseName(path('a/b/c')), 'c');
    assert.equal(baseName(path('a')), 'a');
    assert.equal(joinPath('', 'a'), 'a');
    assert.equal(joinPath(path('a/b'), 'c'), 'a/b/c');
  });

  it('knows what is below a folder', () => {
    assert.ok(isWithin(path('a/b'), path('a')));
    assert.ok(isWithin(path('a'), path('a')));
    assert.ok(isWithin(path('a'), ''));
    assert.ok(!isWithin(path('ab'), path('a')));
    assert.ok(!isWithin(path('a'), path('a/b')));
  });
});
