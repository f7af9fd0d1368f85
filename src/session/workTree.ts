import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { BulkheadError, errnoOf, ioError, isAbsent } from '../base/errors';
import {
  baseName,
  isUtf8Path,
  parentPath,
  pathBytes,
  type RepoPath,
  repoPathFromBytes,
  uncheckedRepoPath,
  visiblePath,
} from '../core/repoPath';

const LINUX = process.platform === 'linux';
// Absent on Windows, where `|` takes them for 0.
const { O_NOFOLLOW: NO_FOLLOW, O_NONBLOCK: NON_BLOCK, O_DIRECTORY: FOLDER_ONLY } = constants;

/** Names of our half-written files; ignored by every look at a work tree. */
export const TEMPORARY_PREFIX = '.bulkhead-tmp-';

const HALF_WRITTEN = /^\.bulkhead-tmp-[0-9a-f]{12}$/;

export type FileKind = 'file' | 'link' | 'folder' | 'special' | 'absent' | 'beyond-link';

export type FileContent =
  | { readonly kind: 'file'; readonly bytes: Buffer; readonly executable: boolean }
  | { readonly kind: 'link'; readonly target: Buffer }
  | { readonly kind: 'folder' | 'special' | 'absent' | 'beyond-link' }
  | { readonly kind: 'too-large'; readonly size: number; readonly executable: boolean }
  | { readonly kind: 'unreadable'; readonly errno: string };

/**
 * Somebody else's folder: its files are read and written without following a link in any component. On Linux a path is
 * taken step by step through descriptors, or the descriptor's own path is compared after opening; elsewhere the components
 * are looked at before and after. Synchronous on purpose, see LooseObjects.
 */
export class WorkTree {
  /** Real path. */
  readonly root: string;
  readonly #rootBytes: Buffer;

  constructor(root: string) {
    this.root = root;
    this.#rootBytes = Buffer.from(root);
  }

  /** The path as the file system takes it: text where it can be, bytes for names that are not UTF-8. */
  fsPath(path: RepoPath | ''): string | Buffer {
    if (path === '') {
      return this.root;
    }
    return isUtf8Path(path)
      ? `${this.root}/${pathBytes(path).toString('utf8')}`
      : Buffer.concat([this.#rootBytes, Buffer.from('/'), pathBytes(path)]);
  }

  /** Whether names that differ in case only are one name on this disk; undefined where its `.git` is gone, so that nobody can tell. */
  ignoresCase(): boolean | undefined {
    const inode = (name: string): bigint | undefined => {
      try {
        return lstatSync(`${this.root}/${name}`, { bigint: true, throwIfNoEntry: false })?.ino;
      } catch (error) {
        if (isAbsent(error)) {
          return undefined;
        }
        throw ioError('look at', this.root, error);
      }
    };
    const own = inode('.git');
    return own === undefined ? undefined : own === inode('.GIT');
  }

  /** Whether the work tree itself is there. */
  isThere(): boolean {
    try {
      return lstatSync(this.root).isDirectory();
    } catch (error) {
      if (isAbsent(error)) {
        return false;
      }
      throw ioError('look at', this.root, error);
    }
  }

  /** What is there, without following a link anywhere. */
  kind(path: RepoPath): FileKind {
    return this.look(path).kind;
  }

  /** @param folders known to be reached through no link when they were looked at a moment ago; those found to be so are added */
  look(path: RepoPath, folders = new Set<RepoPath>()): { readonly kind: FileKind; readonly stats?: Stats } {
    let stats: Stats;
    try {
      stats = lstatSync(this.fsPath(path));
    } catch (error) {
      if (isAbsent(error)) {
        return { kind: 'absent' };
      }
      if (errnoOf(error) === 'ELOOP') {
        // Links among the parents that lead in a circle; a link at the path itself is not followed.
        return { kind: 'beyond-link' };
      }
      throw ioError('look at', visiblePath(path), error);
    }
    const parent = parentPath(path);
    if (parent !== '' && !folders.has(parent)) {
      if (this.#isBeyondLink(path)) {
        return { kind: 'beyond-link' };
      }
      folders.add(parent);
    }
    return { kind: kindOf(stats), stats };
  }

  /** A link among the parents: git takes what is behind it as absent. */
  #isBeyondLink(path: RepoPath): boolean {
    for (let folder = parentPath(path); folder !== ''; folder = parentPath(folder)) {
      try {
        if (!lstatSync(this.fsPath(folder)).isDirectory()) {
          return true;
        }
      } catch (error) {
        if (isAbsent(error) || errnoOf(error) === 'ELOOP') {
          return true;
        }
        throw ioError('look at', visiblePath(folder), error);
      }
    }
    return false;
  }

  /** Whether the folder holds a repository of its own. */
  isNestedRepository(folder: RepoPath): boolean {
    try {
      return lstatSync(appendName(this.fsPath(folder), '.git'), { throwIfNoEntry: false }) !== undefined;
    } catch (error) {
      if (isAbsent(error)) {
        return false;
      }
      throw ioError('look at', visiblePath(folder), error);
    }
  }

  /**
   * Reads a file or link.
   * @param maxBytes larger files are not read
   */
  read(path: RepoPath, maxBytes: number): FileContent {
    // An editor that saves by rename can take the file away under an open descriptor: look again.
    for (let attempt = 0; ; attempt++) {
      const content = this.#readOnce(path, maxBytes);
      if (content !== 'again') {
        return content;
      }
      if (attempt === 4) {
        return { kind: 'absent' };
      }
    }
  }

  #readOnce(path: RepoPath, maxBytes: number): FileContent | 'again' {
    const fsPath = this.fsPath(path);
    let descriptor: number;
    try {
      descriptor = openSync(fsPath, constants.O_RDONLY | NO_FOLLOW | NON_BLOCK);
    } catch (error) {
      const errno = errnoOf(error) ?? 'EIO';
      if (isAbsent(error)) {
        return { kind: 'absent' };
      }
      if (errno === 'ELOOP' || errno === 'EMLINK') {
        return this.#readLink(path);
      }
      if (errno === 'ENXIO' || errno === 'EOPNOTSUPP') {
        return { kind: 'special' };
      }
      return { kind: 'unreadable', errno };
    }
    try {
      const stats = fstatSync(descriptor);
      const kind = kindOf(stats);
      const place = this.#placeOf(descriptor, path, stats);
      if (place !== 'here') {
        return place === 'elsewhere' ? { kind: 'beyond-link' } : 'again';
      }
      if (kind === 'folder' || kind === 'special') {
        return { kind };
      }
      if (kind === 'link') {
        // Only where a link cannot be refused while opening.
        return this.#readLink(path);
      }
      const executable = (stats.mode & 0o100) !== 0;
      if (stats.size > maxBytes) {
        return { kind: 'too-large', size: stats.size, executable };
      }
      return { kind: 'file', bytes: readAll(descriptor, stats.size), executable };
    } catch (error) {
      return { kind: 'unreadable', errno: errnoOf(error) ?? 'EIO' };
    } finally {
      closeSync(descriptor);
    }
  }

