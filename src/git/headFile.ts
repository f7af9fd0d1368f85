import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
} from 'node:fs';
import { join, resolve, sep } from 'node:path';
import { isAbsent } from '../base/errors';
import { isOid, type Oid } from '../core/objectId';

/** Where HEAD points, read from files without starting git. */
export type Head =
  | { readonly kind: 'branch'; readonly branch: string; readonly oid: Oid | null }
  | { readonly kind: 'detached'; readonly oid: Oid }
  /** Not a plain file store (reftable), or something that we do not read. */
  | { readonly kind: 'unknown' };

/** Bytes for names that are not UTF-8. */
type FsPath = string | Buffer;

const MAX_BYTES = 64 * 1024;
const MAX_PACKED_BYTES = 64 * 1024 * 1024;
const TABLE_LIST = 'tables.list';
const TABLE_TRIES = 3;

/** Reads a small file, following no link; undefined when it is absent, a link, a folder, too large, or not ours to read. */
function readSmall(path: FsPath, maxBytes = MAX_BYTES): Buffer | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    // Absent, a link (ELOOP), no permission: nothing that we may read.
    return undefined;
  }
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile() || stats.size > maxBytes) {
      return undefined;
    }
    const bytes = Buffer.allocUnsafe(stats.size);
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, 0));
  } catch {
    // It went away or cannot be read: as if it were not there.
    return undefined;
  } finally {
    closeSync(descriptor);
  }
}

function below(folder: FsPath, name: string): FsPath {
  return typeof folder === 'string' ? join(folder, name) : Buffer.concat([folder, Buffer.from(`/${name}`)]);
}

/** Branches of `packed-refs`; the file is of an agent's making, so anything that does not fit is passed over. */
function readPackedBranches(path: FsPath): Map<string, Oid> {
  const branches = new Map<string, Oid>();
  const text = readSmall(path, MAX_PACKED_BYTES)?.toString('utf8') ?? '';
  for (const line of text.split('\n')) {
    const [, oid = '', branch] = /^([0-9a-f]+) refs\/heads\/(.+)$/.exec(line) ?? [];
    if (branch !== undefined && isOid(oid)) {
      branches.set(branch, oid);
    }
  }
  return branches;
}

function readPacked(path: FsPath, ref: string): Oid | undefined {
  const bytes = readSmall(path, MAX_PACKED_BYTES);
  const at = bytes?.indexOf(` ${ref}\n`) ?? -1;
  if (bytes === undefined || at === -1) {
    return undefined;
  }
  const oid = bytes.toString('latin1', bytes.lastIndexOf(10, at) + 1, at);
  return isOid(oid) ? oid : undefined;
}

/**
 * Reads HEAD of a repository from its files, following no link. `commonDir` differs from `gitDir` for linked work trees.
 * What is read is only ever compared and recorded; nothing is started. Synchronous, because it lies in the path of every save.
 */
export function readHead(gitDir: FsPath, commonDir: FsPath = gitDir): Head {
  const text = readSmall(below(gitDir, 'HEAD'))?.toString('utf8').trim();
  if (text === undefined) {
    return { kind: 'unknown' };
  }
  if (isOid(text)) {
    return { kind: 'detached', oid: text };
  }
  const ref = /^ref: (refs\/heads\/\S+)$/.exec(text)?.[1];
  if (ref === undefined || ref === 'refs/heads/.invalid' || ref.split('/').includes('..')) {
    return { kind: 'unknown' };
  }
  const branch = ref.slice('refs/heads/'.length);
  if (isLinkedBelow(commonDir, ref)) {
    return { kind: 'unknown' };
  }
  const loose = readSmall(below(commonDir, ref))?.toString('latin1').trim();
  if (loose !== undefined && isOid(loose)) {
    return { kind: 'branch', branch, oid: loose };
  }
  return { kind: 'branch', branch, oid: readPacked(below(commonDir, 'packed-refs'), ref) ?? null };
}

/** Whether a link stands among the folders that lead to a ref: what is behind it is somebody else's. */
function isLinkedBelow(gitDir: FsPath, ref: string): boolean {
  const parts = ref.split('/').slice(0, -1);
  return parts.some((_, index) => {
    try {
      return lstatSync(below(gitDir, parts.slice(0, index + 1).join('/'))).isSymbolicLink();
    } catch {
      // Absent: the ref is packed, or the branch has no commit yet.
      return false;
    }
  });
}

/**
 * Reads the branches of a repository with a plain file store from its files, following no link and starting nothing. Names are
 * not checked.
 */
export function readBranches(gitDir: string): Map<string, Oid> {
  const branches = readPackedBranches(join(gitDir, 'packed-refs'));
  const walk = (folder: string, prefix: string): void => {
    for (const entry of readFolder(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        walk(path, `${prefix}${entry.name}/`);
      } else if (entry.isFile() && !entry.name.endsWith('.lock')) {
        const oid = readSmall(path)?.toString('latin1').trim() ?? '';
        if (isOid(oid)) {
          branches.set(prefix + entry.name, oid);
        }
      }
    }
  };
  if (isFolder(join(gitDir, 'refs', 'heads'))) {
    walk(join(gitDir, 'refs', 'heads'), '');
  }
  return branches;
}

