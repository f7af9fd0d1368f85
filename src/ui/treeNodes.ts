import type { FileDiff, Session, Snapshot } from '../session/api';
import type { Repository } from './repository';

/** Rows of the Sessions view. A node keeps its identity and id for as long as what it shows exists; its contents are replaced. */
export type TreeNode =
  RepositoryNode | SessionNode | GroupNode | SnapshotNode | FileNode | MoreNode | InviteNode | ReasonNode;

/** Only where the window has several repositories. */
export interface RepositoryNode {
  readonly kind: 'repository';
  readonly id: string;
  readonly repository: Repository;
}

export interface SessionNode {
  readonly kind: 'session';
  readonly id: string;
  readonly repository: Repository;
  session: Session;
  /** Files that differ from the base; null while unknown. */
  changed: number | null;
  /** Who it waits for, for people; null when it does not wait. */
  waiting: string | null;
  /** True when its work tree is open in this window. */
  readonly own: boolean;
}

export interface GroupNode {
  readonly kind: 'group';
  readonly id: string;
  readonly parent: SessionNode;
  snapshots: readonly SnapshotNode[];
  from: number;
  /** The newest group of a session starts unfolded. */
  readonly unfolded: boolean;
}

export interface SnapshotNode {
  readonly kind: 'snapshot';
  readonly id: string;
  readonly parent: SessionNode;
  group: GroupNode | null;
  readonly snapshot: Snapshot;
}

export interface FileNode {
  readonly kind: 'file';
  readonly id: string;
  readonly parent: SnapshotNode;
  readonly file: FileDiff;
}

/** The last row of a list that goes on. */
export interface MoreNode {
  readonly kind: 'more';
  readonly id: string;
  readonly parent: SessionNode | SnapshotNode;
}

/** Stands below "This workspace" while there is no session. */
export interface InviteNode {
  readonly kind: 'invite';
  readonly id: string;
  readonly parent: RepositoryNode;
}

/** Why a list is empty or incomplete. */
export interface ReasonNode {
  readonly kind: 'reason';
  readonly id: string;
  readonly parent: RepositoryNode | SessionNode | SnapshotNode;
  readonly text: string;
  readonly severity: 'info' | 'warning';
}

/** What menus hand over, for a session whose row need not be drawn. */
export function sessionRow(repository: Repository, session: Session): SessionNode {
  const own = repository.own.has(session.id);
  return {
    kind: 'session',
    id: `${repository.key}/${session.id}`,
    repository,
    session,
    changed: null,
    waiting: null,
    own,
  };
}
