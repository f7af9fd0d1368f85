import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { callCli } from './callCli';
import { newHome } from './environment';
import { repo, type RepoBuilder } from './repo';
import { type CliOptions, type CliRun, documentOf, runCli, withJson } from './runCli';
import { temporaryFolder } from './temporary';

interface Options extends Partial<CliOptions> {
  /** Runs the built command line in a process of its own instead of calling it in this one. */
  readonly process?: boolean;
}

export interface SessionDocument {
  readonly id: string;
  readonly name: string;
  readonly path: string;
  readonly state: string;
  readonly base: { readonly commit: string | null; readonly tree: string };
  readonly shadowRef: string;
  readonly branch: string | null;
  readonly snapshots: number;
  readonly newest: string;
  readonly created: string;
}

export interface CheckpointDocument {
  readonly session: string;
  readonly snapshot: string | null;
  readonly newest: string;
  readonly tree: string;
  readonly changed: readonly { readonly path: string; readonly pathBase64?: string; readonly status: string }[];
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

export interface SnapshotDocument {
  readonly oid: string;
  readonly session: string;
  readonly time: string;
  readonly trigger: string;
  readonly agent: string;
  readonly turn: string | null;
  readonly subject: string;
  readonly files: number;
  readonly added: number;
  readonly deleted: number;
}

export interface PlanDocument {
  readonly write: readonly string[];
  readonly delete: readonly string[];
  readonly keep: readonly { readonly path: string; readonly reason: string }[];
  readonly contested: readonly { readonly path: string; readonly agent: string; readonly snapshot: string | null }[];
  readonly risky: readonly { readonly path: string; readonly category: string }[];
}

export interface RestoreDocument {
  readonly plan: PlanDocument;
  readonly snapshot: string | null;
  readonly undo: string | null;
}

export interface ErrorDocument {
  readonly error: { readonly code: string; readonly message: string; readonly data: Readonly<Record<string, unknown>> };
}

/** A person with a home, a repository with one commit, and the command line. */
export class CliWorld {
  readonly folder = temporaryFolder('world');
  readonly repo: RepoBuilder;
  readonly env: NodeJS.ProcessEnv;
  readonly home: string;
  readonly #process: boolean;

  /** @param options.process what runs are unless they say otherwise */
  constructor({ process = false }: Pick<Options, 'process'> = {}) {
    this.#process = process;
    const { home, env } = newHome();
    this.home = home;
    this.env = env;
    this.repo = repo(join(this.folder, 'my repo'))
      .file('a.txt', 'one\ntwo\nthree\n')
      .file('src/b.ts', 'export const b = 1;\n')
      .commit('first');
  }

  /** An empty folder beside the repository. */
  emptyFolder(name: string): string {
    const path = join(this.folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Runs in the repository unless told otherwise. */
  run(args: readonly string[], options: Options = {}): Promise<CliRun> {
    const complete = { cwd: this.repo.dir, ...options, env: { ...this.env, ...options.env } };
    const isProcess = options.process ?? (options.onStart !== undefined || this.#process);
    return isProcess ? runCli(args, complete) : callCli(args, complete);
  }

  /** With `--json`; fails unless it ends with `exit` (default 0). */
  async json<T>(args: readonly string[], options: Options & { readonly exit?: number } = {}): Promise<T> {
    return documentOf(await this.run(withJson(args), options), options.exit) as T;
  }

  /** The error of a run that has to end with `exit`. */
  async failure(exit: number, args: readonly string[], options: Options = {}): Promise<ErrorDocument['error']> {
    const document = await this.json<ErrorDocument>(args, { ...options, exit });
    return document.error;
  }

  newSession(...args: string[]): Promise<SessionDocument> {
    return this.json<SessionDocument>(['session', 'new', ...args]);
  }

  checkpoint(cwd: string, ...args: string[]): Promise<CheckpointDocument> {
    return this.json<CheckpointDocument>(['checkpoint', ...args], { cwd });
  }

  snapshots(cwd: string, ...args: string[]): Promise<readonly SnapshotDocument[]> {
    return this.json<readonly SnapshotDocument[]>(['snapshots', ...args], { cwd });
  }
}
