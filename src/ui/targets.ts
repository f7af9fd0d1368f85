import * as vscode from 'vscode';
import { BulkheadError } from '../base/errors';
import type { DiffResult, FileDiff, Session, SessionRef, Snapshot } from '../session/api';
import { WORKSPACE } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import { pickFile, pickRepository, pickSession, pickSnapshot } from './prompts';
import type { Repositories } from './repositories';
import type { Repository } from './repository';
import { fileDiffsOf } from './snapshotDiff';
import type { TreeNode } from './treeNodes';

/** What a command works on: from the row it was called on, or asked for. */
export interface SessionTarget {
  readonly repository: Repository;
  readonly bulkhead: Bulkhead;
  readonly session: Session;
}

export interface SnapshotTarget extends SessionTarget {
  readonly snapshot: Snapshot;
}

export interface FileTarget extends SnapshotTarget {
  readonly diff: DiffResult;
  readonly file: FileDiff;
}

export interface SessionFilter {
  readonly title: string;
  /** Only sessions whose work tree can be written. */
  readonly writable?: boolean;
  /** Without the user's checkout. */
  readonly noWorkspace?: boolean;
}

/** Every `…Of` below resolves to undefined when the person left the picker. */
export class Targets {
  readonly #repositories: Repositories;

  constructor(repositories: Repositories) {
    this.#repositories = repositories;
  }

  async repositoryOf(node: TreeNode | undefined): Promise<Repository | undefined> {
    await this.#repositories.ready();
    const fromNode = node === undefined ? undefined : repositoryOfNode(node);
    if (fromNode !== undefined) {
      return this.#repositories.byKey(fromNode.key) ?? fromNode;
    }
    const all = this.#repositories.all;
    if (all.length === 0) {
      throw new BulkheadError(
        'user',
        'no-repository',
        this.#repositories.reason ?? vscode.l10n.t('Open a folder that holds a git repository first.'),
      );
    }
    return all.length === 1 ? all[0] : pickRepository(all);
  }

  async sessionOf(node: TreeNode | undefined, filter: SessionFilter): Promise<SessionTarget | undefined> {
    const sessionNode = node === undefined ? undefined : sessionOfNode(node);
    const repository = await this.repositoryOf(node);
    if (repository === undefined) {
      return undefined;
    }
    const bulkhead = opened(repository);
    if (sessionNode !== undefined) {
      return { repository, bulkhead, session: await bulkhead.session(sessionNode) };
    }
    const [workspace, sessions] = await Promise.all([bulkhead.workspace(), bulkhead.sessions()]);
    const candidates = [...(filter.noWorkspace === true ? [] : [workspace]), ...sessions]
      .filter((session) => filter.writable !== true || (session.state === 'ready' && session.path !== null))
      .filter((session) => filter.writable === true || session.id !== WORKSPACE || session.snapshots > 0);
    if (candidates.length === 0) {
      throw new BulkheadError(
        'notFound',
        'no-session',
        vscode.l10n.t('There is no session yet. Start one with "New Session".'),
      );
    }
    const session = await pickSession(candidates, repository, filter.title);
    return session === undefined ? undefined : { repository, bulkhead, session };
  }

  async snapshotOf(node: TreeNode | undefined, filter: SessionFilter): Promise<SnapshotTarget | undefined> {
    const target = await this.sessionOf(node, filter);
    if (target === undefined) {
      return undefined;
    }
    const fromNode = node?.kind === 'snapshot' ? node : node?.kind === 'file' ? node.parent : undefined;
    const snapshot =
      fromNode?.snapshot ?? (await pickSnapshot(target.bulkhead, filter.title, { session: target.session.id }));
    return snapshot === undefined ? undefined : { ...target, snapshot };
  }

  async fileOf(
    node: TreeNode | undefined,
    filter: SessionFilter & { readonly readable?: boolean },
  ): Promise<FileTarget | undefined> {
    const target = await this.snapshotOf(node, filter);
    if (target === undefined) {
      return undefined;
    }
    const diff = await fileDiffsOf(target.bulkhead, target.snapshot);
    if (node?.kind === 'file') {
      return { ...target, diff, file: node.file };
    }
    const files = diff.files.filter((file) => filter.readable !== true || file.newOid !== null);
    if (files.length === 0) {
      throw new BulkheadError(
        'notFound',
        'no-file',
        vscode.l10n.t('This snapshot changed no file that could be opened.'),
      );
    }
    const file = await pickFile(files, filter.title);
    return file === undefined ? undefined : { ...target, diff, file };
  }

  /** The session whose clone this window shows. */
  ownSession(): { readonly repository: Repository; readonly session: SessionRef } | undefined {
    for (const repository of this.#repositories.all) {
      for (const session of repository.own) {
        if (session !== WORKSPACE) {
          return { repository, session };
        }
      }
    }
    return undefined;
  }
}

export function opened(repository: Repository): Bulkhead {
  if (repository.bulkhead === null) {
    throw new BulkheadError(
      'notFound',
      'no-storage',
      repository.problem ?? vscode.l10n.t('There is no session yet. Start one with "New Session".'),
    );
  }
  return repository.bulkhead;
}

function repositoryOfNode(node: TreeNode): Repository | undefined {
  switch (node.kind) {
    case 'repository':
    case 'session':
      return node.repository;
    case 'group':
    case 'snapshot':
      return node.parent.repository;
    case 'file':
      return node.parent.parent.repository;
    case 'more':
    case 'reason':
    case 'invite':
      return repositoryOfNode(node.parent);
  }
}

function sessionOfNode(node: TreeNode): SessionRef | undefined {
  switch (node.kind) {
    case 'session':
      return node.session.id;
    case 'group':
    case 'snapshot':
      return node.parent.session.id;
    case 'file':
      return node.parent.parent.session.id;
    case 'more':
    case 'reason':
      return sessionOfNode(node.parent);
    case 'repository':
    case 'invite':
      return undefined;
  }
}
