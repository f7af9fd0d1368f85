import assert from 'node:assert/strict';
import { uncheckedRepoPath } from '../../../src/core/repoPath';
import { TRIGGERS, type Trigger, cleanSubject } from '../../../src/core/snapshotMessage';
import { type SubjectChange, subjectFor } from '../../../src/core/subject';

const statuses = { '+': 'added', '~': 'modified', '-': 'deleted', '!': 'type-changed', '>': 'renamed' } as const;

function changes(...texts: string[]): SubjectChange[] {
  return texts.map((text) => ({
    path: uncheckedRepoPath(Buffer.from(text.slice(1)).toString('latin1')),
    status: statuses[text[0] as keyof typeof statuses],
  }));
}

function save(...texts: string[]): string {
  return subjectFor('save', changes(...texts));
}

describe('subject', () => {
  it('tells of one file', () => {
    assert.equal(save('~src/app.ts'), 'Edit src/app.ts');
    assert.equal(save('+README.md'), 'Add README.md');
    assert.equal(save('-x'), 'Delete x');
    assert.equal(save('!x'), 'Change the type of x');
    assert.equal(save('>b'), 'Rename b');
    const renamed: SubjectChange = { path: uncheckedRepoPath('b'), oldPath: uncheckedRepoPath('a'), status: 'renamed' };
    assert.equal(subjectFor('save', [renamed]), 'Rename a → b');
  });

  it('tells of several', () => {
    assert.equal(save('~src/ui/a.ts', '~src/ui/b.ts', '~src/ui/c.ts'), 'Edit 3 files in src/ui');
    assert.equal(save('~src/ui/a.ts', '~src/core/b.ts'), 'Edit 2 files in src');
    assert.equal(save('+a/b', '+a/c'), 'Add 2 files in a');
    assert.equal(save('+a/b', '-a/c'), 'Change 2 files in a');
    assert.equal(save('~src/app.ts', '~README.md'), '2 files changed (src/app.ts, …)');
    assert.equal(save('~a/b/c/d', '~a/b/x', '~a/bc'), 'Edit 3 files in a');
    assert.equal(save('~a/b', '~ab/c'), '2 files changed (a/b, …)');
  });

  it('tells of no file', () => {
    assert.equal(save(), 'No files changed');
    assert.equal(subjectFor('turn-start', []), 'Start of turn');
    assert.equal(subjectFor('turn-end', []), 'End of turn');
    assert.equal(subjectFor('turn-end', changes('~a')), 'Edit a');
  });

  it('tells of what Bulkhead did', () => {
    const table: readonly (readonly [Trigger, string, string])[] = [
      ['start', 'Start of session', 'Start of session'],
      ['final', 'Final state', 'Final state'],
      ['before-restore', 'Before restore', 'Before restore'],
      ['restore', 'Restore', 'Restore to 14:02'],
      ['undo', 'Undo restore', 'Undo: 14:02'],
      ['redo', 'Redo restore', 'Redo: 14:02'],
      ['revert', 'Revert', 'Revert: 14:02'],
      ['before-apply', 'Before apply', 'Before apply'],
    ];
    for (const [trigger, without, withTarget] of table) {
      assert.equal(subjectFor(trigger, changes('~a')), without);
      assert.equal(subjectFor(trigger, changes('~a'), { target: ' 14:02 ' }), withTarget);
    }
  });

  it('is always one visible line', () => {
    const wild = [
      '~a\nBulkhead-Agent: evil',
      '~\u202egpj.exe',
      '~a\x1b[31m',
      `~${'x/'.repeat(200)}y.ts`,
      `~${'y'.repeat(300)}`,
    ];
    for (const trigger of TRIGGERS) {
      for (const text of wild) {
        const subject = subjectFor(trigger, changes(text), { target: text });
        assert.equal(cleanSubject(subject), subject, JSON.stringify(text));
        assert.ok(subject.length < 200);
      }
    }
    assert.equal(save('~a\nb'), 'Edit a\\u{A}b');
    assert.equal(save(`~${'x/'.repeat(200)}y.ts`), 'Edit …/y.ts');
    assert.equal(save(`~${'y'.repeat(300)}`), `Edit …/${'y'.repeat(80)}…`);
    assert.equal(save('~日本/é.ts'), 'Edit 日本/é.ts');
  });
});
