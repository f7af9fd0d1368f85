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
    assert.deepEqual([status?.text, status?.warning, status?.leadsTo], ['$(repo-clone) Alpha', false, 'actions']);
  });

  it('counts contended files and lists them', () => {
    const status = statusOf(untranslated, { ...calm, contended: ['a.ts: Alpha, Beta', 'b.ts: Alpha, Beta'] });
    assert.equal(status?.text, '$(warning) 2');
    assert.deepEqual([status.warning, status.leadsTo], [true, 'contention']);
    assert.equal(status.tooltip, '2 files are changed in several sessions:\na.ts: Alpha, Beta\nb.ts: Alpha, Beta');
  });

  it('lists ten and counts the rest', () => {
    const contended = Array.from({ length: 13 }, (_, index) => `file${index}`);
    assert.match(statusOf(untranslated, { ...calm, contended })?.tooltip ?? '', /file9\n… and 3 more$/);
  });

  it('names who is waited for, and leads to the holders', () => {
    const waiting = [{ name: 'Alpha', holder: 'restore by codex (process 12 on host, for 3 s)' }];
    const status = statusOf(untranslated, { ...calm, waiting, contended: ['a.ts: Alpha, Beta'] });
    assert.equal(status?.text, '$(warning) 1  $(lock) waiting for restore by codex');
    assert.equal(status.leadsTo, 'locks');
    assert.match(status.tooltip, /Alpha, held by restore by codex \(process 12 on host, for 3 s\)/);
  });

  it('names a holder once when several wait for it', () => {
    const waiting = ['Alpha', 'Beta'].map((name) => ({ name, holder: 'another writer' }));
    assert.equal(statusOf(untranslated, { ...calm, waiting })?.text, '$(lock) waiting for another writer');
  });

  it('draws no icon that a name asks for', () => {
    assert.doesNotMatch(statusOf(untranslated, { ...calm, own: ['$(trash)'] })?.text ?? '', /\$\(trash\)/);
  });
});
