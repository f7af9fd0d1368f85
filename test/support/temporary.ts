import { chmodSync, lstatSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = new Set<string>();

/** A new empty folder, by its real path; removed when the process ends, unless `BULKHEAD_KEEP_TEMP` is set. */
export function temporaryFolder(label = 'test'): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), `bulkhead-${label}-`));
  folders.add(folder);
  return folder;
}

/** Removes a folder now, whatever permissions its folders have. */
export function removeFolder(folder: string): void {
  folders.delete(folder);
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  } catch {
    // A folder that may not be written keeps its entries; the second try follows a chmod and reports what is left.
    allowWriting(folder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function allowWriting(folder: string): void {
  if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) {
    chmodSync(folder, 0o700);
    for (const name of readdirSync(folder)) {
      allowWriting(join(folder, name));
    }
  }
}

process.once('exit', () => {
  if (process.env['BULKHEAD_KEEP_TEMP'] === undefined) {
    for (const folder of [...folders]) {
      removeFolder(folder);
    }
  }
});
