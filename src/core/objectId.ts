import { createHash } from 'node:crypto';

/** The full name of an object: 40 or 64 lower-case hex digits. */
export type Oid = string;

/** A repository has one format for all its objects (`extensions.objectFormat`). */
export type ObjectFormat = 'sha1' | 'sha256';

export type ObjectType = 'blob' | 'tree' | 'commit';

/** Length of a name as trees hold it: raw bytes. */
export function oidBytes(format: ObjectFormat): 20 | 32 {
  return format === 'sha1' ? 20 : 32;
}

/** Stands for "no object": as the old value of a ref update it means that the ref must not exist. */
export function zeroOid(format: ObjectFormat): Oid {
  return '0'.repeat(oidBytes(format) * 2);
}

export function emptyTreeOid(format: ObjectFormat): Oid {
  return hashObject(format, 'tree', new Uint8Array());
}

export function emptyBlobOid(format: ObjectFormat): Oid {
  return hashObject(format, 'blob', new Uint8Array());
}

/** Without a format both lengths are names. */
export function isOid(text: string, format?: ObjectFormat): boolean {
  switch (format) {
    case 'sha1':
      return SHA1.test(text);
    case 'sha256':
      return SHA256.test(text);
    case undefined:
      return SHA1.test(text) || SHA256.test(text);
  }
}

/** What people may type for a snapshot: at least six digits, so that few are ambiguous; upper case as some tools print it. */
export function isOidPrefix(text: string): boolean {
  return /^[0-9a-f]{6,64}$/i.test(text);
}

/** Git hashes the type and the length with the content (gitformat-loose: the same bytes that a loose object holds). */
export function hashObject(format: ObjectFormat, type: ObjectType, body: Uint8Array): Oid {
  return createHash(format).update(objectHeader(type, body.length)).update(body).digest('hex');
}

export function objectHeader(type: ObjectType, length: number): Buffer {
  return Buffer.from(`${type} ${String(length)}\0`, 'latin1');
}

const SHA1 = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;