  /** Opens a file for reading; undefined when there is none. The caller closes it. */
  openFile(path: RepoPath): number | undefined {
    let descriptor: number;
    try {
      descriptor = openSync(this.fsPath(path), constants.O_RDONLY | NO_FOLLOW | NON_BLOCK);
    } catch (error) {
      if (isAbsent(error) || ['ELOOP', 'EMLINK', 'ENXIO'].includes(errnoOf(error) ?? '')) {
        return undefined;
      }
      throw ioError('read', visiblePath(path), error);
    }
    const stats = fstatSync(descriptor);
    if (stats.isFile() && this.#placeOf(descriptor, path, stats) === 'here') {
      return descriptor;
    }
    closeSync(descriptor);
    return undefined;
  }

  /** Whether an open descriptor is the file at this very path, reached through no link. */
  #placeOf(descriptor: number, path: RepoPath, stats: Stats): 'here' | 'elsewhere' | 'gone' {
    if (LINUX) {
      const actual = readlinkSync(`/proc/self/fd/${String(descriptor)}`, 'buffer');
      const expected = this.fsPath(path);
      if (actual.equals(typeof expected === 'string' ? Buffer.from(expected) : expected)) {
        return 'here';
      }
      return actual.subarray(-10).toString('latin1') === ' (deleted)' ? 'gone' : 'elsewhere';
    }
    if (this.#isBeyondLink(path)) {
      return 'elsewhere';
    }
    try {
      const now = lstatSync(this.fsPath(path));
      if (now.isSymbolicLink()) {
        return 'elsewhere';
      }
      return now.ino === stats.ino && now.dev === stats.dev ? 'here' : 'gone';
    } catch (error) {
      if (isAbsent(error)) {
        return 'gone';
      }
      throw error;
    }
  }

  #readLink(path: RepoPath): FileContent {
    try {
      return this.#inFolder(parentPath(path), { create: false }, (folder) => ({
        kind: 'link',
        target: readlinkSync(appendName(folder, baseName(path)), 'buffer'),
      }));
    } catch (error) {
      if (error instanceof BulkheadError && error.code === 'beyond-link') {
        return { kind: 'beyond-link' };
      }
      if (isAbsent(error)) {
        return { kind: 'absent' };
      }
      if (errnoOf(error) === 'EINVAL') {
        // It became a file in between; the next event tells.
        return { kind: 'absent' };
      }
      return { kind: 'unreadable', errno: errnoOf(error) ?? 'EIO' };
    }
  }

  /**
   * Names in a folder, `.git` and our own half-written files left out; empty when it is no folder. Names that git would refuse
   * are among them, as `isAllowed` says: they are there, and must not be written.
   */
  list(folder: RepoPath | ''): { readonly path: RepoPath; readonly kind: FileKind; readonly isAllowed: boolean }[] {
    let entries: ReturnType<typeof readFolder>;
    try {
      entries = readFolder(this.fsPath(folder));
    } catch (error) {
      if (isAbsent(error)) {
        return [];
      }
      throw ioError('open', folder === '' ? this.root : visiblePath(folder), error);
    }
    const prefix = folder === '' ? Buffer.alloc(0) : Buffer.concat([pathBytes(folder), Buffer.from('/')]);
    return entries.flatMap((entry) => {
      if (entry.name.subarray(0, TEMPORARY_PREFIX.length).toString('latin1') === TEMPORARY_PREFIX) {
        return [];
      }
      if (entry.name.toString('latin1') === '.git') {
        return [];
      }
      const bytes = Buffer.concat([prefix, entry.name]);
      const path = repoPathFromBytes(bytes);
      return [
        { path: path ?? uncheckedRepoPath(bytes.toString('latin1')), kind: entry.kind, isAllowed: path !== undefined },
      ];
    });
  }

  /** Writes a file under a temporary name beside it and renames it into place; parents are made. A folder of that name must not be there. */
  writeFile(path: RepoPath, bytes: Buffer, options: { readonly executable: boolean }): void {
    this.#replace(path, (temporary) => {
      const descriptor = openSync(
        temporary,
        constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW,
        options.executable ? 0o777 : 0o666,
      );
      try {
        for (let written = 0; written < bytes.length;) {
          written += writeSync(descriptor, bytes, written);
        }
      } finally {
        closeSync(descriptor);
      }
    });
  }

  /** Puts a copy of a file from elsewhere here. It shares its blocks until one side writes, where the file system can; never an inode. */
  copyFile(path: RepoPath, source: string, mode: number): void {
    this.#replace(path, (temporary) => {
      copyFileSync(source, temporary, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
      chmodSync(temporary, mode);
    });
  }

  writeLink(path: RepoPath, target: Buffer): void {
    this.#replace(path, (temporary) => {
      symlinkSync(target, temporary);
    });
  }

  /** Sets or clears the executable bits as git does: whoever may read may execute. */
  setExecutable(path: RepoPath, executable: boolean): void {
    this.#inFolder(parentPath(path), { create: false }, (folder) => {
      const descriptor = openSync(appendName(folder, baseName(path)), constants.O_RDONLY | NO_FOLLOW | NON_BLOCK);
      try {
        const mode = fstatSync(descriptor).mode & 0o777;
        fchmodSync(descriptor, executable ? mode | ((mode & 0o444) >> 2) : mode & ~0o111);
      } finally {
        closeSync(descriptor);
      }
    });
  }

  #replace(path: RepoPath, make: (temporary: string | Buffer) => void): void {
    this.#inFolder(parentPath(path), { create: true }, (folder) => {
      const temporary = appendName(folder, `${TEMPORARY_PREFIX}${randomBytes(6).toString('hex')}`);
      try {
        make(temporary);
        renameSync(temporary, appendName(folder, baseName(path)));
      } catch (error) {
        try {
          unlinkSync(temporary);
        } catch {
          // It was never made, or it was renamed.
        }
        throw ioError('write', visiblePath(path), error);
      }
    });
  }

  /** Removes a file or link; absent is fine. */
  remove(path: RepoPath): void {
    try {
      this.#inFolder(parentPath(path), { create: false }, (folder) => {
        unlinkSync(appendName(folder, baseName(path)));
      });
    } catch (error) {
      if (!isAbsent(error)) {
        throw error instanceof BulkheadError ? error : ioError('delete', visiblePath(path), error);
      }
    }
  }

  /** Removes the half-written files that a process of ours left in a folder when it was killed. */
  removeHalfWritten(folder: RepoPath | ''): void {
    try {
      this.#inFolder(folder, { create: false }, (place) => {
        for (const { name, kind } of readFolder(place)) {
          if (HALF_WRITTEN.test(name.toString('latin1')) && (kind === 'file' || kind === 'link')) {
            unlinkSync(appendName(place, name.toString('latin1')));
          }
        }
      });
    } catch (error) {
      if (!(error instanceof BulkheadError) && !isAbsent(error)) {
        throw ioError('open', folder === '' ? this.root : visiblePath(folder), error);
      }
    }
  }

  /**
   * Removes a folder if it is empty.
   * @returns whether there is none any more, also when there was none
   */
  removeFolderIfEmpty(path: RepoPath): boolean {
    try {
      this.#inFolder(parentPath(path), { create: false }, (folder) => {
        rmdirSync(appendName(folder, baseName(path)));
      });
      return true;
    } catch (error) {
      if (isAbsent(error)) {
        return true;
      }
      if (
        error instanceof BulkheadError ||
        ['ENOTEMPTY', 'EEXIST', 'EBUSY', 'EPERM', 'EACCES'].includes(errnoOf(error) ?? '')
      ) {
        return false;
      }
      throw ioError('remove the folder', visiblePath(path), error);
    }
  }

  /** Runs `work` with a name of the folder that no rename or link planted meanwhile can bend elsewhere. */
  #inFolder<T>(folder: RepoPath | '', options: { readonly create: boolean }, work: (folder: string | Buffer) => T): T {
    if (!LINUX) {
      this.#checkFolder(folder, options.create);
      const result = work(this.fsPath(folder));
      this.#checkFolder(folder, false);
      return result;
    }
    // The root itself is a real path: a link there was put in its place.
    let descriptor = openSync(this.root, constants.O_RDONLY | FOLDER_ONLY | NO_FOLLOW);
    try {
      for (const name of folder === '' ? [] : folder.split('/')) {
        const path = appendName(`/proc/self/fd/${String(descriptor)}`, name);
        let next: number;
        try {
          next = openSync(path, constants.O_RDONLY | FOLDER_ONLY | NO_FOLLOW);
        } catch (error) {
          const errno = errnoOf(error);
          if (errno === 'ENOENT' && options.create) {
            makeFolderAt(path);
            next = openSync(path, constants.O_RDONLY | FOLDER_ONLY | NO_FOLLOW);
          } else if (errno === 'ELOOP' || errno === 'ENOTDIR') {
            throw beyondLink(folder as RepoPath);
          } else {
            throw error;
          }
        }
        closeSync(descriptor);
        descriptor = next;
      }
      return work(`/proc/self/fd/${String(descriptor)}`);
    } finally {
      closeSync(descriptor);
    }
  }

  #checkFolder(folder: RepoPath | '', create: boolean): void {
    let path = '' as RepoPath | '';
    for (const name of folder === '' ? [] : folder.split('/')) {
      path = (path === '' ? name : `${path}/${name}`) as RepoPath;
      try {
        if (!lstatSync(this.fsPath(path)).isDirectory()) {
          throw beyondLink(path);
        }
      } catch (error) {
        if (!(create && isAbsent(error))) {
          throw error;
        }
        makeFolderAt(this.fsPath(path));
      }
    }
  }
}

