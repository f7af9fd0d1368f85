import type { DiffResult, DiffSide, Snapshot } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';

/** What stands before a snapshot: the one before it, or for the first the base. */
export function sideBefore(snapshot: Snapshot): DiffSide {
  return snapshot.previous === null
    ? { kind: 'base', session: snapshot.session }
    : { kind: 'snapshot', oid: snapshot.previous };
}

/** The changes that a snapshot recorded. */
export function fileDiffsOf(bulkhead: Bulkhead, snapshot: Snapshot): Promise<DiffResult> {
  return bulkhead.diff(sideBefore(snapshot), { kind: 'snapshot', oid: snapshot.oid });
}
