import { deflateSync, inflateSync } from 'node:zlib';
import { BulkheadError } from '../base/errors';
import { type ObjectType, type Oid, objectHeader } from './objectId';

/**
 * The bytes of a loose object's file: header and content, deflated (gitformat-loose). Level 1 is git's own default for loose
 * objects (`core.looseCompression`): a later repack compresses them again.
 */
export function encodeLoose(type: ObjectType, body: Uint8Array, options: { readonly level?: number } = {}): Buffer {
  return deflateSync(Buffer.concat([objectHeader(type, body.length), body]), { level: options.level ?? 1 });
}

export function decodeLoose(bytes: Uint8Array): { readonly type: ObjectType; readonly body: Buffer } {
  let plain: Buffer;
  try {
    plain = inflateSync(bytes);
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
