import { displayPath, pathBytes, repoPathFromBytes, repoPathFromText, type RepoPath } from '../core/repoPath';
import { isOid, type Oid } from '../core/objectId';

export const SNAPSHOT_SCHEME = 'bulkhead';

/**
 * One file or folder of a tree in a snapshot store, as the parts of a URI: the storage is the authority, the tree is in
 * the query, so that the path alone, which editors show, is the file's own. A name that is not UTF-8 travels in the query too.
 */
export interface SnapshotLocation {
  /** Names the storage: see `storageKey`. */
  readonly storage: string;
  /** Null for the empty side of a comparison: a file without content. */
  readonly tree: Oid | null;
  /** Empty for the root of the tree. */
  readonly path: RepoPath | '';
}

export interface UriParts {
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly query: string;
}

export function formatSnapshotUri(location: SnapshotLocation): UriParts {
  const query = new URLSearchParams({ tree: location.tree ?? 'empty' });
  let path = '/';
  if (location.path !== '') {
    const text = displayPath(location.path);
    path = `/${text}`;
    if (repoPathFromText(text) !== location.path) {
      query.set('name', pathBytes(location.path).toString('base64url'));
    }
  }
  return { scheme: SNAPSHOT_SCHEME, authority: location.storage, path, query: query.toString() };
}

/** Undefined for a URI that `formatSnapshotUri` did not make. */
export function parseSnapshotUri(uri: UriParts): SnapshotLocation | undefined {
  const query = new URLSearchParams(uri.query);
  const tree = query.get('tree');
  if (uri.scheme !== SNAPSHOT_SCHEME || tree === null || (tree !== 'empty' && !isOid(tree))) {
    return undefined;
  }
  const name = query.get('name');
  const text = uri.path.replace(/^\/+/, '');
  const path =
    name !== null ? repoPathFromBytes(Buffer.from(name, 'base64url')) : text === '' ? '' : repoPathFromText(text);
  return path === undefined ? undefined : { storage: uri.authority, tree: tree === 'empty' ? null : tree, path };
}
