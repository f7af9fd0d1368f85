import { repoPathFromText, type RepoPath } from '../../../src/core/repoPath';
import type { FileDiff, Session, Snapshot } from '../../../src/session/api';
import { untranslated } from '../../../src/ui/localizer';
import type { TextContext } from '../../../src/ui/labels';

export const NOW = Date.UTC(2026, 4, 20, 14, 3, 12);
export const context: TextContext = { l10n: untranslated, time: { locale: 'en-GB', timeZone: 'UTC' }, now: NOW };

export function path(text: string): RepoPath {
  const result = repoPathFromText(text);
  if (result === undefined) throw new Error(`${text} is not a path`);
  return result;
}

export function session(changes: Partial<Session> = {}): Session {
  return {
    id: 'aaaabbbbcccc',
    name: 'Alpha',
    path: '/storage/sessions/aaaabbbbcccc/harbour-alpha',
    state: 'ready',
    reason: null,
    base: { commit: 'c'.repeat(40), tree: 'd'.repeat(40) },
    shadowRef: 'refs/bulkhead/sessions/aaaabbbbcccc',
    branch: 'bulkhead/alpha',
    snapshots: 12,
    newest: 'e'.repeat(40),
    newestTime: NOW - 5 * 60_000,
    newestTree: 'f'.repeat(40),
    damage: null,
    created: NOW - 3_600_000,
    ...changes,
  };
}

export function snapshot(number: number, changes: Partial<Snapshot> = {}): Snapshot {
  const oid = number.toString(16).padStart(40, '0');
  return {
    oid,
    previous: number === 1 ? null : (number - 1).toString(16).padStart(40, '0'),
    tree: 'a'.repeat(40),
    session: 'aaaabbbbcccc',
    time: NOW - 1_000_000 + number * 1_000,
    trigger: 'save',
    agent: 'user',
    turn: null,
    subject: `Edit file ${number}`,
    files: 1,
    added: 12,
    deleted: 3,
    damage: null,
    ...changes,
  };
}

export function file(name: string, changes: Partial<FileDiff> = {}): FileDiff {
  return {
    path: path(name),
    oldPath: null,
    status: 'modified',
    oldMode: '100644',
    newMode: '100644',
    oldOid: '1'.repeat(40),
    newOid: '2'.repeat(40),
    added: 2,
    deleted: 1,
    ...changes,
  };
}
