import assert from 'node:assert/strict';
import { untranslated } from '../../../src/ui/localizer';
import { statusOf } from '../../../src/ui/statusText';

const calm = { own: [], contended: [], waiting: [] };

describe('statusText', () => {
  it('says nothing while all is well', () => {
    assert.equal(statusOf(untranslated, calm), null);
  });

  it('shows the session of the window without a warning', () => {
    const status = statusOf(untranslated, { ...calm, own: ['Alpha'] });
    assert.deepEqual([status?.text, status?.warning, status?.trouble], ['$(repo-clone) Alpha', false, false]);
  });

  it('counts contended files and lists them', () => {
    const status = statusOf(untranslated, { ...calm, contended: ['a.ts: Alpha, Beta', 'b.ts: Alpha, Beta'] });
    assert.equal(status?.text, '$(warning) 2');
    assert.equal(status.warning, true);
    assert.equal(status.tooltip, '2 files are changed in several sessions:\na.ts: Alpha, Beta\nb.ts: Alpha, Beta');
  });

  it('lists ten and counts the rest', () => {
    const contended = Array.from({ length: 13 }, (_, index) => `file${index}`);
    assert.match(statusOf(untranslated, { ...calm, contended })?.tooltip ?? '', /file9\n… and 3 more$/);
  });

  it('names who is waited for', () => {
    const waiting = [{ name: 'Alpha', holder: 'pid 12 on host' }];
    const status = statusOf(untranslated, { ...calm, waiting });
    assert.equal(status?.text, '$(lock) waiting');
    assert.equal(status.trouble, true);
    assert.match(status.tooltip, /Alpha, held by pid 12 on host/);
  });

  it('draws no icon that a name asks for', () => {
    assert.doesNotMatch(statusOf(untranslated, { ...calm, own: ['$(trash)'] })?.text ?? '', /\$\(trash\)/);
  });
});
