import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isAbsent, ioError } from '../base/errors';

const FACTOR = 2;
/** Header, then 256 running totals: the last one is the number of objects (gitformat-pack, version 2). */
const LAST_TOTAL = 8 + 255 * 4;

interface Pack {
  readonly objects: number;
  readonly bytes: number;
}

/**
 * Bytes of the packs that `repack --geometric=2` will write anew: the small ones that do not each hold at least twice the
 * objects of the one before. A pack that holds most of a repository is left alone, whatever its size.
 */
export async function packsToRewrite(folder: string): Promise<number> {
  const packs = (await readPacks(folder)).sort((a, b) => a.objects - b.objects);
  let split = packs.length;
  for (let index = packs.length - 1; index > 0; index--) {
    if ((packs[index]?.objects ?? 0) < FACTOR * (packs[index - 1]?.objects ?? 0)) {
      break;
    }
    split = index;
  }
  split = packs.length > 0 && split === 1 ? 0 : split;
  let total = packs.slice(0, split).reduce((sum, { objects }) => sum + objects, 0);
  while (split > 0 && split < packs.length && (packs[split]?.objects ?? 0) < FACTOR * total) {
    total += packs[split]?.objects ?? 0;
    split++;
  }
  return packs.slice(0, split).reduce((sum, { bytes }) => sum + bytes, 0);
}

async function readPacks(folder: string): Promise<Pack[]> {
  const packs: Pack[] = [];
  try {
    for (const name of await readdir(folder)) {
      if (name.startsWith('pack-') && name.endsWith('.idx')) {
        const { size } = await stat(join(folder, name.replace(/idx$/, 'pack')));
        packs.push({ objects: await countObjects(join(folder, name)), bytes: size });
      }
    }
  } catch (error) {
    if (!isAbsent(error)) {
      throw ioError('read', folder, error);
    }
  }
  return packs;
}

async function countObjects(index: string): Promise<number> {
  const file = await open(index);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, LAST_TOTAL);
    return bytesRead === 4 ? buffer.readUInt32BE() : 0;
  } finally {
    await file.close();
  }
}