function beyondLink(path: RepoPath): BulkheadError {
  return new BulkheadError(
    'user',
    'beyond-link',
    `${visiblePath(path)} is a link or a file, not a folder; nothing is written behind it.`,
    {
      data: { path: visiblePath(path) },
    },
  );
}

function makeFolderAt(path: string | Buffer): void {
  try {
    mkdirSync(path);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') {
      throw error;
    }
  }
}

/** `folder/name`, where `name` is a binary string. */
function appendName(folder: string | Buffer, name: string): string | Buffer {
  const bytes = Buffer.from(name, 'latin1');
  const text = bytes.toString('utf8');
  if (typeof folder === 'string' && Buffer.from(text, 'utf8').equals(bytes)) {
    return `${folder}/${text}`;
  }
  return Buffer.concat([typeof folder === 'string' ? Buffer.from(folder) : folder, Buffer.from('/'), bytes]);
}

function kindOf(stats: {
  isFile(): boolean;
  isSymbolicLink(): boolean;
  isDirectory(): boolean;
}): 'file' | 'link' | 'folder' | 'special' {
  return stats.isFile() ? 'file' : stats.isSymbolicLink() ? 'link' : stats.isDirectory() ? 'folder' : 'special';
}

function readFolder(path: string | Buffer): { readonly name: Buffer; readonly kind: FileKind }[] {
  return readdirSync(path, { withFileTypes: true, encoding: 'buffer' }).map((entry) => ({
    name: entry.name,
    kind: kindOf(entry),
  }));
}

function readAll(descriptor: number, size: number): Buffer {
  // One byte more tells whether the file grew meanwhile.
  let buffer = Buffer.allocUnsafe(size + 1);
  let length = 0;
  for (;;) {
    const count = readSync(descriptor, buffer, length, buffer.length - length, null);
    if (count === 0) {
      return buffer.subarray(0, length);
    }
    length += count;
    if (length === buffer.length) {
      buffer = Buffer.concat([buffer, Buffer.allocUnsafe(Math.max(65_536, buffer.length))]);
    }
  }
}
