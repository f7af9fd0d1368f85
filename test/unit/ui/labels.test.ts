import assert from 'node:assert/strict';
import {
  agentsText,
  contentionLine,
  fileDescription,
  groupLabel,
  linesText,
  pairText,
  pathParts,
  sessionDescription,
  sessionName,
  sessionSpoken,
  sessionTooltip,
  snapshotDescription,
  snapshotLabel,
  snapshotSpoken,
  snapshotTooltip,
  statusLetter,
} from '../../../src/ui/labels';
import { untranslated } from '../../../src/ui/localizer';
import { context, file, NOW, path, session, snapshot } from './fixtures';

const facts = (changes: Parameters<typeof session>[0] = {}, more: { changed?: number; own?: boolean } = {}) => ({
  session: session(changes),
  changed: more.changed ?? null,
  own: more.own ?? false,
  waiting: null,
});

describe('labels', () => {
  it('describes a session by its snapshots, changed files and age', () => {
    assert.equal(sessionDescription(context, facts({}, { changed: 3 })), '3 changed · 5 min · 12 snapshots');
  });

  it('uses the singular for one', () => {
    assert.equal(
      sessionDescription(context, facts({ snapshots: 1, newestTime: NOW }, { changed: 1 })),
      '1 changed · now · 1 snapshot',
    );
  });

  it('marks the session of this window, but not the checkout', () => {
    assert.match(sessionDescription(context, facts({}, { own: true })), /^this window · /);
    assert.doesNotMatch(sessionDescription(context, facts({ id: 'workspace' }, { own: true })), /this window/);
  });

  it('names the folder of the checkout where another folder is open', () => {
    const workspace = { id: 'workspace', path: '/home/ada/harbour', snapshots: 1, newestTime: NOW };
    assert.equal(sessionDescription(context, facts(workspace)), 'harbour · now · 1 snapshot');
    assert.equal(sessionDescription(context, facts(workspace, { own: true })), 'now · 1 snapshot');
  });

  it('says what is wrong with a session before anything else', () => {
    assert.match(sessionDescription(context, facts({ state: 'missing' })), /^clone is missing · /);
  });

  it('says that a session waits', () => {
    assert.match(sessionDescription(context, { ...facts(), waiting: 'pid 12 on host' }), /^waiting · /);
  });

  it('calls the checkout by its own name', () => {
    assert.equal(sessionName(untranslated, session({ id: 'workspace', name: 'workspace' })), 'This workspace');
  });

  it('puts the reason, the folder and the branch into the tooltip', () => {
    const tooltip = sessionTooltip(context, facts({ state: 'damaged', reason: 'Its record cannot be read.' }));
    assert.match(tooltip, /^Alpha\nIts record cannot be read\.\n\/storage\/.*\nBranch bulkhead\/alpha\n/);
  });

  it('speaks a session as one sentence', () => {
    assert.equal(
      sessionSpoken(context, facts({}, { changed: 1 })),
      'Session Alpha, ready, 12 snapshots, 1 file changed, newest 5 minutes ago',
    );
  });

  it('describes a snapshot by agent, trigger, age and lines', () => {
    const one = snapshot(1, { agent: 'claude-code', trigger: 'external', time: NOW - 120_000 });
    assert.equal(snapshotDescription(context, one), '2 min · +12 −3 · claude-code · outside write');
  });

  const subjects: readonly (readonly [string, string])[] = [
    ['Edit src/app.ts', 'Edit src/app.ts'],
    ['Edit src/internal/operators/map.ts', 'Edit …/map.ts'],
    ['Rename src/internal/a.ts → src/internal/b.ts', 'Rename …/a.ts → src/internal/b.ts'],
    ['Change 12 files in src/internal', 'Change 12 files in …/internal'],
    ['12 files changed (src/internal/a.ts, …)', '12 files changed (…/a.ts, …)'],
  ];
  for (const [subject, label] of subjects) {
    it(`shows "${subject}" in a row as "${label}"`, () => {
      assert.equal(snapshotLabel(snapshot(1, { subject })), label);
    });
  }

  it('shows the text of a person as she wrote it', () => {
    const subject = 'Before I try https://example.com/a/b';
    assert.equal(snapshotLabel(snapshot(1, { subject, trigger: 'manual' })), subject);
  });

  it('leaves out what the row says already and an agent that nobody knows', () => {
    const start = snapshot(1, { trigger: 'start', subject: 'Start of session', time: NOW, added: 0, deleted: 0 });
    assert.equal(snapshotDescription(context, start), 'now · user');
    const outside = snapshot(2, { agent: 'unknown', trigger: 'external', time: NOW, deleted: 0 });
    assert.equal(snapshotDescription(context, outside), 'now · +12 · outside write');
    assert.match(snapshotSpoken(context, outside), /by an unknown agent/);
  });

  it('leaves out lines that did not change', () => {
    assert.equal(linesText(0, 0), '');
    assert.equal(linesText(4, 0), '+4');
    assert.equal(linesText(0, 4), '−4');
  });

  it('speaks a snapshot as one sentence and shows its id only in the tooltip', () => {
    const one = snapshot(7, { time: NOW - 120_000 });
    assert.equal(
      snapshotSpoken(context, one),
      'Edit file 7, by user, save, 2 minutes ago, 1 file, 12 lines added, 3 lines deleted',
    );
    assert.match(snapshotTooltip(context, one), /Snapshot 000000000000$/);
  });

  it('labels a group with the time it began', () => {
    assert.equal(groupLabel(context, { from: NOW, count: 5 }), '14:03 · 5 snapshots');
  });

  it('names each agent of a group once', () => {
    const agents = ['codex', 'unknown', 'user', 'codex'].map((agent, index) => snapshot(index + 1, { agent }));
    assert.equal(agentsText(agents), 'codex, user');
  });

  it('splits a path into name and folder', () => {
    assert.deepEqual(pathParts('src/ui/app.ts'), { name: 'app.ts', folder: 'src/ui' });
    assert.deepEqual(pathParts('README.md'), { name: 'README.md', folder: '' });
  });

  it('describes a file by folder and lines', () => {
    assert.equal(fileDescription(untranslated, file('src/app.ts')), 'src · +2 −1');
    assert.equal(fileDescription(untranslated, file('logo.png', { added: null, deleted: null })), 'binary');
    assert.equal(
      fileDescription(untranslated, file('b.ts', { status: 'renamed', oldPath: path('src/a.ts') })),
      'from src/a.ts · +2 −1',
    );
  });

  it('uses the letters of git', () => {
    const letters = (['added', 'modified', 'deleted', 'renamed', 'type-changed'] as const).map(statusLetter);
    assert.equal(letters.join(''), 'AMDRT');
  });

  it('tells a contended path with its sessions and how they merge', () => {
    const nameOf = (ref: string) => ({ a: 'Alpha', b: 'Beta' })[ref] ?? ref;
    const pair = { a: 'a', b: 'b', merge: 'conflict', lines: null } as const;
    const contended = { path: path('src/app.ts'), sessions: ['a', 'b'], merge: 'conflict', pairs: [pair] } as const;
    assert.equal(contentionLine(untranslated, contended, nameOf), 'src/app.ts: Alpha, Beta (conflict)');
    assert.equal(pairText(untranslated, { ...pair, merge: 'unknown' }, nameOf), 'Alpha ↔ Beta');
  });

  it('says of a session and of a snapshot what is lost', () => {
    const damaged = facts({ damage: 'Its newest snapshot is damaged.' });
    assert.match(sessionDescription(context, damaged), /^damaged · /);
    assert.match(sessionTooltip(context, damaged), /^Alpha\nIts newest snapshot is damaged\.\n/);
    assert.match(sessionSpoken(context, damaged), /, damaged, /);
    const lost = snapshot(2, { damage: 'A part of it cannot be read.' });
    assert.match(snapshotDescription(context, lost), /^damaged · /);
    assert.match(snapshotTooltip(context, lost), /\nA part of it cannot be read\.\n/);
    assert.match(snapshotSpoken(context, lost), /, damaged, /);
  });
});
