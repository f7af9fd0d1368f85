import assert from 'node:assert/strict';
import { BulkheadError } from '../../../src/base/errors';
import { uncheckedRepoPath } from '../../../src/core/repoPath';
import {
  type SnapshotMeta,
  TRIGGERS,
  cleanSubject,
  formatMessage,
  isAgentName,
  isTrigger,
  isTurnName,
  parseMessage,
} from '../../../src/core/snapshotMessage';
import { forSeeds, seeded } from './seeded';

const oid = 'ce013625030ba8dba906f756967f9e9ca394464a';
const meta: SnapshotMeta = {
  session: 'abcdefghij23',
  trigger: 'save',
  agent: 'user',
  turn: null,
  head: null,
  skipped: { count: 0, named: [] },
  chain: { number: 1, ordinal: 7, started: 1_700_000_000 },
  previous: null,
  reverses: null,
};
const full: SnapshotMeta = {
  session: 'workspace',
  trigger: 'undo',
  agent: 'claude-code.2_x',
  turn: 'turn: 3 — "fix"',
  head: 'a'.repeat(64),
  skipped: {
    count: 30,
    named: ['a b', 'c%20d', 'e\nBulkhead-Agent: x', '\xff\x00', '.git/config'].map(uncheckedRepoPath),
  },
  chain: { number: 2, ordinal: 4096, started: 0 },
  previous: oid,
  reverses: oid,
};

