import assert from 'node:assert/strict';
import { untranslated } from '../../../src/ui/localizer';
import { ageSentence, ageText, clockText, fullTimeText } from '../../../src/ui/timeText';

const NOW = Date.UTC(2026, 4, 20, 14, 3, 12);
const format = { locale: 'en-GB', timeZone: 'UTC' };

describe('timeText', () => {
  const ages: readonly (readonly [number, string, string])[] = [
    [-5_000, 'now', 'just now'],
    [0, 'now', 'just now'],
    [59_999, 'now', 'just now'],
    [60_000, '1 min', '1 minute ago'],
    [59 * 60_000, '59 min', '59 minutes ago'],
    [3_600_000, '1 h', '1 hour ago'],
    [23 * 3_600_000, '23 h', '23 hours ago'],
    [86_400_000, '1 d', '1 day ago'],
    [13 * 86_400_000, '13 d', '13 days ago'],
    [14 * 86_400_000, '2 wk', '14 days ago'],
  ];
  for (const [age, short, sentence] of ages) {
    it(`calls an age of ${age} ms "${short}"`, () => {
      assert.equal(ageText(untranslated, NOW - age, NOW), short);
      assert.equal(ageSentence(untranslated, NOW - age, NOW), sentence);
    });
  }

  it('shows only the time of today', () => {
    assert.equal(clockText(format, NOW, NOW), '14:03');
    assert.equal(clockText(format, NOW, NOW, { seconds: true }), '14:03:12');
  });

  it('shows the date of another day', () => {
    assert.equal(clockText(format, NOW - 86_400_000, NOW), '19/05/2026 14:03');
  });

  it('counts hours from 0 to 23 in every language', () => {
    assert.equal(clockText({ locale: 'en-US', timeZone: 'UTC' }, Date.UTC(2026, 4, 20, 0, 5), NOW), '00:05');
  });

  it('spells out a date for tooltips', () => {
    assert.match(fullTimeText(format, NOW), /20 May 2026.*14:03:12/);
  });
});
