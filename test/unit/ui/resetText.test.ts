import assert from 'node:assert/strict';
import { untranslated } from '../../../src/ui/localizer';
import { resetDetail, resetWarnings } from '../../../src/ui/resetText';

const clean = { uncheckpointed: false, unpushedCommits: 0, unapplied: 0, last: false, doubt: null };

describe('resetText', () => {
  it('warns of nothing that the final snapshot holds, and not of the last session', () => {
    assert.deepEqual(resetWarnings(untranslated, { ...clean, uncheckpointed: true, last: true }), []);
  });

  it('warns of changes that were not applied, commits of the clone, and doubt', () => {
    const lines = resetWarnings(untranslated, {
      uncheckpointed: true,
      unpushedCommits: 1,
      unapplied: 3,
      last: true,
      doubt: 'the clone cannot be read',
    });
    assert.deepEqual(
      lines.map((line) => line.split(' ').slice(0, 3).join(' ')),
      ['A check failed,', 'Changed by this', '1 commit exists'],
    );
  });

  it('says at the end what happens', () => {
    const lines = resetDetail(untranslated, ['First.', 'Second.']).split('\n\n');
    assert.deepEqual(lines.slice(0, 2), ['First.', 'Second.']);
    assert.match(lines[2] ?? '', /same base.*same name.*trash.*final snapshot.*kept/);
  });
});
