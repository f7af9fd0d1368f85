import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import type { Session, SessionRef, Snapshot } from '../../../src/session/api';
import type { Bulkhead } from '../../../src/session/bulkhead';
import type { Repository } from '../../../src/ui/repository';
import type { TestApi } from '../../../src/ui/testApi';
import type { TreeNode } from '../../../src/ui/treeNodes';

export interface Harbour {
  readonly api: TestApi;
  readonly repository: Repository;
  readonly bulkhead: Bulkhead;
}

/** The extension, active, with the repository of the window open. */
export async function harbour(): Promise<Harbour> {
  const extension = vscode.extensions.getExtension<TestApi>('bulkhead.bulkhead');
  assert.ok(extension, 'the extension is not known to the host');
  const api = await extension.activate();
  await api.repositories.ready();
  await api.captures.flush();
  const [repository] = api.repositories.all;
  assert.ok(repository?.bulkhead, `no repository is open: ${api.repositories.state} ${api.repositories.reason ?? ''}`);
  return { api, repository, bulkhead: repository.bulkhead };
}

/** A session with its clone, for one test. */
export async function makeSession(
  { api, bulkhead }: Harbour,
  name: string,
): Promise<Session & { readonly path: string }> {
  const session = await bulkhead.createSession({ name, from: { kind: 'head' } });
  const { path: folder } = session;
  assert.ok(folder !== null, 'the session has no clone');
  await api.captures.flush();
  return { ...session, path: folder };
}

export async function removeAllSessions({ bulkhead }: Harbour): Promise<void> {
  for (const session of await bulkhead.sessions()) await bulkhead.removeSession(session.id, { force: true });
}

/** The first snapshot of a session that `isWanted` and that comes of `action`. */
export async function snapshotAfter(
  bulkhead: Bulkhead,
  ref: SessionRef,
  action: () => Promise<unknown>,
  isWanted: (snapshot: Snapshot) => boolean = () => true,
): Promise<Snapshot> {
  const known = new Set((await bulkhead.snapshots({ session: ref })).map((snapshot) => snapshot.oid));
  return happened(
    `a snapshot of ${ref}`,
    (look) => bulkhead.onDidChangeSnapshots(look),
    action,
    async () =>
      (await bulkhead.snapshots({ session: ref })).find((snapshot) => !known.has(snapshot.oid) && isWanted(snapshot)),
  );
}

/** Acts, and looks after each event until there is something to see. */
export async function happened<T>(
  what: string,
  subscribe: (look: () => void) => { dispose(): void },
  action: () => Promise<unknown>,
  look: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const seen = Promise.withResolvers<T>();
  const tryLook = async (): Promise<void> => {
    const value = await look();
    if (value !== undefined) seen.resolve(value);
  };
  const subscription = subscribe(() => {
    tryLook().catch(seen.reject);
  });
  const limit = setTimeout(() => {
    seen.reject(new Error(`${what} never came`));
  }, 15_000);
  try {
    await action();
    await tryLook();
    return await seen.promise;
  } finally {
    clearTimeout(limit);
    subscription.dispose();
  }
}

/** The Sessions view as text: label, description and kind of each row; ages and counts of lines are left out. */
export async function treeText({ api }: Harbour, unfolded: (node: TreeNode) => boolean = () => true): Promise<string> {
  const lines: string[] = [];
  const add = async (node: TreeNode | undefined, depth: number): Promise<void> => {
    for (const child of await api.tree.getChildren(node)) {
      const item = api.tree.getTreeItem(child);
      const label = typeof item.label === 'string' ? item.label : (item.label?.label ?? '');
      const description = typeof item.description === 'string' ? ` [${stable(item.description)}]` : '';
      lines.push(`${'  '.repeat(depth)}${label}${description} (${item.contextValue ?? ''})`);
      if (unfolded(child)) await add(child, depth + 1);
    }
  };
  await add(undefined, 0);
  return lines.join('\n');
}

function stable(description: string): string {
  return description
    .split(' · ')
    .filter((part) => !/^(now|\d+ (min|h|d)|[+−].*)$/.test(part))
    .join(' · ');
}

export function write(folder: string, name: string, content: string | Buffer): void {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
}
