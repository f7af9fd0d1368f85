import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BulkheadError } from '../base/errors';
import { hashObject, type Oid } from '../core/objectId';
import { formatConfig } from '../git/configFile';
import { holdsOwnObjects, isPlainGitFolder } from '../git/headFile';
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
  const creating = join(dirname(store.gitDir), 'creating');
  const view = join(creating, await ownedName('view'));
  try {
    await makeFolder(join(view, 'objects', 'info'));
    await makeFolder(join(view, 'refs'));
    await writeFileAtomic(join(view, 'config'), viewConfig(store));
    await writeFileAtomic(join(view, 'objects', 'info', 'alternates'), `${alternate(join(clone.gitDir, 'objects'))}\n`);
    const lines = [...refs.branches].map(([name, oid]) => `${oid} refs/heads/${name}\n`);
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
  } finally {
    await rm(view, { recursive: true, force: true });
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

function viewConfig(store: SnapshotStore): string {
  return formatConfig([
    {
      section: 'core',
      entries: [
        ['repositoryformatversion', store.format === 'sha1' ? '0' : '1'],
        ['bare', 'true'],
      ],
    },
    ...(store.format === 'sha256' ? [{ section: 'extensions', entries: [['objectFormat', 'sha256'] as const] }] : []),
  ]);
}

/** A name in the list of alternates: a line, in C quotes when it would be misread. */
function alternate(path: string): string {
  return /[\n"#]/.test(path)
    ? `"${path.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
    : path;
}
