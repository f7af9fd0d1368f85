import { sep } from 'node:path';

/** A path relative to a work tree: text, or the bytes of a name that need not be UTF-8. */
export type BytePath = string | Buffer;

/** Where it is on disk, as bytes: Node hands them to the system unchanged. */
export function locate(root: string, path: BytePath): Buffer {
  return Buffer.concat([Buffer.from(root + sep), bytesOf(path)]);
}

export function parentOf(path: BytePath): Buffer {
  const bytes = bytesOf(path);
  const slash = bytes.lastIndexOf(0x2f);
  return slash === -1 ? Buffer.from('.') : bytes.subarray(0, slash);
}

export function bytesOf(path: BytePath): Buffer {
  return typeof path === 'string' ? Buffer.from(path) : path;
}
