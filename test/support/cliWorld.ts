import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { newHome } from './environment';
import { repo, type RepoBuilder } from './repo';
import { cliJson, type CliOptions, type CliRun, runCli } from './runCli';
import { temporaryFolder } from './temporary';

type Options = Partial<CliOptions>;

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

  constructor() {
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
    return runCli(args, this.#complete(options));
  }

  /** With `--json`; fails unless it ends with `exit` (default 0). */
  json<T>(args: readonly string[], options: Options & { readonly exit?: number } = {}): Promise<T> {
    return cliJson<T>(args, {
      ...this.#complete(options),
      ...(options.exit === undefined ? {} : { exit: options.exit }),
    });
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

  #complete(options: Options): CliOptions {
    return { cwd: this.repo.dir, ...options, env: { ...this.env, ...options.env } };
  }
}
