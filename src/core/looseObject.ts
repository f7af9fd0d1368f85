import { deflateSync, inflateSync } from 'node:zlib';
import { BulkheadError } from '../base/errors';
import { type ObjectType, type Oid, objectHeader } from './objectId';

/**
 * The bytes of a loose object's file: header and content, deflated (gitformat-loose). Level 1 is git's own default for loose
 * objects (`core.looseCompression`): a later repack compresses them again.
 */
export function encodeLoose(type: ObjectType, body: Uint8Array, options: { readonly level?: number } = {}): Buffer {
  const plain = Buffer.concat([objectHeader(type, body.length), body]);
  return plain.length <= STORED_BYTES ? storedBlock(plain) : deflateSync(plain, { level: options.level ?? 1 });
}

/**
 * Up to this size compression saves nothing: file systems hand out blocks of 4 kB. Setting up a deflater takes longer than all
 * the rest of writing so small an object.
 */
const STORED_BYTES = 3500;

/** A zlib stream (RFC 1950) of one block that is stored as it is (RFC 1951, 3.2.4). */
function storedBlock(plain: Buffer): Buffer {
  const stream = Buffer.allocUnsafe(plain.length + 11);
  // Deflate with a window of 32 kB, fastest; then: the last block, stored.
  stream.writeUInt16BE(0x7801, 0);
  stream.writeUInt8(1, 2);
  stream.writeUInt16LE(plain.length, 3);
  stream.writeUInt16LE(~plain.length & 0xffff, 5);
  plain.copy(stream, 7);
  stream.writeUInt32BE(adler32(plain), plain.length + 7);
  return stream;
}

/** RFC 1950, 9. The sums stay below 2^32 for so few bytes, so that one remainder at the end is enough. */
function adler32(bytes: Buffer): number {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a += byte;
    b += a;
  }
  return (((b % 65521) << 16) | (a % 65521)) >>> 0;
}

/** Nothing of ours is larger in memory: larger files are streamed by git. A few bytes can unpack to a thousand times as many. */
const MAX_UNPACKED_BYTES = 256 * 1024 * 1024;

export function decodeLoose(bytes: Uint8Array): { readonly type: ObjectType; readonly body: Buffer } {
  let plain: Buffer;
  try {
    plain = inflateSync(bytes, { maxOutputLength: MAX_UNPACKED_BYTES });
  } catch (cause) {
    throw malformed('it does not unpack', cause);
  }
  // The longest header is a type, a length below 2^53 and a NUL.
  const end = plain.subarray(0, 32).indexOf(0);
  const header = /^(blob|tree|commit) (0|[1-9][0-9]{0,15})$/.exec(plain.toString('latin1', 0, Math.max(end, 0)));
  const body = plain.subarray(end + 1);
  if (header === null || Number(header[2]) !== body.length) {
    throw malformed('its header does not fit its content');
  }
  return { type: header[1] as ObjectType, body };
}

/** Below the `objects` folder; git always splits after two digits. */
export function loosePath(oid: Oid): string {
  return `${oid.slice(0, 2)}/${oid.slice(2)}`;
}

function malformed(detail: string, cause?: unknown): BulkheadError {
  return new BulkheadError(
    'damaged',
    'object-malformed',
    `A stored object is damaged: ${detail}. "git fsck" in the store tells more.`,
    {
      data: { detail },
      cause,
    },
  );
}