describe('snapshotMessage', () => {
  it('writes a subject, a blank line and one paragraph of trailers', () => {
    assert.equal(
      formatMessage('Edit a.ts', meta),
      [
        'Edit a.ts',
        '',
        'Bulkhead-Session: abcdefghij23',
        'Bulkhead-Trigger: save',
        'Bulkhead-Agent: user',
        'Bulkhead-Chain: 1 7 1700000000',
        '',
      ].join('\n'),
    );
    assert.equal(
      formatMessage('Undo', full),
      [
        'Undo',
        '',
        'Bulkhead-Session: workspace',
        'Bulkhead-Trigger: undo',
        'Bulkhead-Agent: claude-code.2_x',
        'Bulkhead-Turn: turn: 3 — "fix"',
        `Bulkhead-Head: ${'a'.repeat(64)}`,
        'Bulkhead-Skipped: 30 a%20b c%2520d e%0ABulkhead-Agent%3A%20x %FF%00 .git/config',
        'Bulkhead-Chain: 2 4096 0',
        `Bulkhead-Previous: ${oid}`,
        `Bulkhead-Reverses: ${oid}`,
        '',
      ].join('\n'),
    );
  });

  it('reads what it wrote', () => {
    assert.deepEqual(parseMessage(formatMessage('Edit a.ts', meta)), { subject: 'Edit a.ts', meta });
    assert.deepEqual(parseMessage(formatMessage('Undo', full)), { subject: 'Undo', meta: full });
    for (const trigger of TRIGGERS) {
      assert.equal(parseMessage(formatMessage('x', { ...meta, trigger }))?.meta.trigger, trigger);
      assert.ok(isTrigger(trigger));
    }
    assert.ok(!isTrigger('Save'));
  });

  it('names at most 20 skipped paths', () => {
    const named = Array.from({ length: 25 }, (_, i) => uncheckedRepoPath(`f${i}`));
    const parsed = parseMessage(formatMessage('x', { ...meta, skipped: { count: 25, named } }));
    assert.deepEqual(parsed?.meta.skipped, { count: 25, named: named.slice(0, 20) });
  });

  it('makes any subject one line that is never empty', () => {
    const table: readonly (readonly [string, string])[] = [
      ['', '(no subject)'],
      [' \r\n\t ', '(no subject)'],
      ['\u2028\u2029\u0085', '(no subject)'],
      ['  a  ', 'a'],
      ['a\nb', 'a b'],
      ['a\r\nb', 'a  b'],
      ['a\0b\x1b[31m', 'a b [31m'],
      ['a\u2028b\u202ec', 'a b c'],
      ['a\ud800b', 'a b'],
      ['👩‍🚀', '👩‍🚀'],
      ['---', '---'],
    ];
    for (const [text, expected] of table) {
      assert.equal(cleanSubject(text), expected);
      assert.equal(parseMessage(formatMessage(text, meta))?.subject, expected);
    }
    assert.equal(Array.from(cleanSubject('👍'.repeat(300))).length, 200);
    assert.equal(cleanSubject(`${'a'.repeat(199)} b`), 'a'.repeat(199));
  });

  it('lets no text forge a trailer', () => {
    const breaks = [
      '\n',
      '\r',
      '\r\n',
      '\n\n',
      '\u2028',
      '\u2029',
      '\u0085',
      '\v',
      '\f',
      '\0',
      '\n---\n',
      '\n\n---\n\n',
    ];
    const fakes = ['Bulkhead-Agent: evil', 'Bulkhead-Session: workspace', `Bulkhead-Reverses: ${oid}`];
    for (const lineBreak of breaks) {
      for (const fake of fakes) {
        for (const text of [
          `x${lineBreak}${fake}`,
          fake,
          `${fake}${lineBreak}`,
          `${lineBreak}${fake}${lineBreak}${lineBreak}${fake}`,
        ]) {
          const parsed = parseMessage(formatMessage(text, meta));
          assert.deepEqual(parsed?.meta, meta, JSON.stringify(text));
          assert.equal(parsed.subject, cleanSubject(text));
        }
        assert.throws(() => formatMessage('x', { ...meta, agent: `user${lineBreak}${fake}` }), BulkheadError);
        assert.throws(() => formatMessage('x', { ...meta, turn: `1${lineBreak}${fake}` }), BulkheadError);
        assert.throws(() => formatMessage('x', { ...meta, session: `abcdefghij23${lineBreak}${fake}` }), BulkheadError);
        const named = [uncheckedRepoPath(`a${lineBreak}${fake}`.replace(/[^\0-\xff]/g, '?'))];
        assert.deepEqual(parseMessage(formatMessage('x', { ...meta, skipped: { count: 1, named } }))?.meta, {
          ...meta,
          skipped: { count: 1, named },
        });
      }
    }
    assert.deepEqual(parseMessage(formatMessage('x', { ...meta, turn: 'Bulkhead-Agent: evil' }))?.meta, {
      ...meta,
      turn: 'Bulkhead-Agent: evil',
    });
  });

  it('lets no random text forge a trailer', () => {
    forSeeds(300, (seed) => {
      const random = seeded(seed);
      const pieces = [
        '\n',
        '\n\n',
        '\r',
        '\u2028',
        ' ',
        ':',
        '---',
        'Bulkhead-Agent: evil',
        'Bulkhead-',
        'Trigger: final',
        'a',
        '\0',
        '%0A',
      ];
      const text = Array.from({ length: random.below(12) }, () => random.pick(pieces)).join('');
      const turn = isTurnName(text) ? text : null;
      assert.deepEqual(parseMessage(formatMessage(text, { ...meta, turn })), {
        subject: cleanSubject(text),
        meta: { ...meta, turn },
      });
    });
  });

  it('refuses to write values that are not valid', () => {
    const bad: Partial<SnapshotMeta>[] = [
      { session: 'nobody' },
      { session: '' },
      { agent: '' },
      { agent: 'User' },
      { agent: '-x' },
      { turn: '' },
      { turn: ' a' },
      { turn: 'a'.repeat(201) },
      { turn: 'a\u202eb' },
      { head: 'HEAD' },
      { previous: oid.toUpperCase() },
      { reverses: `${oid}\n` },
      { skipped: { count: -1, named: [] } },
      { skipped: { count: 0.5, named: [] } },
      { skipped: { count: 0, named: [uncheckedRepoPath('a')] } },
      { skipped: { count: 1, named: [uncheckedRepoPath('')] } },
      { chain: { number: 1, ordinal: 1, started: -1 } },
      { chain: { number: NaN, ordinal: 1, started: 1 } },
    ];
    for (const change of bad) {
      assert.throws(
        () => formatMessage('x', { ...meta, ...change }),
        (error) => error instanceof BulkheadError && error.code === 'snapshot-meta',
        JSON.stringify(change),
      );
    }
  });

  it('reads messages of later versions', () => {
    const later = `${formatMessage('x', meta)}Bulkhead-Mood: fine\n`;
    assert.deepEqual(parseMessage(later), { subject: 'x', meta });
    assert.deepEqual(parseMessage(formatMessage('x', meta).replace('\n\n', '\n\nA body.\n\n')), { subject: 'x', meta });
  });

  it('reads nothing from anything else', () => {
    const good = formatMessage('x', full);
    const bad: Record<string, string> = {
      empty: '',
      'a subject': 'x\n',
      'a plain commit': 'x\n\nbody\n',
      'no subject': good.slice(good.indexOf('Bulkhead')),
      'an empty subject': good.slice(1),
      'a key twice': `${good}Bulkhead-Agent: user\n`,
      'a later key twice': `${good}Bulkhead-Mood: a\nBulkhead-Mood: b\n`,
      'a paragraph behind': `${good}\nSigned-off-by: A <a@x>\n`,
      'a line that is no trailer': `${good}hello\n`,
      'a foreign trailer': `${good}Signed-off-by: A <a@x>\n`,
      'other case': good.replace('Bulkhead-Agent', 'bulkhead-agent'),
      'an empty value': good.replace(/Agent: .*/, 'Agent: '),
      'a folded value': good.replace('Agent: ', 'Agent: x\n '),
      'carriage returns': good.replaceAll('\n', '\r\n'),
      'a missing session': good.replace(/Bulkhead-Session.*\n/, ''),
      'a missing chain': good.replace(/Bulkhead-Chain.*\n/, ''),
      'an unknown trigger': good.replace('Trigger: undo', 'Trigger: explode'),
      'a wrong oid': good.replace(`Previous: ${oid}`, 'Previous: HEAD'),
      'a wrong chain': good.replace('Chain: 2 4096 0', 'Chain: 2 4096'),
      'a huge number': good.replace('Chain: 2 4096 0', `Chain: 2 4096 ${'9'.repeat(20)}`),
      'skipped without a count': good.replace('Skipped: 30 ', 'Skipped: '),
      'a raw name': good.replace('a%20b', 'a"b'),
      'a half escape': good.replace('a%20b', 'a%2'),
    };
    for (const [what, text] of Object.entries(bad)) {
      assert.equal(parseMessage(text), undefined, what);
    }
  });

  it('knows agent names', () => {
    for (const name of ['user', 'unknown', 'claude', '4o', 'a'.repeat(64), 'a.b-c_d']) {
      assert.ok(isAgentName(name), name);
    }
    for (const name of ['', 'A', '.a', '-a', '_a', 'a b', 'a'.repeat(65), 'a\n', 'é']) {
      assert.ok(!isAgentName(name), name);
    }
  });
});
