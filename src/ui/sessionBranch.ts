import * as vscode from 'vscode';
import { messageOf } from '../base/errors';
import type { FileDiff, Session, SessionRef } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import type { Repository } from './repository';
import type { ErrorDisplay } from './showError';
import { PAGE_SIZE, SnapshotList } from './snapshotList';
import { fileDiffsOf } from './snapshotDiff';
import {
  sessionRow,
  type FileNode,
  type GroupNode,
  type MoreNode,
  type ReasonNode,
  type SessionNode,
  type SnapshotNode,
  type TreeNode,
} from './treeNodes';

const FILES_AT_ONCE = 200;

/** One session of the tree: its node, and what was loaded below it. */
export class SessionBranch {
  readonly node: SessionNode;
  readonly #bulkhead: Bulkhead;
  readonly #errors: ErrorDisplay;
  readonly #list = new SnapshotList();
  readonly #snapshots = new Map<string, SnapshotNode>();
  readonly #groups = new Map<string, GroupNode>();
  readonly #files = new Map<string, { readonly all: readonly FileDiff[]; shown: number }>();
  #loading: Promise<void> | undefined;
  #failure: string | null = null;

  constructor(options: {
    readonly repository: Repository;
    readonly bulkhead: Bulkhead;
    readonly session: Session;
    readonly errors: ErrorDisplay;
  }) {
    const { repository, session } = options;
    this.#bulkhead = options.bulkhead;
    this.#errors = options.errors;
    this.node = sessionRow(repository, session);
  }

  /** Takes a newer description of the session. True when its row looks different. */
  take(session: Session): boolean {
    const before = JSON.stringify(this.node.session);
    this.node.session = session;
    return before !== JSON.stringify(session);
  }

  setWaiting(waiting: string | null): boolean {
    const different = this.node.waiting !== waiting;
    this.node.waiting = waiting;
    return different;
  }

  /** Counts the changed files anew. True when the number is another. */
  async count(): Promise<boolean> {
    if (this.node.session.base === null || this.node.session.newest === null) {
      return false;
    }
    const before = this.node.changed;
    try {
      this.node.changed = await this.#bulkhead.changedSinceBase(this.node.session.id);
    } catch (error) {
      this.node.changed = null;
      this.#errors.log(`Cannot count the changes of ${this.node.session.id}.`, error);
    }
    return before !== this.node.changed;
  }

  /** Brings what was loaded up to date after the shadow ref moved; does nothing while nothing was loaded. */
  async refresh(): Promise<void> {
    if (this.#loading !== undefined) {
      await this.#loading;
      this.#loading = this.#load();
      await this.#loading;
    }
  }

  async children(): Promise<readonly TreeNode[]> {
    this.#loading ??= this.#load();
    await this.#loading;
    const nodes: TreeNode[] = [];
    const { session, waiting } = this.node;
    for (const text of [session.reason, session.damage, waiting, this.#failure]) {
      if (text !== null) {
        nodes.push(this.#reason(this.node, text, `${nodes.length}`));
      }
    }
    const entries = this.#list.entries();
    entries.forEach((entry, index) => {
      if (entry.kind === 'snapshot') {
        nodes.push(this.#snapshotNode(entry.snapshot.oid, entry.snapshot, null));
        return;
      }
      const group = this.#groupNode(entry.id, index === 0);
      group.from = entry.from;
      group.snapshots = entry.snapshots.map((snapshot) => this.#snapshotNode(snapshot.oid, snapshot, group));
      nodes.push(group);
    });
    if (this.#list.more) {
      nodes.push(this.#more(this.node));
    }
    if (nodes.length === 0) {
      nodes.push(this.#reason(this.node, vscode.l10n.t('No snapshots yet'), 'none', 'info'));
    }
    return nodes;
  }

  async filesOf(node: SnapshotNode): Promise<readonly TreeNode[]> {
    const { oid } = node.snapshot;
    let files = this.#files.get(oid);
    if (files === undefined) {
      try {
        const diff = await fileDiffsOf(this.#bulkhead, node.snapshot);
        files = { all: diff.files, shown: FILES_AT_ONCE };
        this.#files.set(oid, files);
      } catch (error) {
        this.#errors.log(`Cannot list the files of ${oid}.`, error);
        return [this.#reason(node, vscode.l10n.t('Cannot list the files: {0}', messageOf(error)), 'failed')];
      }
    }
    const nodes: TreeNode[] = files.all.slice(0, files.shown).map((file): FileNode => ({
      kind: 'file',
      id: `${node.id}/${Buffer.from(file.path, 'latin1').toString('base64url')}`,
      parent: node,
      file,
    }));
    return files.all.length > files.shown ? [...nodes, this.#more(node)] : nodes;
  }

  async showMore(parent: SessionNode | SnapshotNode): Promise<void> {
    if (parent.kind === 'snapshot') {
      const files = this.#files.get(parent.snapshot.oid);
      if (files !== undefined) {
        files.shown += FILES_AT_ONCE;
      }
      return;
    }
    const after = this.#list.oldest;
    if (after !== undefined) {
      this.#list.takeOlder(await this.#bulkhead.snapshots({ session: parent.session.id, limit: PAGE_SIZE, after }));
    }
  }

  async #load(): Promise<void> {
    try {
      this.#list.takeNewest(await this.#bulkhead.snapshots({ session: this.node.session.id, limit: PAGE_SIZE }));
      this.#failure = null;
    } catch (error) {
      this.#errors.log(`Cannot list the snapshots of ${this.node.session.id}.`, error);
      this.#failure = vscode.l10n.t('Cannot list the snapshots: {0}', messageOf(error));
    }
  }

  #snapshotNode(oid: string, snapshot: SnapshotNode['snapshot'], group: GroupNode | null): SnapshotNode {
    let node = this.#snapshots.get(oid);
    if (node === undefined) {
      node = { kind: 'snapshot', id: `${this.node.id}/${oid}`, parent: this.node, group, snapshot };
      this.#snapshots.set(oid, node);
    }
    node.group = group;
    return node;
  }

  #groupNode(id: string, newest: boolean): GroupNode {
    let node = this.#groups.get(id);
    if (node === undefined) {
      node = {
        kind: 'group',
        id: `${this.node.id}/group/${id}`,
        parent: this.node,
        snapshots: [],
        from: 0,
        unfolded: newest,
      };
      this.#groups.set(id, node);
    }
    return node;
  }

  #more(parent: SessionNode | SnapshotNode): MoreNode {
    return { kind: 'more', id: `${parent.id}/more`, parent };
  }

  #reason(
    parent: SessionNode | SnapshotNode,
    text: string,
    name: string,
    severity: ReasonNode['severity'] = 'warning',
  ): ReasonNode {
    return { kind: 'reason', id: `${parent.id}/reason/${name}`, parent, text, severity };
  }
}

/** Sessions of one repository by their id. */
export type Branches = Map<SessionRef, SessionBranch>;