function readFolder(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    // Absent, or not ours to read: nothing that we could name.
    return [];
  }
}

function isFolder(path: FsPath): boolean {
  try {
    return lstatSync(path).isDirectory();
  } catch {
    // Absent, below a file or a circle of links, or not ours to look at: no folder for us.
    return false;
  }
}

/**
 * Whether all that git would read of an `objects` folder lies in it: real folders and plain files, and no list of others.
 * A linked pack is as good as an alternate: through it a commit of somebody else's repository becomes one of this.
 */
export function holdsOwnObjects(objects: string): boolean {
  if (!isFolder(objects)) {
    return false;
  }
  return readFolder(objects).every((entry) => {
    if (entry.name === 'info') {
      return (
        entry.isDirectory() &&
        readFolder(join(objects, 'info')).every((file) => file.isFile() && !/^(http-)?alternates$/.test(file.name))
      );
    }
    if (entry.name === 'pack' || /^[0-9a-f]{2}$/i.test(entry.name)) {
      return entry.isDirectory() && readFolder(join(objects, entry.name)).every((file) => file.isFile());
    }
    // Git looks at nothing else in there.
    return true;
  });
}

/**
 * Reads HEAD of a repository inside a work tree. A `.git` file, as submodules have, is followed only to a place inside one of
 * `roots`, the work tree and the git folders that belong to it: elsewhere it could make us look into somebody else's repository.
 */
export function readNestedHead(folder: FsPath, roots: readonly string[]): Head {
  const text = readSmall(below(folder, '.git'))?.toString('utf8');
  const target = text === undefined ? undefined : /^gitdir: ([^\r\n]+)\r?\n?$/.exec(text)?.[1];
  if (target === undefined) {
    // A link is passed over too: it can lead anywhere.
    return isFolder(below(folder, '.git')) ? readHead(below(folder, '.git')) : { kind: 'unknown' };
  }
  try {
    const gitDir = realpathSync(resolve(folder.toString(), target));
    return roots.some((root) => gitDir.startsWith(realpathSync(root) + sep)) ? readHead(gitDir) : { kind: 'unknown' };
  } catch {
    // It leads nowhere.
    return { kind: 'unknown' };
  }
}

/** Whether the `.git` of a folder is a plain repository of its own: a real folder that borrows nothing from elsewhere. Quick: see `holdsOwnObjects`. */
export function isPlainGitFolder(gitDir: string): boolean {
  const kindOf = (...names: string[]): 'folder' | 'absent' | 'other' => {
    try {
      return lstatSync(join(gitDir, ...names)).isDirectory() ? 'folder' : 'other';
    } catch (error) {
      return isAbsent(error) ? 'absent' : 'other';
    }
  };
  return (
    kindOf() === 'folder' &&
    kindOf('objects') === 'folder' &&
    kindOf('refs') === 'folder' &&
    kindOf('commondir') === 'absent' &&
    kindOf('objects', 'info', 'alternates') === 'absent' &&
    kindOf('objects', 'info', 'http-alternates') === 'absent'
  );
}

/** Whether the refs lie in tables, which only git reads. */
export function hasReftable(gitDir: string): boolean {
  return isFolder(join(gitDir, 'reftable'));
}

/**
 * Reads the tables of refs by the names of their files, with the list that says which ones count, following no link.
 * @returns undefined when they are not as git leaves them
 */
export function readTables(gitDir: string): ReadonlyMap<string, Buffer> | undefined {
  const folder = join(gitDir, 'reftable');
  for (let attempt = 0; attempt < TABLE_TRIES && isFolder(folder); attempt++) {
    const list = readSmall(join(folder, TABLE_LIST));
    const names = list?.toString('latin1').split('\n').slice(0, -1) ?? [];
    if (list === undefined || !names.every((name) => /^[\w-]+\.(ref|log)$/.test(name))) {
      return undefined;
    }
    const tables = readAll(folder, names);
    if (tables !== undefined) {
      return tables.set(TABLE_LIST, list);
    }
    // One was merged into another meanwhile: the list names that one now.
  }
  return undefined;
}

/** @returns undefined when one is absent, or no plain file, or all are too large together */
function readAll(folder: string, names: readonly string[]): Map<string, Buffer> | undefined {
  const files = new Map<string, Buffer>();
  let left = MAX_PACKED_BYTES;
  for (const name of names) {
    const bytes = readSmall(join(folder, name), left);
    if (bytes === undefined) {
      return undefined;
    }
    left -= bytes.length;
    files.set(name, bytes);
  }
  return files;
}
