import assert from 'node:assert/strict';
import type { RestorePlan } from '../../../src/session/api';
import { untranslated } from '../../../src/ui/localizer';
import { canPreview, planSections, planSummary, planSummaryText } from '../../../src/ui/planList';
import { path } from './fixtures';

const empty: RestorePlan = { write: [], delete: [], keep: [], contested: [], risky: [] };
const full: RestorePlan = {
  write: [path('.env'), path('a.ts'), path('b.ts')],
  delete: [path('c.ts'), path('d.ts')],
  keep: [{ path: path('sub'), reason: 'nested-repository' }],
  contested: [
    { path: path('b.ts'), agent: 'codex', snapshot: null },
    { path: path('.env'), agent: 'codex', snapshot: null },
  ],
  risky: [{ path: path('.env'), category: 'system' }],
};

describe('planList', () => {
  it('lists every path once, what needs a decision first', () => {
    const shown = planSections(untranslated, full).map(({ title, rows }) => [title, ...rows.map((row) => row.path)]);
    assert.deepEqual(shown, [
      ['Touched by others', 'b.ts', '.env'],
      ['Will be written', 'a.ts'],
      ['Will be deleted', 'c.ts', 'd.ts'],
      ['Kept', 'sub'],
    ]);
  });

  it('keeps what would happen to a doubtful path', () => {
    const plan: RestorePlan = { ...empty, delete: [path('x')], risky: [{ path: path('x'), category: 'platform' }] };
    const row = planSections(untranslated, plan)[0]?.rows[0];
    assert.deepEqual(row, { path: 'x', action: 'delete', note: 'steers agents, will be deleted' });
  });

  it('tells a person of her own files in the second person', () => {
    const mine = { path: path('a.ts'), agent: 'user', snapshot: null };
    const others = { path: path('b.ts'), agent: 'codex', snapshot: null };
    const sections = (contested: RestorePlan['contested']) =>
      planSections(untranslated, { ...empty, write: contested.map((entry) => entry.path), contested });
    assert.equal(sections([mine])[0]?.title, 'Touched by you');
    assert.equal(sections([mine])[0]?.rows[0]?.note, 'touched by you since, will be written');
    assert.equal(sections([mine, others])[0]?.title, 'Touched by you and others');
    assert.equal(sections([others])[0]?.title, 'Touched by others');
  });

  it('counts a path that is contested and risky once', () => {
    assert.deepEqual(planSummary(full), { writes: 3, deletes: 2, keeps: 1, unsafe: 2, empty: false });
  });

  it('is empty when nothing is written or deleted', () => {
    assert.equal(planSummary({ ...empty, keep: full.keep }).empty, true);
    assert.deepEqual(planSections(untranslated, empty), []);
  });

  it('says in words what happens', () => {
    assert.equal(planSummaryText(untranslated, planSummary(full)), '3 files written, 2 files deleted, 1 kept');
    assert.equal(planSummaryText(untranslated, planSummary({ ...empty, write: [path('a')] })), '1 file written');
  });

  it('previews only what changes', () => {
    const rows = planSections(untranslated, full).flatMap((section) => section.rows);
    assert.deepEqual(
      rows.filter((row) => !canPreview(row)).map((row) => row.path),
      ['sub'],
    );
  });
});
