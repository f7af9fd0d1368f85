import { systemClock } from '../base/clock';
import { mapLimited } from '../base/async';
import { messageOf } from '../base/errors';
import { DisposableStore, type Disposable } from '../base/disposable';
import type { Session, SessionRef } from '../session/api';
import { WORKSPACE } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import { Coalescer } from './coalescer';
import type { Repository } from './repository';
import { SessionBranch, type Branches } from './sessionBranch';
import type { ErrorDisplay } from './showError';
import type { InviteNode, ReasonNode, RepositoryNode, SessionNode, TreeNode } from './treeNodes';

const REFRESH_DELAY_MS = 60;
const COUNTS_AT_ONCE = 4;

/** What the branch tells the tree: rows below `null` are those of the repository itself. */
export type ChangedRows = (rows: readonly (SessionNode | null)[]) => void;

/** One repository of the tree, kept up to date by the engine's events. */
export class RepositoryBranch implements Disposable {
  readonly node: RepositoryNode;
  readonly #bulkhead: Bulkhead | null;
  readonly #errors: ErrorDisplay;
  readonly #onChange: ChangedRows;
  readonly #showWorkspace: boolean;
  readonly #owned = new DisposableStore();
  readonly #sessions: Coalescer<'sessions'>;
  readonly #snapshots: Coalescer<SessionRef>;
  #branches: Branches = new Map();
  #loading: Promise<void> | undefined;
  #failure: string | null = null;

  constructor(options: {
    readonly repository: Repository;
    readonly showWorkspace: boolean;
    readonly errors: ErrorDisplay;
    readonly onChange: ChangedRows;
  }) {
    const { repository } = options;
    this.node = { kind: 'repository', id: repository.key, repository };
    this.#bulkhead = repository.bulkhead;
    this.#errors = options.errors;
    this.#onChange = options.onChange;
    this.#showWorkspace = options.showWorkspace;
    const common = {
      clock: systemClock,
      delayMs: REFRESH_DELAY_MS,
      onError: (error: unknown) => {
        this.#errors.log('Cannot refresh the Sessions view.', error);
      },
    };
    this.#sessions = this.#owned.add(new Coalescer<'sessions'>({ ...common, work: () => this.refreshSessions() }));
    this.#snapshots = this.#owned.add(
      new Coalescer<SessionRef>({ ...common, work: (ref) => this.#refreshSession(ref) }),
    );
    if (this.#bulkhead !== null) {
      this.#owned.add(
        this.#bulkhead.onDidChangeSessions(() => {
          this.#sessions.touch('sessions');
        }),
      );
      this.#owned.add(
        this.#bulkhead.onDidChangeSnapshots((ref) => {
          this.#snapshots.touch(ref);
        }),
      );
      this.#owned.add(
        this.#bulkhead.onDidChangeWaiting(() => {
          this.#updateWaiting();
        }),
      );
    }
  }

  dispose(): void {
    this.#owned.dispose();
  }

  /** Sessions and checkout that are shown, the checkout first. */
  async sessions(): Promise<readonly SessionNode[]> {
    this.#loading ??= this.#load();
    await this.#loading;
    return [...this.#branches.values()].map((branch) => branch.node);
  }

  /** True when there is a session; the checkout does not count. */
  get hasSessions(): boolean {
    return [...this.#branches.keys()].some((ref) => ref !== WORKSPACE);
  }

  async children(): Promise<readonly TreeNode[]> {
    const sessions = await this.sessions();
    const problem = this.node.repository.problem ?? this.#failure;
    if (problem !== null) {
      const reason: ReasonNode = {
        kind: 'reason',
        id: `${this.node.id}/reason`,
        parent: this.node,
        text: problem,
        severity: 'warning',
      };
      return [reason, ...sessions];
    }
    const invite: InviteNode = { kind: 'invite', id: `${this.node.id}/invite`, parent: this.node };
    return sessions.length > 0 && !this.hasSessions ? [...sessions, invite] : sessions;
  }

  branchOf(ref: SessionRef): SessionBranch | undefined {
    return this.#branches.get(ref);
  }

  /** Reads everything again. */
  async refresh(): Promise<void> {
    await this.refreshSessions();
    await mapLimited([...this.#branches.values()], COUNTS_AT_ONCE, async (branch) => {
      await branch.refresh();
    });
    this.#onChange([null, ...this.#nodes()]);
  }

  /** Ages grew. */
  redraw(): void {
    this.#onChange(this.#nodes());
  }

  #nodes(): readonly SessionNode[] {
    return [...this.#branches.values()].map((branch) => branch.node);
  }

  async #load(): Promise<void> {
    if (this.#bulkhead === null) {
      return;
    }
    try {
      const sessions = await this.#list(this.#bulkhead);
      const branches: Branches = new Map();
      for (const session of sessions) {
        const branch = this.#branches.get(session.id) ?? this.#newBranch(this.#bulkhead, session);
        branch.take(session);
        branches.set(session.id, branch);
      }
      this.#branches = branches;
      this.#failure = null;
      this.#updateWaiting();
      void this.#countAll([...branches.values()]);
    } catch (error) {
      this.#errors.log('Cannot list the sessions.', error);
      this.#failure = messageOf(error);
    }
  }

  async #list(bulkhead: Bulkhead): Promise<readonly Session[]> {
    const [workspace, sessions] = await Promise.all([bulkhead.workspace(), bulkhead.sessions()]);
    return this.#showWorkspace || workspace.snapshots > 0 ? [workspace, ...sessions] : sessions;
  }

  #newBranch(bulkhead: Bulkhead, session: Session): SessionBranch {
    return new SessionBranch({ repository: this.node.repository, bulkhead, session, errors: this.#errors });
  }

  /** Counts come after the rows are shown; each draws its row again when it has arrived. */
  async #countAll(branches: readonly SessionBranch[]): Promise<void> {
    await mapLimited(branches, COUNTS_AT_ONCE, async (branch) => {
      if (await branch.count()) {
        this.#onChange([branch.node]);
      }
    });
  }

  /** Reads the list of sessions again. */
  async refreshSessions(): Promise<void> {
    const before = [...this.#branches.keys()].join();
    const old = new Map([...this.#branches].map(([ref, branch]) => [ref, JSON.stringify(branch.node.session)]));
    this.#loading = this.#load();
    await this.#loading;
    if (before !== [...this.#branches.keys()].join() || this.#failure !== null) {
      this.#onChange([null]);
      return;
    }
    const changed = [...this.#branches].filter(([ref, branch]) => old.get(ref) !== JSON.stringify(branch.node.session));
    this.#onChange(changed.map(([, branch]) => branch.node));
  }

  async #refreshSession(ref: SessionRef): Promise<void> {
    const branch = this.#branches.get(ref);
    if (branch === undefined || this.#bulkhead === null) {
      await this.refreshSessions();
      return;
    }
    branch.take(await this.#bulkhead.session(ref));
    await Promise.all([branch.refresh(), branch.count()]);
    this.#onChange([branch.node]);
  }

  #updateWaiting(): void {
    const holders = new Map(this.#bulkhead?.waiting().map((entry) => [entry.session, entry.holder]));
    const changed = [...this.#branches.values()].filter((branch) =>
      branch.setWaiting(holders.get(branch.node.session.id) ?? null),
    );
    this.#onChange(changed.map((branch) => branch.node));
  }
}
