// A lock between processes, for installs. Plain JavaScript without packages, because the
// bootstrap needs it before anything is installed.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Where everything is kept that is expensive to make and does not belong into the sources. */
export function cacheFolder() {
  const base = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
  const folder = path.join(base, 'bulkhead-dev');
  fs.mkdirSync(folder, { recursive: true });
  return folder;
}

/**
 * Saves work only: what is done under it is made visible by a marker that is written last, so two
 * holders at once would be slow but not wrong. A lock whose process is gone is taken over.
 *
 * @param {string} file
 * @param {(waitedSeconds: number) => void} onWait called now and then while somebody else holds it
 * @returns {Promise<() => void>} releases the lock; also done when the process exits
 */
export async function acquireProcessLock(file, onWait) {
  const started = Date.now();
  let lastWord = started;
  for (;;) {
    try {
      fs.writeFileSync(file, `${process.pid}\n`, { flag: 'wx' });
      break;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    if (removeAbandoned(file)) continue;
    if (Date.now() - lastWord > 3000) {
      lastWord = Date.now();
      onWait(Math.round((lastWord - started) / 1000));
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const remove = () => fs.rmSync(file, { force: true });
  const exit = () => process.exit(130);
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
  process.once('exit', remove);
  // Without a listener these end the process without its exit event.
  for (const signal of signals) process.on(signal, exit);
  return () => {
    remove();
    process.removeListener('exit', remove);
    for (const signal of signals) process.removeListener(signal, exit);
  };
}

/** @param {string} file @returns {boolean} whether it is worth trying again at once */
function removeAbandoned(file) {
  let holder;
  try {
    holder = fs.readFileSync(file, 'utf8');
    // Empty for the moment between its creation and its first byte.
    if (holder === '') return false;
    process.kill(Number(holder), 0);
    return false;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    if (codeOf(error) !== 'ESRCH') return false;
  }
  // By renaming, so that only one of those who see it gone removes it.
  const aside = `${file}.${process.pid}`;
  try {
    fs.renameSync(file, aside);
    // Somebody was faster, and this is already their lock: put it back.
    if (fs.readFileSync(aside, 'utf8') !== holder) fs.linkSync(aside, file);
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes(codeOf(error) ?? '')) throw error;
  } finally {
    fs.rmSync(aside, { force: true });
  }
  return true;
}

/** @param {unknown} error @returns {string | undefined} */
function codeOf(error) {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
