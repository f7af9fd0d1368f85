import assert from 'node:assert/strict';
import { parseArguments, wantsJson } from '../../../src/cli/arguments';
import { argumentsOf, commandFor } from '../../../src/cli/commands';

describe('arguments', () => {
  it('parts words, options and what follows --', () => {
    const { words, rest, options } = parseArguments([
      '--storage',
      's',
      'restore',
      'abc',
      '--dry-run',
      '--',
      '-x',
      '--json',
    ]);
    assert.deepEqual(words, ['restore', 'abc']);
    assert.deepEqual(rest, ['-x', '--json']);
    assert.equal(options.storage, 's');
    assert.equal(options['dry-run'], true);
    assert.equal(options.json, undefined);
  });

  it('knows --json even where nothing else can be read, but not behind --', () => {
    assert.equal(wantsJson(['--nonsense', '--json']), true);
    assert.equal(wantsJson(['checkpoint', '--', '--json']), false);
  });

  for (const argv of [['--nonsense'], ['--name'], ['--json=1'], ['--session='], ['--name', '--all']]) {
    it(`refuses ${JSON.stringify(argv)}`, () => {
      assert.throws(() => parseArguments(argv), { kind: 'user', code: 'usage' });
    });
  }

  it('gives paths to a command that takes them, and arguments to one that does not', () => {
    const restore = parseArguments(['restore', 'abc', '--', 'p', 'q']);
    assert.deepEqual(argumentsOf(commandFor(restore.words), restore), { values: ['abc'], paths: ['p', 'q'] });
    const rename = parseArguments(['session', 'rename', 'abc', '--', '-name']);
    assert.deepEqual(argumentsOf(commandFor(rename.words), rename), { values: ['abc', '-name'], paths: [] });
    const checkpoint = parseArguments(['checkpoint', 'a', '--', '-b']);
    assert.deepEqual(argumentsOf(commandFor(checkpoint.words), checkpoint).values, ['a', '-b']);
  });

  it('refuses options of other commands', () => {
    const typed = parseArguments(['contention', '--redo']);
    assert.throws(() => argumentsOf(commandFor(typed.words), typed), /has no option --redo/);
  });
});
