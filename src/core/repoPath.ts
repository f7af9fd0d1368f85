import { isUtf8 } from 'node:buffer';
import { showUnseen } from './visibleText';

declare const brand: unique symbol;

/**
 * A path relative to the work tree's root, with `/` between its parts.
 *
 * Held as a binary string, one character per byte of git's name: names that are not UTF-8 survive, and comparing two with `<`
 * is git's own order. Never shown to people as it is (`displayPath`, `visiblePath`), never handed to the file system as text
 * (`pathBytes`).
 */
export type RepoPath = string & { readonly [brand]: true };

/** The checked way in for names from git and the file system. Undefined: `pathProblem` says why. */
export function repoPathFromBytes(bytes: Buffer): RepoPath | undefined {
  const binary = bytes.toString('latin1');
  return pathProblem(binary) === undefined ? uncheckedRepoPath(binary) : undefined;
}

/** The checked way in for text. The text is not normalised: on most file systems `é` and `e` + U+0301 are two names. */
export function repoPathFromText(text: string): RepoPath | undefined {
  return repoPathFromBytes(Buffer.from(text, 'utf8'));
}

/**
 * Names a path that is only shown or kept, such as a skipped one whose name is not allowed, or one read from a tree that somebody
 * else wrote. Whoever writes to the file system asks `pathProblem` first.
 */
export function uncheckedRepoPath(binary: string): RepoPath {
  return binary as RepoPath;
}

/**
 * Why git would refuse this path with `core.protectHFS` and `core.protectNTFS` set, or undefined when it would not. Applied on
 * every platform, because a snapshot made on one may be restored on another.
 *
 * Sources: git's `verify_path` (read-cache.c), `is_ntfs_dotgit` (path.c), `is_hfs_dotgit` and `next_hfs_char` (utf8.c).
 */
export function pathProblem(path: Buffer | string): string | undefined {
  const binary = typeof path === 'string' ? path : path.toString('latin1');
  if (binary === '') {
    return 'the path is empty';
  }
  if (binary.includes('\0')) {
    return 'the path holds a NUL byte';
  }
  for (const component of binary.split('/')) {
    if (component === '') {
      return 'the path holds an empty part';
    }
    if (component === '.' || component === '..') {
      return `the path holds a part named "${component}"`;
    }
    // Windows takes a backslash for a separator; elsewhere it is an ordinary character and stays allowed.
    for (const part of component.split('\\')) {
      if (part === '..' || isDotGit(part)) {
        return `the path holds a part that some systems take for "${part === '..' ? '..' : '.git'}"`;
      }
    }
  }
  return undefined;
}

export function pathBytes(path: RepoPath): Buffer {
  return Buffer.from(path, 'latin1');
}

/** The name as text: exact when it is UTF-8, else with U+FFFD for each byte that is not. Not safe on a screen. */
export function displayPath(path: RepoPath): string {
  return pathBytes(path).toString('utf8');
}

/** For screens: what cannot be seen is written as `\u{XX}`. Not a name: two paths may look alike. */
export function visiblePath(path: RepoPath): string {
  return showUnseen(displayPath(path));
}

export function isUtf8Path(path: RepoPath): boolean {
  return isUtf8(pathBytes(path));
}

/** `''` is the root of the work tree. */
export function parentPath(path: RepoPath): RepoPath | '' {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '' : uncheckedRepoPath(path.slice(0, slash));
}

/** The last part, as a binary string: the name that a tree entry has. */
export function baseName(path: RepoPath): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Joins without a check: trees may hold names that we would not write. `name` is a binary string. */
export function joinPath(parent: RepoPath | '', name: string): RepoPath {
  return uncheckedRepoPath(parent === '' ? name : `${parent}/${name}`);
}

/** What a file system without case makes of a name, near enough: composed, and in small letters. Only to be compared. */
export function foldedName(binary: string): string {
  return Buffer.from(binary, 'latin1').toString('utf8').normalize('NFC').toLowerCase();
}

/** True for the folder itself and all below it; everything is within the root. */
export function isWithin(path: RepoPath, folder: RepoPath | ''): boolean {
  return folder === '' || path === folder || (path.startsWith(folder) && path[folder.length] === '/');
}

function isDotGit(part: string): boolean {
  // NTFS drops trailing dots and spaces, has short names, and takes what follows a colon for a stream.
  if (/^(?:\.git|git~1)[. ]*(?:$|:)/i.test(part)) {
    return true;
  }
  // HFS+ ignores these characters: U+200C to 200F, 202A to 202E, 206A to 206F, FEFF, here as their UTF-8 bytes.
  const kept = part.replace(/\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf/g, '');
  if (!/^\.git/i.test(kept)) {
    return false;
  }
  const rest = kept.slice('.git'.length);
  // Git ends the name at the first malformed character, so `.git<0xff>` counts as `.git`.
  return rest === '' || startsMalformed(rest);
}

/** As git's `pick_one_utf8_char`, which also refuses U+FFFE and U+FFFF. */
function startsMalformed(binary: string): boolean {
  if (/^\xef\xbf[\xbe\xbf]/.test(binary)) {
    return true;
  }
  return Buffer.from(binary, 'latin1').toString('utf8').startsWith('\ufffd') && !binary.startsWith('\xef\xbf\xbd');
}
