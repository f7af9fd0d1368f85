import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as vscode from 'vscode';
import { BulkheadError, messageOf } from '../base/errors';
import { DisposableStore } from '../base/disposable';
import { Emitter } from '../base/event';
import type { SessionRef } from '../session/api';
import { WORKSPACE } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import { createHost, type Host } from '../session/host';
import { locate, type Located } from '../session/locate';
import { openBulkhead } from '../session/openBulkhead';
import type { SetState } from './contextKeys';
import type { LogChannel } from './logChannel';
import { tellRecoveries } from './recoveryNotice';
import type { OpenFolder, Repository } from './repository';
import { readSettings } from './settings';
import { storageKey } from './storageKey';

interface Found {
  readonly located: Located;
  readonly folders: OpenFolder[];
  readonly own: Set<SessionRef>;
}

/** The repositories among this window's folders, each with its engine. Folders and settings may change: then all is opened anew. */
export class Repositories {
  readonly #log: LogChannel;
  readonly #defaultStorage: string;
  readonly #changed: Emitter<void>;
  #host: Host | undefined;
  /** Keeps the engines following what other processes do. */
  #watching = new DisposableStore();
  #all: readonly Repository[] = [];
  #state: SetState = 'loading';
  #reason: string | null = null;
  #opening: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: {
    readonly log: LogChannel;
    readonly storageUri: vscode.Uri | undefined;
    readonly globalStorageUri: vscode.Uri;
  }) {
    this.#log = options.log;
    this.#defaultStorage = options.storageUri?.fsPath ?? join(options.globalStorageUri.fsPath, 'workspaces');
    this.#changed = new Emitter((error) => {
      options.log.error(`A listener failed: ${messageOf(error)}`);
    });
  }

  get onDidChange(): Emitter<void>['event'] {
    return this.#changed.event;
  }

  get all(): readonly Repository[] {
    return this.#all;
  }

  get state(): SetState {
    return this.#state;
  }

  /** Why nothing can be shown, for people. */
  get reason(): string | null {
    return this.#reason;
  }

  /** @throws BulkheadError `no-host` while git cannot be used */
  get host(): Host {
    if (this.#host === undefined) {
      throw new BulkheadError('user', 'no-host', this.#reason ?? vscode.l10n.t('Git cannot be used.'));
    }
    return this.#host;
  }

  byKey(key: string): Repository | undefined {
    return this.#all.find((repository) => repository.key === key);
  }

  /** Resolves when what is being opened now is open. */
  ready(): Promise<void> {
    return this.#opening;
  }

  /** Opens all anew, one after the other with calls before. Never rejects: what failed is in `state`, `reason` and `problem`. */
  open(): Promise<void> {
    this.#opening = this.#opening.then(() => this.#openAll());
    return this.#opening;
  }

  /** The engine of a repository, made when there is none yet. */
  async ensure(repository: Repository): Promise<Bulkhead> {
    const current =
      this.byKey(repository.key) ?? this.#all.find((candidate) => candidate.root === repository.root) ?? repository;
    if (current.bulkhead !== null) {
      return current.bulkhead;
    }
    if (this.#host === undefined) {
      throw new BulkheadError('bug', 'no-host', 'The repository was not opened.');
    }
    const bulkhead = await openBulkhead(this.#host, {
      repository: current.root,
      storage: null,
      defaultStorage: this.#defaultStorage,
      create: true,
    });
    await this.#begin(bulkhead);
    const opened: Repository = { ...current, key: storageKey(bulkhead.info.storage), bulkhead, problem: null };
    this.#all = this.#all.map((candidate) => (candidate === current ? opened : candidate));
    this.#changed.fire();
    return bulkhead;
  }

  async shutdown(): Promise<void> {
    this.#closed = true;
    await this.#opening;
    await this.#closeAll();
    this.#changed.dispose();
  }

  async #openAll(): Promise<void> {
    await this.#closeAll();
    if (this.#closed) {
      return;
    }
    const folders = (vscode.workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === 'file');
    if (folders.length === 0) {
      this.#become('noFolder', null, []);
      return;
    }
    const settings = readSettings();
    try {
      this.#host = await createHost({
        gitPath: settings.gitPath,
        forbiddenGitRoots: folders.map((folder) => folder.uri.fsPath),
        log: this.#log,
        settings: settings.engine,
        product: 'vscode',
      });
    } catch (error) {
      this.#host = undefined;
      const code = error instanceof BulkheadError ? error.code : '';
      this.#log.error(`Cannot use git: ${messageOf(error)}`);
      this.#become(
        code === 'git-not-found' ? 'noGit' : code === 'git-too-old' ? 'gitTooOld' : 'failed',
        messageOf(error),
        [],
      );
      return;
    }
    const { found, refusal } = await this.#locateAll(this.#host, folders);
    const host = this.#host;
    const all = await Promise.all(found.map((entry) => this.#openOne(host, entry)));
    if (all.length > 0) {
      this.#become('ready', null, all);
    } else {
      this.#become(refusal === null ? 'noRepository' : 'failed', refusal, []);
    }
  }

  /** Folders of one repository come together: its checkout, and clones of its sessions. */
  async #locateAll(
    host: Host,
    folders: readonly vscode.WorkspaceFolder[],
  ): Promise<{ readonly found: readonly Found[]; readonly refusal: string | null }> {
    const found = new Map<string, Found>();
    let refusal: string | null = null;
    for (const folder of folders) {
      try {
        const located = await locate(host, folder.uri.fsPath);
        const id = located.storage ?? located.repository;
        const entry = found.get(id) ?? { located, folders: [], own: new Set() };
        entry.folders.push({ shown: folder.uri.fsPath, real: await realpath(folder.uri.fsPath) });
        entry.own.add(located.kind === 'clone' ? located.session : WORKSPACE);
        found.set(id, entry);
      } catch (error) {
        this.#log.info(`${folder.uri.fsPath}: ${messageOf(error)}`);
        if (!(error instanceof BulkheadError && error.code === 'not-a-repository')) {
          refusal ??= messageOf(error);
        }
      }
    }
    return { found: [...found.values()], refusal };
  }

  async #openOne(host: Host, { located, folders, own }: Found): Promise<Repository> {
    const root = located.repository;
    const started = host.clock.now();
    const common = { name: basename(root), root, own, folders };
    try {
      const bulkhead = await openBulkhead(host, {
        repository: located.kind === 'repository' ? located.opened : root,
        storage: located.storage,
        defaultStorage: this.#defaultStorage,
        create: this.#mayCreate(host, own),
      });
      await this.#begin(bulkhead);
      this.#log.info(`Opened ${root} after ${host.clock.now() - started} ms, storage ${bulkhead.info.storage}`);
      return { ...common, key: storageKey(bulkhead.info.storage), bulkhead, problem: null };
    } catch (error) {
      const absent = error instanceof BulkheadError && error.code === 'no-storage';
      if (!absent) {
        this.#log.error(`Cannot open the snapshots of ${root}: ${messageOf(error)}`);
      }
      return { ...common, key: storageKey(root), bulkhead: null, problem: absent ? null : messageOf(error) };
    }
  }

  /** Before anything is recorded: half of a restore must not be taken for somebody's writes. */
  async #begin(bulkhead: Bulkhead): Promise<void> {
    this.#watching.add(
      tellRecoveries(bulkhead, () => {
        this.#log.show();
      }),
    );
    if (vscode.workspace.isTrusted) {
      await bulkhead.recover({ sweep: true });
    }
    this.#watching.add(bulkhead.watch());
  }

  /** A timeline of the checkout needs a place to be; without it, or without trust, nothing is made before she asks for it. */
  #mayCreate(host: Host, own: ReadonlySet<SessionRef>): boolean {
    return vscode.workspace.isTrusted && host.settings.captureWorkspace && own.has(WORKSPACE);
  }

  async #closeAll(): Promise<void> {
    this.#watching.dispose();
    this.#watching = new DisposableStore();
    const open = this.#all;
    this.#all = [];
    if (open.length > 0) {
      this.#changed.fire();
    }
    for (const { bulkhead, root } of open) {
      try {
        await bulkhead?.shutdown();
      } catch (error) {
        this.#log.error(`Cannot close the snapshots of ${root}: ${messageOf(error)}`);
      }
    }
  }

  #become(state: SetState, reason: string | null, all: readonly Repository[]): void {
    this.#state = state;
    this.#reason = reason;
    this.#all = all;
    this.#changed.fire();
  }
}
