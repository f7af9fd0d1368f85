import assert from 'node:assert/strict';
import { untranslated } from '../../../src/ui/localizer';
import { removalWarnings } from '../../../src/ui/removalText';

const clean = { uncheckpointed: false, unpushedCommits: 0, unapplied: 0, last: false, doubt: null };

describe('removalText', () => {
  it('warns of nothing when nothing would be lost', () => {
    assert.deepEqual(removalWarnings(untranslated, clean), []);
  });

  it('names everything that would be lost, a doubt first', () => {
    const lines = removalWarnings(untranslated, {
      uncheckpointed: true,
      unpushedCommits: 2,
      unapplied: 1,
      last: true,
      doubt: 'the clone cannot be read',
    });
    assert.deepEqual(
      lines.map((line) => line.split(' ').slice(0, 3).join(' ')),
      ['A check failed,', 'Changed by this', '2 commits exist', 'The newest changes', 'It is the'],
    );
  });
});
