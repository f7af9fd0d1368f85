import assert from 'node:assert/strict';
import { allowedFilters, deniedFilters } from '../../../src/session/filters';

describe('filters that the user allowed', () => {
  const isAllowed = (command: string, key = 'clean'): boolean => {
    const config = new Map([[`filter.own.${key}`, [command]]]);
    const allowed = allowedFilters(config, ['own']).length > 0;
    assert.notEqual(deniedFilters(config, ['own']).includes('own'), allowed, 'one or the other');
    return allowed;
  };

  for (const command of [
    'git-lfs clean -- %f',
    '"git-crypt" smudge',
    "tr 'a/b' c/d",
    '/usr/bin/tool ./file',
    '~/bin/tool',
    '$HOME/bin/tool',
    '"C:/Program Files/tool.exe" x',
    "perl -pe 's/a/b/'",
    'python3 -m nbstripout',
    `"/usr/bin/python3" -c 'print("a/b")'`,
    'sh /opt/tool.sh',
    "sh -c 'cat | tr a b'",
    'env LC_ALL=C sort',
    'sed -e s/a/b/ 2>/dev/null',
    '',
  ]) {
    it(`may start: ${command}`, () => {
      assert.ok(isAllowed(command));
    });
  }

  for (const command of [
    './tool',
    'scripts/tool --clean',
    '  "scripts/my tool" x',
    '"scripts"/tool',
    `''./tool`,
    '.\\/tool',
    'LC_ALL=C ./tool',
    'exec ./tool',
    'env -i A=b ./tool',
    'cat | ./tool',
    'true && (scripts/tool)',
    'echo `./tool`',
    'sh tool.sh',
    'bash -e scripts/tool.sh',
    "/bin/sh -c './tool'",
    'python3 tool.py',
    'perl -w tools/clean.pl',
    'node tool.js',
  ]) {
    it(`may not start what an agent can change: ${command}`, () => {
      assert.ok(!isAllowed(command));
    });
  }

  it('may not start it for any of their purposes', () => {
    for (const key of ['clean', 'smudge', 'process']) {
      assert.ok(!isAllowed('./tool', key), key);
    }
  });
});
