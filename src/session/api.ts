/**
 * What the services of this layer take and give: the words that the command line prints and the user interface shows.
 * Times are milliseconds since 1970-01-01 UTC. Oids are full and lower-case.
 */
import type { Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { ObjectFormat } from '../core/objectId';
import type { Trigger } from '../core/snapshotMessage';
import type { RiskCategory } from '../core/riskCategory';

/** A session's id, or `workspace` for the user's own checkout. */
export type SessionRef = string;
export const WORKSPACE = 'workspace';

/**
 * - `ready`: record and clone are there.
 * - `creating`: being made now, by a live process.
 * - `missing`: the record is there, the clone's folder is not; its snapshots are.
 * - `damaged`: the record cannot be read; snapshots still can.
 * - `newer`: written by a later version of Bulkhead; left alone.
 * - `orphaned`: a folder without a record.
 * - `trashed`: deleted; its snapshots are still there.
 */
export type SessionState = 'ready' | 'creating' | 'missing' | 'damaged' | 'newer' | 'orphaned' | 'trashed';

export interface Base {
  /** Null before the first commit of the repository. */
  readonly commit: Oid | null;
  readonly tree: Oid;
}

export interface Session {
  readonly id: SessionRef;
  /** What the person calls it; for a damaged record the id. */
  readonly name: string;
  /** The clone's folder (the checkout's for `workspace`); null where there is none. */
  readonly path: string | null;
  readonly state: SessionState;
  /** Why the state is not `ready`, for people; null when it is. */
  readonly reason: string | null;
  readonly base: Base | null;
  readonly shadowRef: string;
  /** The branch that the clone was given at the start. */
  readonly branch: string | null;
  /** Number of snapshots, closed chains included. */
  readonly snapshots: number;
  /** The newest snapshot that is whole. */
  readonly newest: Oid | null;
  readonly newestTime: number | null;
  readonly newestTree: Oid | null;
  /** What of its newest snapshots the store has lost, for people; null when nothing. */
  readonly damage: string | null;
  readonly created: number | null;
}

export type ChangeStatus = 'added' | 'modified' | 'deleted' | 'renamed' | 'type-changed';

export interface PathChange {
  readonly path: RepoPath;
  readonly status: ChangeStatus;
}

export type SkipReason =
  'too-large' | 'nested-repository' | 'unreadable' | 'vanished' | 'beyond-link' | 'special-file' | 'name-not-allowed';

export interface SkippedPath {
  readonly path: RepoPath;
  readonly reason: SkipReason;
}

export interface CheckpointRequest {
  readonly session: SessionRef;
  /** Only these paths (a folder means all below it); absent: everything, by reconcile. */
  readonly paths?: readonly RepoPath[];
  readonly trigger: Trigger;
  /** One line of the person's own; absent: a subject is made from the changes. */
  readonly message?: string;
  readonly agent?: string;
  readonly turn?: string;
  readonly signal?: AbortSignal;
}

export interface CheckpointResult {
  readonly session: SessionRef;
  /** The snapshot made, or null when the tree is the newest snapshot's. */
  readonly snapshot: Oid | null;
  readonly newest: Oid | null;
  readonly tree: Oid;
  readonly changed: readonly PathChange[];
  readonly skipped: readonly SkippedPath[];
}

export interface Snapshot {
  readonly oid: Oid;
  /** The snapshot before it, over the borders of chains; null for the first. */
  readonly previous: Oid | null;
  readonly tree: Oid;
  readonly session: SessionRef;
  readonly time: number;
  readonly trigger: Trigger;
  readonly agent: string;
  readonly turn: string | null;
  readonly subject: string;
  /** Files that differ from the snapshot before (for the first: from the base). */
  readonly files: number;
  readonly added: number;
  readonly deleted: number;
  /** What of it cannot be read, for people; null when nothing was found wanting. The counts are zero then. */
  readonly damage: string | null;
}

export interface SnapshotQuery {
  /** Absent: the snapshots of all sessions, newest first. */
  readonly session?: SessionRef;
  readonly paths?: readonly RepoPath[];
  readonly agent?: string;
  readonly trigger?: Trigger;
  readonly turn?: string;
  /** At most this many; default 100. */
  readonly limit?: number;
  /** Continue below this snapshot. */
  readonly after?: Oid;
  readonly signal?: AbortSignal;
}

/** One side of a comparison. */
export type DiffSide =
  | { readonly kind: 'snapshot'; readonly oid: Oid }
  | { readonly kind: 'tree'; readonly oid: Oid }
  | { readonly kind: 'base'; readonly session: SessionRef }
  | { readonly kind: 'worktree'; readonly session: SessionRef }
  | { readonly kind: 'newest'; readonly session: SessionRef };

export interface FileDiff {
  readonly path: RepoPath;
  /** The name on the left side when the file was renamed; else null. */
  readonly oldPath: RepoPath | null;
  readonly status: ChangeStatus;
  /** Octal as git writes it (`100644`); null where the file is absent. */
  readonly oldMode: string | null;
  readonly newMode: string | null;
  readonly oldOid: Oid | null;
  readonly newOid: Oid | null;
  /** Lines; null for binary files. */
  readonly added: number | null;
  readonly deleted: number | null;
}

export interface DiffResult {
  /** Trees of the two sides. */
  readonly from: Oid;
  readonly to: Oid;
  readonly files: readonly FileDiff[];
}

export interface RestoreRequest {
  /** The work tree that is written. */
  readonly session: SessionRef;
  readonly target: Oid;
  /** Only these; absent: everything. */
  readonly paths?: readonly RepoPath[];
  /** `ask`: refuse (code `needs-consent`) when the plan has contested or risky paths; `safe`: leave those out; `all`: consent was given. */
  readonly consent: 'ask' | 'safe' | 'all';
  /** Allow a snapshot of another session. */
  readonly foreign?: boolean;
  readonly agent?: string;
  readonly signal?: AbortSignal;
}

export type KeepReason =
  | 'nested-repository'
  | 'not-captured'
  | 'folder-in-the-way'
  | 'beyond-link'
  | 'left-out'
  | 'name-not-allowed'
  /** A sparse checkout leaves it out. */
  | 'outside-sparse-checkout'
  /** Somebody wrote to it while the restore ran. */
  | 'touched-meanwhile';

export interface RestorePlan {
  readonly write: readonly RepoPath[];
  readonly delete: readonly RepoPath[];
  readonly keep: readonly { readonly path: RepoPath; readonly reason: KeepReason }[];
  /** Paths of write and delete that another agent touched since the target. */
  readonly contested: readonly { readonly path: RepoPath; readonly agent: string; readonly snapshot: Oid | null }[];
  readonly risky: readonly { readonly path: RepoPath; readonly category: RiskCategory }[];
}

export interface RestoreResult {
  readonly plan: RestorePlan;
  /** The snapshot of the state after; null when nothing had to be done, or for a plan alone. */
  readonly snapshot: Oid | null;
  /** The safety snapshot: the state before. */
  readonly undo: Oid | null;
}

export interface ContendedPath {
  readonly path: RepoPath;
  readonly sessions: readonly SessionRef[];
  readonly merge: 'clean' | 'conflict' | 'unknown';
  readonly pairs: readonly ContendedPair[];
}

export interface ContendedPair {
  readonly a: SessionRef;
  readonly b: SessionRef;
  readonly merge: 'clean' | 'conflict' | 'unknown';
  /** Line ranges in conflict; null while no dry merge was made. */
  readonly lines: readonly (readonly [number, number])[] | null;
}

export interface ApplyRequest {
  readonly session: SessionRef;
  readonly mode: 'branch';
  readonly paths?: readonly RepoPath[];
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

export interface ApplyResult {
  readonly files: readonly PathChange[];
  readonly conflicts: readonly RepoPath[];
  readonly branch: string | null;
  readonly patch: string | null;
  readonly undo: Oid | null;
}

/** Where a new session starts. */
export type StartPoint =
  | { readonly kind: 'head' }
  /** A branch, tag, or commit of the user's repository. */
  | { readonly kind: 'revision'; readonly revision: string }
  | { readonly kind: 'snapshot'; readonly oid: Oid }
  /** The newest state of another session. */
  | { readonly kind: 'session'; readonly session: SessionRef };

export interface CreateRequest {
  /** Absent: the first free "Session N". */
  readonly name?: string;
  readonly from: StartPoint;
  /** Bring the uncommitted work of the user's checkout along; only with `head`. */
  readonly carryUncommitted?: boolean;
  readonly agent?: string;
  /** Steps for people: "Copying objects", with a share between 0 and 1 where it is known. */
  readonly onProgress?: (step: string, share: number | null) => void;
  /** One sentence or two for people on each thing that could not be brought along; the session is made all the same. */
  readonly onNotice?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** What deleting a session would lose if its clone were gone: shown before, and the reason for a refusal without `force`. */
export interface RemovalPreflight {
  readonly uncheckpointed: boolean;
  /** Commits on the clone's branches that neither the user's repository nor a remote has. */
  readonly unpushedCommits: number;
  /** Files that differ from the base and were not applied. */
  readonly unapplied: number;
  readonly last: boolean;
  /** A check that failed; any doubt keeps the session. */
  readonly doubt: string | null;
}

export interface RemoveResult {
  readonly session: SessionRef;
  /** The final snapshot, or the newest one when nothing had changed. */
  readonly snapshot: Oid | null;
  /** Name in the trash. */
  readonly trashed: string | null;
}

export interface ResetOptions {
  /** Do not ask what would be lost. */
  readonly force: boolean;
  readonly agent?: string;
  readonly onProgress?: (step: string, share: number | null) => void;
  readonly signal?: AbortSignal;
}

export interface ResetResult {
  /** The fresh session that stands in the old one's place. */
  readonly session: Session;
  /** False: it was replaced before, by somebody else or at an earlier turn, and nothing was made or changed now. */
  readonly made: boolean;
  /** The newest snapshot of the session that was replaced. */
  readonly snapshot: Oid | null;
}

/**
 * - `lock`: spares writers of one session wasted work.
 * - `lease`: which window records a session's outside writes.
 * - `claim`: somebody restores, applies or deletes the session; nobody else records it meanwhile.
 * - `git`: a lock file of git's own in the snapshot store.
 */
export type LockKind = 'lock' | 'lease' | 'claim' | 'git';

/**
 * What is known of the holder: `alive` and `dead` are proven (a dead one keeps nobody waiting), `newer` is a later version
 * of Bulkhead whose record we do not read, `unknown` all else, such as another machine.
 */
export type LockState = 'alive' | 'dead' | 'unknown' | 'newer';

export interface LockInfo {
  readonly kind: LockKind;
  /** Null for a lock file of git's that is about no session alone. */
  readonly session: SessionRef | null;
  /** What the person calls the session; null when it is not known any more. */
  readonly name: string | null;
  /** "checkpoint", "restore"; null when the holder does not tell. */
  readonly purpose: string | null;
  readonly agent: string | null;
  readonly pid: number | null;
  readonly host: string | null;
  /** When it was taken; null when the holder does not tell. */
  readonly since: number | null;
  /** Milliseconds since it was taken or, when that is not known, since its last sign of life. */
  readonly ageMs: number | null;
  readonly state: LockState;
  /** The lock's file, or the claim's ref in the snapshot store. */
  readonly place: string;
}

/** What became of an operation whose process was killed in the middle. */
export interface Recovered {
  readonly session: SessionRef;
  /** `left`: it could be neither finished nor taken back; nothing was written. */
  readonly outcome: 'finished' | 'undone' | 'left';
  /** For people: what was cut off, and how things are now. */
  readonly message: string;
}

export interface StorageInfo {
  readonly storage: string;
  readonly repository: string;
  readonly objectFormat: ObjectFormat;
}

export interface StoreSize {
  readonly loose: number;
  readonly looseBytes: number;
  readonly packs: number;
  /** Objects in packs. */
  readonly packed: number;
  readonly packBytes: number;
}

/** What a maintenance of the store did. */
export interface MaintenanceResult {
  /** When it began. */
  readonly time: number;
  readonly before: StoreSize;
  readonly after: StoreSize;
  /** The whole store was packed anew. */
  readonly full: boolean;
  /** Objects removed that nothing had led to for a day. */
  readonly pruned: number;
  /** Leftovers of killed processes. */
  readonly swept: { readonly files: number; readonly bytes: number };
  /** Closed chains that got back the ref that keeps them. */
  readonly closedRefs: number;
  /** What was left out, and why, for people. */
  readonly skipped: readonly { readonly step: string; readonly reason: string }[];
}

/**
 * - `error`: something is lost, or will not work.
 * - `warning`: nothing is lost, but something is not as it should be.
 * - `info`: worth knowing, and no problem.
 */
export type Severity = 'error' | 'warning' | 'info';

/** One thing that a check of the store found. The texts are for people, in full sentences. */
export interface Finding {
  readonly severity: Severity;
  /** Stable, lower-case words with dashes. */
  readonly code: string;
  readonly session: SessionRef | null;
  /** The object, ref, file or folder that it is about. */
  readonly subject: string | null;
  /** What it means. */
  readonly message: string;
  /** What is safe all the same. */
  readonly safe: string;
  /** What to do, or what a repair will do. */
  readonly advice: string;
  /** Whether a repair can mend it without guessing. */
  readonly repairable: boolean;
}

/** What was done about a finding. */
export interface Repair {
  readonly code: string;
  readonly subject: string;
  readonly what: string;
}

export interface StoreReport {
  readonly storage: string;
  readonly repository: string;
  /** Version of git. */
  readonly git: string;
  /** What is there now; after a repair, what is left. */
  readonly findings: readonly Finding[];
  readonly repairs: readonly Repair[];
  /** File that names what was moved, and from where; null when nothing was. */
  readonly reportFile: string | null;
}
