import type { Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { Trigger } from '../core/snapshotMessage';

/** What a snapshot is asked for with. */
export interface SnapshotRequest {
  /** Absent: everything. */
  readonly paths?: readonly RepoPath[];
  /** Taken although ignored or large. */
  readonly forced?: ReadonlySet<RepoPath>;
  readonly trigger: Trigger;
  readonly subject?: string;
  readonly agent: string;
  readonly turn?: string | null;
  readonly reverses?: Oid;
  /** Make a snapshot even when the tree is the newest one's: the end of a restore is an event of its own. */
  readonly always?: boolean;
  /** Asked for by the holder of the session's claim; anybody else waits until the claim is gone. */
  readonly underClaim?: boolean;
  /**
   * Asked when the files have been read, with the paths that would be recorded, and before anything is published; true: no snapshot
   * is made of what was read.
   */
  readonly holdBack?: ((changed: readonly RepoPath[]) => Promise<boolean>) | undefined;
  readonly signal?: AbortSignal | undefined;
}
