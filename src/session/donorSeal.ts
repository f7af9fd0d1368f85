import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { mapLimited } from '../base/async';
import { BulkheadError, ioError, isAbsent } from '../base/errors';
import { parseFormatted } from '../core/formattedJson';
import type { ObjectFormat } from '../core/objectId';
import { readTextIfThere, writeFileAtomic } from './files';
import type { Host } from './host';

/** In `donor.git`, beside its objects and never in a clone. */
const SEAL_FILE = 'bulkhead-seal.json';
const FORMAT = 1;
const CHUNK = 1024 * 1024;
const AT_ONCE = 8;

interface Seal {
  /** Nobody who does not know it can find other bytes with the same mark. */
  readonly key: Buffer;
  /** Mark of each file below `objects`. */
  readonly marks: ReadonlyMap<string, string>;
}

interface ObjectFile {
  readonly name: string;
  /** Hard links, the donor's own among them. */
  readonly links: number;
}

/**
 * Clones hard-link the donor's object files, so bytes that an agent patches in its clone are patched in the donor as well, and
 * the next clone would be checked out from them; git compares no hash then. Before each clone every file is compared with
 * what it was before it was first linked. A mark is a GMAC: it reads as fast as the disk, where a hash would take seconds.
 * @returns the files that were changed; empty when all is well, and then new files are sealed too
 * @throws BulkheadError `donor-newer`
 */
export async function changedInDonor(host: Host, donor: string, format: ObjectFormat): Promise<readonly string[]> {
  const objects = join(donor, 'objects');
  const known = await readSeal(donor);
  const key = known?.key ?? randomBytes(32);
  const marks = new Map<string, string>();
  const changed: string[] = [];
  const unknown: string[] = [];
  await mapLimited(await objectFiles(objects), AT_ONCE, async ({ name, links }) => {
    const mark = await markOf(join(objects, name), key);
    if (mark === undefined) {
      return;
    }
    const before = known?.marks.get(name);
    if (before !== undefined && before !== mark) {
      changed.push(name);
    } else if (before === undefined && links > 1) {
      // Linked before it was sealed: by a clone that was made while somebody else fetched.
      unknown.push(name);
    }
    marks.set(name, mark);
  });
  changed.push(...(await unverified(host, objects, format, unknown)));
  if (changed.length === 0) {
    const isNews =
      known?.marks.size !== marks.size || [...marks].some(([name, mark]) => known.marks.get(name) !== mark);
    if (isNews && marks.size > 0) {
      // A newer version may have come meanwhile: reading all of it takes its time.
      await readSeal(donor);
      await writeFileAtomic(join(donor, SEAL_FILE), formatSeal({ key, marks }));
    }
  }
  return changed.sort();
}

/**
 * Undefined when it is absent or torn: then every file is looked at as a new one.
 * @throws BulkheadError `donor-newer`: what a newer version sealed cannot be checked here, and is not sealed anew
 */
export async function readSeal(donor: string): Promise<Seal | undefined> {
  const parsed = parseSeal((await readTextIfThere(join(donor, SEAL_FILE))) ?? '');
  if (parsed.kind === 'newer') {
    throw new BulkheadError(
      'damaged',
      'donor-newer',
      'The objects that sessions share were sealed by a newer version of Bulkhead, so this one cannot tell whether an agent has changed them. Nothing was made from them. Update Bulkhead.',
      { data: { donor } },
    );
  }
  return parsed.kind === 'ok' ? parsed.seal : undefined;
}

export function formatSeal({ key, marks }: Seal): string {
  return `${JSON.stringify({ format: FORMAT, key: key.toString('hex'), marks: Object.fromEntries(marks) })}\n`;
}

type ParsedSeal =
  | { readonly kind: 'ok'; readonly seal: Seal }
  | { readonly kind: 'newer' }
  /** Anything but a whole one: half of a seal would vouch for half of the files. */
  | { readonly kind: 'damaged' };

export function parseSeal(text: string): ParsedSeal {
  const parsed = parseFormatted(text, FORMAT);
  if (parsed.kind !== 'ok') {
    return parsed;
  }
  const { key, marks } = parsed.fields;
  return typeof key === 'string' && /^[0-9a-f]{64}$/.test(key) && isMarks(marks)
    ? { kind: 'ok', seal: { key: Buffer.from(key, 'hex'), marks: new Map(Object.entries(marks)) } }
    : { kind: 'damaged' };
}

function isMarks(value: unknown): value is Readonly<Record<string, string>> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((mark) => typeof mark === 'string' && /^[0-9a-f]{32}$/.test(mark))
  );
}

async function objectFiles(objects: string): Promise<readonly ObjectFile[]> {
  const files: ObjectFile[] = [];
  const entries = await readdir(objects, { recursive: true, withFileTypes: true }).catch(absent);
  for (const entry of entries ?? []) {
    // Git's own half-written files come and go, and `info/packs` is for servers without git.
    if (entry.isFile() && !/^tmp_|\.lock$|^packs$/.test(entry.name)) {
      const name = join(entry.parentPath, entry.name).slice(objects.length + 1);
      const stats = await stat(join(objects, name)).catch(absent);
      if (stats !== undefined) {
        files.push({ name, links: stats.nlink });
      }
    }
  }
  return files;
}

function absent(error: unknown): undefined {
  if (!isAbsent(error)) {
    throw ioError('look at', 'the objects that sessions share', error);
  }
}

/** Undefined when the file went away. */
async function markOf(path: string, key: Buffer): Promise<string | undefined> {
  const file = await open(path).catch(absent);
  if (file === undefined) {
    return undefined;
  }
  try {
    // The marks are never shown to anybody, so one nonce serves for all.
    const mac = createCipheriv('aes-256-gcm', key, Buffer.alloc(12));
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK);
      if (bytesRead === 0) {
        break;
      }
      mac.setAAD(buffer.subarray(0, bytesRead));
    }
    mac.final();
    return mac.getAuthTag().toString('hex');
  } finally {
    await file.close();
  }
}

/** Those of the files whose content does not prove itself. */
async function unverified(
  host: Host,
  objects: string,
  format: ObjectFormat,
  names: readonly string[],
): Promise<readonly string[]> {
  const wrong: string[] = [];
  const packs = new Set<string>();
  for (const name of names) {
    const [, folder, rest] = /^([0-9a-f]{2})[\\/]([0-9a-f]+)$/.exec(name) ?? [];
    const pack = /^(pack[\\/]pack-[0-9a-f]+)\.(?:pack|idx|rev)$/.exec(name)?.[1];
    if (folder !== undefined && rest !== undefined) {
      if (!(await isLooseObject(join(objects, name), format, folder + rest))) {
        wrong.push(name);
      }
    } else if (pack !== undefined) {
      packs.add(pack);
    } else {
      wrong.push(name);
    }
  }
  for (const pack of packs) {
    // Builds the index anew and compares it with the one that is there.
    const rev = names.includes(`${pack}.rev`) ? ['--rev-index'] : [];
    const result = await host.git.run(
      ['index-pack', '--verify', ...rev, `--object-format=${format}`, `${join(objects, pack)}.pack`],
      { cwd: objects, expect: [0, 1, 128] },
    );
    if (result.code !== 0) {
      wrong.push(`${pack}.pack`);
    }
  }
  return wrong;
}

async function isLooseObject(path: string, format: ObjectFormat, oid: string): Promise<boolean> {
  try {
    return (
      createHash(format)
        .update(inflateSync(await readFile(path)))
        .digest('hex') === oid
    );
  } catch (error) {
    // It went away, or it does not unpack.
    return isAbsent(error);
  }
}
