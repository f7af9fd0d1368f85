import assert from 'node:assert/strict';
import { join } from 'node:path';
import { git, gitLine } from './git';

/** The bare repository with all snapshots inside a storage. */
export function storeOf(storage: string): string {
  return join(storage, 'snapshots.git');
}

/** The tree of a commit or snapshot. */
export function treeOf(store: string, revision: string): string {
  return gitLine(['rev-parse', '--verify', `${revision}^{tree}`], store);
}

/** `mode oid` by path, paths as binary strings; asked from git itself. */
export function filesOfTree(store: string, tree: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const line of git(['ls-tree', '-r', '-z', '--full-tree', tree], store).toString('latin1').split('\0')) {
    const match = /^(\d+) \w+ ([0-9a-f]+)\t([^]+)$/.exec(line);
    if (match !== null) {
      const [, mode = '', oid = '', path = ''] = match;
      files.set(path, `${mode} ${oid}`);
    }
  }
  return files;
}

/** The bytes of one file of a snapshot. */
export function contentAt(store: string, revision: string, path: string): Buffer {
  return git(['cat-file', 'blob', `${revision}:${path}`], store);
}

/** Contents by `commit:path`, asked in one go. */
export function contentsAt(store: string, names: readonly string[]): string[] {
  const answer = git(['cat-file', '--batch'], store, { input: names.map((name) => `${name}\n`).join('') });
  let at = 0;
  return names.map((name) => {
    const end = answer.indexOf(10, at);
    const size = Number(
      / blob (\d+)$/.exec(answer.toString('utf8', at, end))?.[1] ?? assert.fail(`${name} is missing`),
    );
    const content = answer.toString('utf8', end + 1, end + 1 + size);
    at = end + 1 + size + 1;
    return content;
  });
}

/** One line per path that differs, for the message of a failed comparison. */
export function treeDifference(expected: ReadonlyMap<string, string>, actual: ReadonlyMap<string, string>): string {
  const paths = [...new Set([...expected.keys(), ...actual.keys()])].sort();
  return paths
    .filter((path) => expected.get(path) !== actual.get(path))
    .map(
      (path) =>
        `${JSON.stringify(path)}: expected ${expected.get(path) ?? 'absent'}, is ${actual.get(path) ?? 'absent'}`,
    )
    .join('\n');
}
