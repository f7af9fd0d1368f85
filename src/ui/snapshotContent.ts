import * as vscode from 'vscode';
import { BulkheadError, messageOf } from '../base/errors';
import type { Oid } from '../core/objectId';
import type { RepoPath } from '../core/repoPath';
import type { Bulkhead } from '../session/bulkhead';
import type { Repositories } from './repositories';
import { formatSnapshotUri, parseSnapshotUri } from './snapshotUri';

/** The URI of a file or folder in a tree of a snapshot store; a null tree means an empty file. */
export function snapshotUri(storage: string, tree: Oid | null, path: RepoPath | ''): vscode.Uri {
  return vscode.Uri.from(formatSnapshotUri({ storage, tree, path }));
}

type Place =
  | { readonly kind: 'empty' }
  | { readonly kind: 'folder'; readonly bulkhead: Bulkhead; readonly tree: Oid; readonly path: RepoPath | '' }
  | { readonly kind: 'file' | 'link'; readonly bulkhead: Bulkhead; readonly oid: Oid }
  | { readonly kind: 'submodule'; readonly commit: Oid };

/** Read-only files out of snapshots. What a URI names never changes, so nothing is watched. */
export class SnapshotContent implements vscode.FileSystemProvider {
  readonly #repositories: Repositories;
  readonly #changed = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
  readonly onDidChangeFile = this.#changed.event;

  constructor(repositories: Repositories) {
    this.#repositories = repositories;
  }

  watch(): vscode.Disposable {
    return new vscode.Disposable(() => undefined);
  }

  async stat(uri: vscode.Uri): Promise<vscode.FileStat> {
    const place = await this.#place(uri);
    const common = { ctime: 0, mtime: 0, permissions: vscode.FilePermission.Readonly };
    switch (place.kind) {
      case 'empty':
        return { ...common, type: vscode.FileType.File, size: 0 };
      case 'folder':
        return { ...common, type: vscode.FileType.Directory, size: 0 };
      case 'file':
      case 'link':
        return { ...common, type: vscode.FileType.File, size: await place.bulkhead.blobSize(place.oid) };
      case 'submodule':
        return { ...common, type: vscode.FileType.File, size: submoduleText(place.commit).length };
    }
  }

  async readFile(uri: vscode.Uri): Promise<Uint8Array> {
    const place = await this.#place(uri);
    switch (place.kind) {
      case 'empty':
        return new Uint8Array();
      case 'folder':
        throw vscode.FileSystemError.FileIsADirectory(uri);
      // Of a symbolic link the content is its target, as in git.
      case 'file':
      case 'link':
        return place.bulkhead.blob(place.oid);
      case 'submodule':
        return submoduleText(place.commit);
    }
  }

  async readDirectory(uri: vscode.Uri): Promise<[string, vscode.FileType][]> {
    const place = await this.#place(uri);
    if (place.kind !== 'folder') {
      throw vscode.FileSystemError.FileNotADirectory(uri);
    }
    const entries = await place.bulkhead.children(place.tree, place.path);
    return entries.map((entry) => [
      Buffer.from(entry.name, 'latin1').toString('utf8'),
      entry.mode === '40000' || entry.mode === '040000' ? vscode.FileType.Directory : vscode.FileType.File,
    ]);
  }

  createDirectory(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  writeFile(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  delete(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  rename(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  /** An editor that was open before a reload asks before the repositories are open. */
  async #place(uri: vscode.Uri): Promise<Place> {
    const location = parseSnapshotUri(uri);
    if (location === undefined) {
      throw vscode.FileSystemError.FileNotFound(uri);
    }
    if (location.tree === null) {
      return { kind: 'empty' };
    }
    await this.#repositories.ready();
    const bulkhead = this.#repositories.byKey(location.storage)?.bulkhead;
    if (bulkhead === null || bulkhead === undefined) {
      throw vscode.FileSystemError.Unavailable(
        vscode.l10n.t('The repository of this snapshot is not open in this window.'),
      );
    }
    if (location.path === '') {
      return { kind: 'folder', bulkhead, tree: location.tree, path: '' };
    }
    const entry = await entryOf(bulkhead, location.tree, location.path, uri);
    switch (entry.mode) {
      case '40000':
      case '040000':
        return { kind: 'folder', bulkhead, tree: location.tree, path: location.path };
      case '120000':
        return { kind: 'link', bulkhead, oid: entry.oid };
      case '160000':
        return { kind: 'submodule', commit: entry.oid };
      default:
        return { kind: 'file', bulkhead, oid: entry.oid };
    }
  }
}

async function entryOf(
  bulkhead: Bulkhead,
  tree: Oid,
  path: RepoPath,
  uri: vscode.Uri,
): Promise<{ readonly mode: string; readonly oid: Oid }> {
  let entry;
  try {
    entry = await bulkhead.entry(tree, path);
  } catch (error) {
    if (!(error instanceof BulkheadError && error.kind === 'notFound')) {
      throw vscode.FileSystemError.Unavailable(messageOf(error));
    }
  }
  if (entry === undefined) {
    throw vscode.FileSystemError.FileNotFound(uri);
  }
  return entry;
}

function submoduleText(commit: Oid): Buffer {
  return Buffer.from(`Subproject commit ${commit}\n`, 'utf8');
}
