import assert from 'node:assert/strict';
import { age, counted, shortOid, styleFor, table } from '../../../src/cli/print';

const NOW = Date.UTC(2024, 0, 1);
const plain = styleFor({ isTTY: false, env: {}, now: NOW });

describe('print', () => {
  it('aligns columns by what is seen', () => {
    const text = table(
      plain,
      ['NAME', 'N', 'END'],
      [
        ['日本', { text: '5', align: 'right' }, 'x'],
        ['a🛟', { text: '1234', align: 'right' }, ''],
        ['plain', { text: '', align: 'right' }, 'longer'],
      ],
    );
    assert.equal(text, ['NAME      N  END', '日本      5  x', 'a🛟    1234', 'plain        longer'].join('\n'));
  });

  it('colours only a terminal, never with NO_COLOR or a dumb one', () => {
    const painted = (isTTY: boolean, env: NodeJS.ProcessEnv): boolean =>
      styleFor({ isTTY, env, now: NOW }).paint('red', 'x') !== 'x';
    assert.deepEqual(
      [
        painted(true, {}),
        painted(true, { NO_COLOR: '' }),
        painted(true, { NO_COLOR: '1' }),
        painted(true, { TERM: 'dumb' }),
        painted(false, {}),
      ],
      [true, true, false, false, false],
    );
  });

  it('counts ages', () => {
    const ago = (seconds: number): string => age(plain, NOW - seconds * 1000);
    assert.deepEqual(
      [ago(-5), ago(59), ago(60), ago(3599), ago(3600), ago(86_400 * 3), age(plain, null)],
      ['0 s ago', '59 s ago', '1 min ago', '59 min ago', '1 h ago', '3 d ago', '-'],
    );
  });

  it('shortens ids and counts things', () => {
    assert.deepEqual([shortOid('0123456789abcdef'), shortOid(null)], ['0123456789', '-']);
    assert.deepEqual(
      [counted(1, 'path'), counted(0, 'path'), counted(2, 'entry', 'entries')],
      ['1 path', '0 paths', '2 entries'],
    );
  });
});
