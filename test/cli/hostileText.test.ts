import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliWorld } from '../support/cliWorld';
import { git } from '../support/git';

/** An escape sequence, a one-byte one, other reading directions, a line that pretends to be ours, and invisible characters. */
const EVIL = 'x\u001b]0;owned\u0007\u009b31m\u202egnp.exe\u2066\u200b\nbulkhead: all is well\r\u2028';
const HIDDEN = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Cf}]/u;

describe('command line: text of agents on a terminal', function () {
  this.timeout(60_000);
  const world = new CliWorld();

  it('obeys nothing, reorders nothing, and adds no line', async () => {
    const session = await world.newSession('--name', 'Zero\u200bwidth');
    writeFileSync(join(session.path, EVIL), 'evil\n');
    writeFileSync(join(session.path, `.git ${EVIL.trim()}`), 'a name that is skipped\n');
    git(['checkout', '--quiet', '-b', 'br\u202eanch\u009b'], session.path);
    const made = await world.checkpoint(session.path, '-m', `subject ${EVIL}`);
    writeFileSync(join(session.path, EVIL), 'more\n');
    const other = await world.newSession();
    writeFileSync(join(other.path, EVIL), 'other\n');
    const calls: readonly (readonly string[])[] = [
      ['session', 'list'],
      ['session', 'show', session.id],
      ['session', 'show', EVIL],
      ['session', 'rename', session.id, EVIL],
      ['checkpoint', '--session', session.id, EVIL],
      ['checkpoint', '--session', session.id, '-m', EVIL],
      ['checkpoint', '--session', session.id, `no ${EVIL}`],
      ['checkpoint', '--session', session.id, `/outside ${EVIL}`],
      ['checkpoint', '--session', session.id, '--turn', EVIL],
      ['checkpoint', '--session', session.id, '--agent', EVIL],
      ['snapshots', '--session', session.id],
      ['snapshots', '--all'],
      ['diff', 'base', '--session', session.id],
      ['diff', 'base', '--session', session.id, '--name-only'],
      ['contention'],
      ['restore', made.snapshot ?? '', '--session', session.id, '--dry-run'],
      ['restore', EVIL, '--session', session.id],
      ['apply', session.id, '--mode', 'branch', '--dry-run'],
      ['session', 'rm', session.id],
      ['session', 'new', '--from', EVIL],
      [EVIL],
      ['--repo', EVIL, 'session', 'list'],
    ];
    for (const args of calls) {
      const run = await world.run(args, { env: { BULKHEAD_LOG: args[0] === 'checkpoint' ? 'debug' : '' } });
      for (const line of `${run.stdout}\n${run.stderr}`.split('\n')) {
        assert.doesNotMatch(line, HIDDEN, JSON.stringify(run.story));
        assert.doesNotMatch(line, /^bulkhead: all is well/, run.story);
      }
      const json = await world.run([...args, '--json']);
      assert.doesNotMatch(
        json.stdout.trimEnd(),
        /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u,
        JSON.stringify(json.stdout),
      );
    }
    const rows = await world.json<readonly { readonly subject: string }[]>(['snapshots', '--session', session.id]);
    assert.ok(rows.length > 1, 'the names are in what was listed');
  });
});
