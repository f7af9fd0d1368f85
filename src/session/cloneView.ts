import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BulkheadError } from '../base/errors';
import { hashObject, type Oid } from '../core/objectId';
import { formatConfig } from '../git/configFile';
import { holdsOwnObjects, isPlainGitFolder, readTables } from '../git/headFile';
import { makeFolder, readTextIfThere, writeFileAtomic } from './files';
import type { Host } from './host';
import { ownedName } from './ownedNames';
import type { SnapshotStore } from './snapshotStore';

/** What is looked at of an agent's repository. */
export interface CloneRefs {
  /** Null: HEAD is not asked for. */
  readonly head: Oid | null;
  readonly branches: ReadonlyMap<string, Oid>;
}

/**
 * Lends git the objects of an agent's repository without its git directory: a bare one of ours for the time of `work`, with our
 * configuration, the refs that we read ourselves, and the objects borrowed. So the configuration, hooks, replaced objects,
 * grafts and the list of shallow commits of an agent are never read, and a partial clone has nobody to ask.
 * @throws BulkheadError `clone-unreadable` (kind `refused`) when its `.git` is not a plain repository of its own, before or after
 */
export async function withCloneView<T>(
  host: Host,
  store: SnapshotStore,
  clone: { readonly session: string; readonly gitDir: string },
  refs: CloneRefs,
  work: (view: string) => Promise<T>,
): Promise<T> {
  requirePlain(clone);
  const lines = [...refs.branches].map(([name, oid]) => `${oid} refs/heads/${name}\n`);
  return withFolder(store, viewConfig(store), async (view) => {
    await writeFileAtomic(join(view, 'objects', 'info', 'alternates'), `${alternate(join(clone.gitDir, 'objects'))}\n`);
    await writeFileAtomic(join(view, 'packed-refs'), lines.join(''));
    await writeFileAtomic(join(view, 'HEAD'), `${refs.head ?? 'ref: refs/heads/.invalid'}\n`);
    // Where the user's own history ends, so does the clone's; what the agent says of it does not count.
    const shallow = await readTextIfThere(join(store.gitDir, 'shallow'));
    if (shallow !== undefined) {
      await writeFileAtomic(join(view, 'shallow'), shallow);
    }
    const result = await work(view);
    // It may have been swapped meanwhile.
    requirePlain(clone);
    return result;
  });
}

/**
 * Lends git the refs of an agent's repository that keeps them in tables: copies of the tables in a bare directory of ours, for
 * the time of `work`. It takes no more than a folder of a certain name to look like one, and beside it may lie a configuration
 * that git would follow anywhere, or wait for.
 * @throws BulkheadError `clone-unreadable` (kind `refused`) when they are not as git leaves them, or this git is too old for them
 */
export async function withTableView<T>(
  host: Host,
  store: SnapshotStore,
  clone: { readonly session: string; readonly gitDir: string },
  work: (view: string) => Promise<T>,
): Promise<T> {
  const tables = host.git.can('tables') ? readTables(clone.gitDir) : undefined;
  if (tables === undefined) {
    throw new BulkheadError(
      'refused',
      'clone-unreadable',
      `The branches of its clone are kept in tables, which git ${host.git.version.text} cannot read.`,
      { data: { session: clone.session } },
    );
  }
  return withFolder(store, viewConfig(store, ['refStorage', 'reftable']), async (view) => {
    await makeFolder(join(view, 'reftable'));
    for (const [name, bytes] of tables) {
      await writeFileAtomic(join(view, 'reftable', name), bytes);
    }
    await writeFileAtomic(join(view, 'HEAD'), 'ref: refs/heads/.invalid\n');
    return work(view);
  });
}

/** A bare git directory of ours for the time of `work`. */
async function withFolder<T>(store: SnapshotStore, config: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = join(dirname(store.gitDir), 'creating', await ownedName('view'));
  try {
    await makeFolder(join(folder, 'objects', 'info'));
    await makeFolder(join(folder, 'refs'));
    await writeFileAtomic(join(folder, 'config'), config);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether the clone really holds the commit: its name alone may be one of somebody else's that the agent came to know. */
export async function holdsCommit(host: Host, store: SnapshotStore, view: string, commit: Oid): Promise<boolean> {
  const answer = await host.git.run([`--git-dir=${view}`, 'cat-file', 'commit', commit], { expect: [0, 1, 128] });
  // An index of packs can be forged so that another object is found under this name.
  return answer.code === 0 && hashObject(store.format, 'commit', answer.stdout) === commit;
}

function requirePlain({ session, gitDir }: { readonly session: string; readonly gitDir: string }): void {
  if (!isPlainGitFolder(gitDir) || !holdsOwnObjects(join(gitDir, 'objects'))) {
    throw new BulkheadError(
      'refused',
      'clone-unreadable',
      'The commits of its clone cannot be read: its .git is gone, or is not a plain repository of its own.',
      { data: { session } },
    );
  }
}

function viewConfig(store: SnapshotStore, ...more: readonly (readonly [string, string])[]): string {
  const extensions = [...(store.format === 'sha256' ? [['objectFormat', 'sha256'] as const] : []), ...more];
  return formatConfig([
    {
      section: 'core',
      entries: [
        ['repositoryformatversion', extensions.length === 0 ? '0' : '1'],
        ['bare', 'true'],
      ],
    },
    ...(extensions.length === 0 ? [] : [{ section: 'extensions', entries: extensions }]),
  ]);
}

/** A name in the list of alternates: a line, in C quotes when it would be misread. */
function alternate(path: string): string {
  return /[\n"#]/.test(path)
    ? `"${path.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
    : path;
}
