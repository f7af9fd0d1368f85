import assert from 'node:assert/strict';
import type { LockInfo } from '../../../src/session/api';
import { lockRow } from '../../../src/ui/lockRows';
import { fullTimeText } from '../../../src/ui/timeText';
import { context, NOW } from './fixtures';

const lock: LockInfo = {
  kind: 'claim',
  session: 'aaaabbbbcccc',
  name: 'Alpha',
  purpose: 'restore',
  agent: 'codex',
  pid: 12,
  host: 'harbour',
  since: NOW - 5 * 60_000,
  ageMs: 5 * 60_000,
  state: 'alive',
  place: 'refs/bulkhead/claims/aaaabbbbcccc',
};

describe('lockRows', () => {
  it('says what is held, of which session, for how long, by whom', () => {
    assert.deepEqual(lockRow(context, lock, null), {
      label: 'Claim: restore',
      description: 'Alpha · 5 minutes ago · alive',
      detail: `codex, process 12 on harbour · since ${fullTimeText(context.time, NOW - 5 * 60_000)}`,
      icon: 'shield',
    });
  });

  it('names the repository where there are several', () => {
    assert.equal(lockRow(context, lock, 'harbour').description, 'Alpha · harbour · 5 minutes ago · alive');
  });

  it('says of a dead holder that it keeps nobody waiting', () => {
    assert.match(lockRow(context, { ...lock, state: 'dead' }, null).description, /dead: the next one takes over$/);
  });

  it('says what to do about a holder of a newer version, and where it is', () => {
    const row = lockRow(
      context,
      { ...lock, purpose: null, agent: null, pid: null, host: null, since: null, state: 'newer' },
      null,
    );
    assert.deepEqual(
      [row.label, row.description, row.detail],
      [
        'Claim: not told',
        'Alpha · 5 minutes ago · held by a newer version of Bulkhead: update this one',
        'refs/bulkhead/claims/aaaabbbbcccc',
      ],
    );
  });

  it('shows a lock file of git with its path', () => {
    const row = lockRow(
      context,
      {
        ...lock,
        kind: 'git',
        session: null,
        name: null,
        purpose: null,
        agent: null,
        pid: null,
        host: null,
        state: 'unknown',
        place: '/storage/snapshots.git/packed-refs.lock',
      },
      null,
    );
    assert.equal(row.label, 'Lock file of git');
    assert.equal(row.description, '5 minutes ago');
    assert.match(row.detail, /^\/storage\/snapshots\.git\/packed-refs\.lock · since /);
  });

  it('draws no icon that a purpose or a host asks for', () => {
    const row = lockRow(context, { ...lock, purpose: '$(trash)', host: '$(trash)', name: '$(trash)' }, null);
    assert.doesNotMatch(row.label + row.description + row.detail, /\$\(trash\)/);
  });
});
