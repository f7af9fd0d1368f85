import * as vscode from 'vscode';
import { Deferred } from '../base/async';
import { systemClock } from '../base/clock';
import { DisposableStore, type Disposable } from '../base/disposable';
import { setContextKey } from './contextKeys';
import type { Repositories } from './repositories';
import { RepositoryBranch } from './repositoryBranch';
import { everyMinute } from './saveListener';
import { treeItemOf } from './sessionTreeItems';
import { readSettings } from './settings';
import type { ErrorDisplay } from './showError';
import type { MoreNode, SessionNode, TreeNode } from './treeNodes';

/** Rows that changed within this time are drawn together. */
const DRAW_TOGETHER_MS = 30;

/** The Sessions view. Rows are drawn in place: an event names the rows that changed, and ids never change. */
export class SessionTree implements vscode.TreeDataProvider<TreeNode>, Disposable {
  readonly #repositories: Repositories;
  readonly #errors: ErrorDisplay;
  readonly #owned = new DisposableStore();
  readonly #changed = new vscode.EventEmitter<TreeNode | TreeNode[] | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  #branches: readonly RepositoryBranch[] = [];
  #branchesOwned = new DisposableStore();
  readonly #dirty = new Set<TreeNode | null>();
  #draw: Disposable | undefined;
  #drawn: Deferred<void> | undefined;

  constructor(repositories: Repositories, errors: ErrorDisplay) {
    this.#repositories = repositories;
    this.#errors = errors;
    this.#owned.add(this.#changed);
    this.#owned.add({
      dispose: () => {
        this.#draw?.dispose();
        this.#branchesOwned.dispose();
      },
    });
    this.#owned.add(
      repositories.onDidChange(() => {
        this.#rebuild();
      }),
    );
    this.#owned.add(
      everyMinute(() => {
        for (const branch of this.#branches) {
          branch.redraw();
        }
      }),
    );
    this.#rebuild();
  }

  dispose(): void {
    this.#owned.dispose();
  }

  getTreeItem(node: TreeNode): vscode.TreeItem {
    return treeItemOf(node);
  }

  async getChildren(node?: TreeNode): Promise<TreeNode[]> {
    if (node === undefined) {
      return [...(await this.#roots())];
    }
    switch (node.kind) {
      case 'repository':
        return [...((await this.#branchOfRepository(node.repository.key)?.children()) ?? [])];
      case 'session':
        return [...((await this.#sessionBranch(node)?.children()) ?? [])];
      case 'group':
        return [...node.snapshots];
      case 'snapshot':
        return [...((await this.#sessionBranch(node.parent)?.filesOf(node)) ?? [])];
      case 'file':
      case 'more':
      case 'invite':
      case 'reason':
        return [];
    }
  }

  getParent(node: TreeNode): TreeNode | undefined {
    switch (node.kind) {
      case 'repository':
        return undefined;
      case 'session':
        return this.#branches.length > 1 ? this.#branchOfRepository(node.repository.key)?.node : undefined;
      case 'group':
        return node.parent;
      case 'snapshot':
        return node.group ?? node.parent;
      case 'file':
      case 'more':
        return node.parent;
      case 'invite':
      case 'reason':
        return node.parent.kind === 'repository' && this.#branches.length < 2 ? undefined : node.parent;
    }
  }

  /** The row of a session that may be new; resolves when the view was told of it. */
  async sessionNode(repositoryKey: string, ref: string): Promise<SessionNode | undefined> {
    const branch = this.#branchOfRepository(repositoryKey);
    let node = branch?.branchOf(ref)?.node;
    if (node === undefined) {
      await branch?.refreshSessions();
      node = branch?.branchOf(ref)?.node;
    }
    await this.#drawn?.promise;
    return node;
  }

  async showMore(node: MoreNode): Promise<void> {
    const session = node.parent.kind === 'session' ? node.parent : node.parent.parent;
    await this.#sessionBranch(session)?.showMore(node.parent);
    this.#redraw([node.parent]);
  }

  async refresh(): Promise<void> {
    await Promise.all(this.#branches.map((branch) => branch.refresh()));
  }

  async #roots(): Promise<readonly TreeNode[]> {
    await this.#repositories.ready();
    const lists = await Promise.all(this.#branches.map((branch) => branch.children()));
    await setContextKey(
      'bulkhead.hasSessions',
      this.#branches.some((branch) => branch.hasSessions),
    );
    return this.#branches.length > 1 ? this.#branches.map((branch) => branch.node) : lists.flat();
  }

  #rebuild(): void {
    this.#branchesOwned.dispose();
    this.#branchesOwned = new DisposableStore();
    const showWorkspace = readSettings().engine.captureWorkspace && vscode.workspace.isTrusted;
    this.#branches = this.#repositories.all.map((repository) =>
      this.#branchesOwned.add(
        new RepositoryBranch({
          repository,
          showWorkspace,
          errors: this.#errors,
          onChange: (rows) => {
            this.#redraw(rows.map((row) => row ?? this.#branchOfRepository(repository.key)?.node ?? null));
          },
        }),
      ),
    );
    this.#redraw([null]);
  }

  #redraw(rows: readonly (TreeNode | null)[]): void {
    for (const row of rows) {
      this.#dirty.add(row);
    }
    if (this.#dirty.size > 0) {
      this.#drawn ??= new Deferred();
      this.#draw ??= systemClock.schedule(DRAW_TOGETHER_MS, () => {
        this.#draw = undefined;
        this.#fire();
        this.#drawn?.resolve();
        this.#drawn = undefined;
      });
    }
  }

  /** A single repository has no row of its own: its rows hang from the root of the view. */
  #fire(): void {
    const rows = [...this.#dirty];
    this.#dirty.clear();
    const root = rows.some((row) => row === null || (row.kind === 'repository' && this.#branches.length < 2));
    if (root) {
      this.#changed.fire(undefined);
    } else {
      this.#changed.fire(rows.filter((row) => row !== null));
    }
  }

  #branchOfRepository(key: string): RepositoryBranch | undefined {
    return this.#branches.find((branch) => branch.node.repository.key === key);
  }

  #sessionBranch(node: SessionNode): ReturnType<RepositoryBranch['branchOf']> {
    return this.#branchOfRepository(node.repository.key)?.branchOf(node.session.id);
  }
}
