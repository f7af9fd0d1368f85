import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock } from '../../src/base/clock';
import type { Log } from '../../src/base/log';
import { formatIntent, type Intent } from '../../src/core/intent';
import { loosePath } from '../../src/core/looseObject';
import { type RepoPath, repoPathFromText } from '../../src/core/repoPath';
import type { CheckpointResult, RestoreResult, Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { createHost, type EngineSettings } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';
import { locate } from '../support/bytePath';
import { cleanEnvironment, newHome } from '../support/environment';
import { git } from '../support/git';
import { repo, type RepoBuilder } from '../support/repo';
import { storeOf, treeOf } from '../support/snapshotTree';
import { temporaryFolder } from '../support/temporary';

/** A person's repository with a storage, and the engine on top of it in this process. */
export class EngineWorld {
  readonly folder = temporaryFolder('engine');
  readonly home = newHome();
  readonly environment: NodeJS.ProcessEnv = cleanEnvironment(this.home.env);
  readonly repo: RepoBuilder;
  readonly storage: string;
  /** What the engine wrote into its log, at warning and above. */
  readonly warnings: string[] = [];
  readonly #open: Bulkhead[] = [];

  /** `source` makes the repository; by default it has two files and one commit. */
  constructor(source?: (folder: string) => RepoBuilder) {
    this.repo =
      source?.(join(this.folder, 'user repo')) ??
      repo(join(this.folder, 'user repo'))
        .file('a.txt', 'one\ntwo\nthree\n')
        .file('src/b.ts', 'export const b = 1;\n')
        .commit('first');
    this.storage = join(this.folder, 'storage');
  }

  get store(): string {
    return storeOf(this.storage);
  }

  /** Another window on the same storage. */
  async open(
    settings: Partial<EngineSettings> = {},
    repository: string = this.repo.dir,
    clock?: Clock,
  ): Promise<Bulkhead> {
    const log: Log = {
      debug: () => undefined,
      info: () => undefined,
      warn: (message) => this.warnings.push(message),
      error: (message) => this.warnings.push(`error: ${message}`),
    };
    const host = await createHost({
      log,
      product: 'test',
      settings,
      environment: this.environment,
      ...(clock === undefined ? {} : { clock }),
    });
    const bulkhead = await openBulkhead(host, { repository, storage: this.storage, create: true });
    this.#open.push(bulkhead);
    return bulkhead;
  }

  /** Ends every window and says so when one leaves a process behind. */
  async close(): Promise<void> {
    for (const bulkhead of this.#open.splice(0)) {
      await bulkhead.shutdown();
      assert.deepEqual(bulkhead.pids, [], 'a window left git processes behind');
    }
  }
}

export function cloneOf(session: Session): string {
  return session.path ?? assert.fail(`${session.name} has no clone`);
}

export function pathOf(text: string): RepoPath {
  return repoPathFromText(text) ?? assert.fail(`${text} is no path`);
}

export function write(folder: string, path: string, content: string | Buffer): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
}

export function read(folder: string, path: string): string {
  return readFileSync(join(folder, path), 'utf8');
}

export async function checkpoint(bulkhead: Bulkhead, session: Session, ...paths: string[]): Promise<CheckpointResult> {
  return bulkhead.checkpoint({
    session: session.id,
    trigger: 'manual',
    agent: 'codex',
    ...(paths.length === 0 ? {} : { paths: paths.map(pathOf) }),
  });
}

/** Makes a snapshot of everything and gives its oid; fails when nothing had changed. */
export async function snapshotOf(bulkhead: Bulkhead, session: Session, ...paths: string[]): Promise<string> {
  const { snapshot } = await checkpoint(bulkhead, session, ...paths);
  return snapshot ?? assert.fail('nothing had changed');
}

export function restoreAll(bulkhead: Bulkhead, session: Session, target: string): Promise<RestoreResult> {
  return bulkhead.restore({ session: session.id, target, consent: 'all', agent: 'user' });
}

/** Path (relative) and content of everything below a folder, links by their target; `skip` leaves a whole folder out. */
export function contents(folder: string, skip: (path: string) => boolean = () => false): Record<string, string> {
  const found: Record<string, string> = {};
  // Names as binary strings: not all of them are UTF-8.
  const walk = (path: string): void => {
    const names = readdirSync(locate(folder, Buffer.from(path, 'latin1')), { encoding: 'buffer' });
    for (const name of names.map((bytes) => bytes.toString('latin1')).sort()) {
      const child = path === '' ? name : `${path}/${name}`;
      if (skip(child)) {
        continue;
      }
      const full = locate(folder, Buffer.from(child, 'latin1'));
      const stats = lstatSync(full);
      if (stats.isDirectory()) {
        walk(child);
      } else if (stats.isSymbolicLink()) {
        found[child] = `link ${readlinkSync(full)}`;
      } else {
        found[child] =
          `${(stats.mode & 0o111) === 0 ? 'file' : 'program'} ${createHash('sha256').update(readFileSync(full)).digest('hex')}`;
      }
    }
  };
  walk('');
  return found;
}

/** Everything that the user would see or miss in her repository: work tree and `.git`, byte for byte. */
export function userState(folder: string): Record<string, string> {
  return contents(folder);
}

/** The work tree without `.git`. */
export function filesIn(folder: string): Record<string, string> {
  return contents(folder, (path) => path === '.git');
}

/** Inode numbers of the regular files below a folder, with one name of each. */
export function inodes(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (at: Buffer): void => {
    for (const entry of readdirSync(at, { withFileTypes: true, encoding: 'buffer' })) {
      const full = Buffer.concat([at, Buffer.from('/'), entry.name]);
      if (entry.isDirectory()) {
        walk(full);
      } else if (entry.isFile()) {
        const { dev, ino } = lstatSync(full, { bigint: true });
        found.set(`${String(dev)}:${String(ino)}`, full.toString());
      }
    }
  };
  if (existsSync(folder)) {
    walk(Buffer.from(folder));
  }
  return found;
}

/** Files that two folders share on the disk. */
export function sharedFiles(a: string, b: string): string[] {
  const first = inodes(a);
  return [...inodes(b)]
    .filter(([inode]) => first.has(inode))
    .map(([inode, path]) => `${first.get(inode) ?? ''} = ${path}`);
}

/** Takes a loose object away, as a failing disk does. */
export function loseObject(gitDir: string, oid: string): void {
  rmSync(join(gitDir, 'objects', loosePath(oid)));
}

/**
 * Leaves a restore as a process does that is killed after its safety snapshot, before the first file.
 * @param snapshots.undo the safety snapshot, which is the present state
 */
export function leaveRestore(
  world: EngineWorld,
  session: Session,
  { undo, to }: { readonly undo: string; readonly to: string },
): void {
  const intent: Intent = {
    kind: 'restore',
    from: treeOf(world.store, undo),
    to: treeOf(world.store, to),
    undo,
    subject: 'Restore to Start',
    agent: 'user',
    reverses: null,
  };
  writeFileSync(join(world.storage, 'journal', `${session.id}.json`), formatIntent(session.id, intent, null));
}

export function fsck(store: string): void {
  git(['fsck', '--full', '--strict', '--no-dangling'], store);
}
