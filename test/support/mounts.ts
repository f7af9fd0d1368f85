import { spawnSync } from 'node:child_process';
import { mkdirSync, statfsSync, unlinkSync, writeFileSync, writeSync, openSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../src/base/errors';
import { temporaryFolder } from './temporary';

const mounted: string[] = [];

function mount(...args: string[]): boolean {
  return process.platform === 'linux' && spawnSync('mount', args).status === 0;
}

/** Removes what was mounted, the newest first; also called when the process ends. */
export function unmountAll(): void {
  for (const folder of mounted.splice(0).reverse()) {
    spawnSync('umount', ['--lazy', folder]);
  }
}

process.once('exit', unmountAll);

/** A small disk of its own at an empty folder. Undefined where this process may not mount. */
export function smallDisk(megabytes: number, folder = temporaryFolder('disk')): string | undefined {
  mkdirSync(folder, { recursive: true });
  if (!mount('-t', 'tmpfs', '-o', `size=${String(megabytes)}m,mode=700`, 'tmpfs', folder)) {
    return undefined;
  }
  mounted.push(folder);
  return folder;
}

/** Makes a folder read-only for everybody, root too, until the returned function is called. Undefined where this process may not mount. */
export function readOnly(folder: string): (() => void) | undefined {
  if (!mount('--bind', folder, folder)) {
    return undefined;
  }
  mounted.push(folder);
  if (!mount('-o', 'remount,bind,ro', folder)) {
    unmountAll();
    return undefined;
  }
  return () => {
    mounted.splice(mounted.indexOf(folder), 1);
    spawnSync('umount', ['--lazy', folder]);
  };
}

/** Says why a test is skipped, and skips it. */
export function skipWithoutMounts(context: Mocha.Context): never {
  console.log('      skipped: this process may not mount anything (root on Linux may)');
  return context.skip();
}

/** Fills a disk until nothing more can be written, but for `leave` bytes; the returned function frees it again. */
export function fillDisk(disk: string, leave = 0): () => void {
  const folder = join(disk, 'filler');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, String(Math.random()));
  const { bavail, bsize } = statfsSync(disk);
  const descriptor = openSync(file, 'w');
  try {
    let left = bavail * bsize - leave;
    const block = Buffer.alloc(65_536);
    while (left > 0 || leave === 0) {
      left -= writeSync(descriptor, block, 0, leave === 0 ? block.length : Math.min(block.length, left));
    }
  } catch (error) {
    if (errnoOf(error) !== 'ENOSPC') {
      throw error;
    }
  } finally {
    closeSync(descriptor);
  }
  return () => {
    unlinkSync(file);
    writeFileSync(join(folder, '.gone'), '');
  };
}
