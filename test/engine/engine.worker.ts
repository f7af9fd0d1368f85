// One writer of a race: opens the engine as a process of its own, waits for the others, then does what it was told.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { silentLog } from '../../src/base/log';
import { BulkheadError } from '../../src/base/errors';
import { repoPathFromText } from '../../src/core/repoPath';
import { openBulkhead } from '../../src/session/bulkhead';
import { createHost } from '../../src/session/host';

export interface WorkerTask {
  readonly repository: string;
  readonly storage: string;
  readonly work:
    | {
        readonly kind: 'save';
        readonly session: string;
        readonly clone: string;
        readonly files: readonly (readonly [string, string])[];
      }
    | { readonly kind: 'create'; readonly name: string }
    | { readonly kind: 'restore'; readonly session: string; readonly target: string }
    /** Takes the session's lock like a save that hangs, and waits for its end. */
    | { readonly kind: 'hold'; readonly session: string };
}

export interface WorkerResult {
  readonly snapshots: readonly (string | null)[];
  readonly session?: string;
  readonly error?: string;
}

function message(kind: string): Promise<void> {
  return new Promise((resolve) => {
    process.on('message', (received) => {
      if (received === kind) {
        resolve();
      }
    });
  });
}

async function main(): Promise<WorkerResult> {
  const { repository, storage, work } = JSON.parse(process.argv[2] ?? '') as WorkerTask;
  const host = await createHost({ log: silentLog, product: 'test' });
  const bulkhead = await openBulkhead(host, { repository, storage, create: true });
  const go = message('go');
  process.send?.('ready');
  await go;
  const snapshots: (string | null)[] = [];
  try {
    switch (work.kind) {
      case 'save':
        for (const [path, content] of work.files) {
          mkdirSync(dirname(join(work.clone, path)), { recursive: true });
          writeFileSync(join(work.clone, path), content);
          const paths = [repoPathFromText(path)].filter((each) => each !== undefined);
          snapshots.push(
            (await bulkhead.checkpoint({ session: work.session, trigger: 'save', agent: 'codex', paths })).snapshot,
          );
        }
        return { snapshots };
      case 'create': {
        const session = await bulkhead.createSession({ name: work.name, from: { kind: 'head' } });
        return { snapshots: [session.newest], session: session.id };
      }
      case 'restore': {
        const result = await bulkhead.restore({ session: work.session, target: work.target, consent: 'all' });
        return { snapshots: [result.snapshot] };
      }
      case 'hold': {
        const { LockFolder, newHolder } = await import('../../src/session/locks');
        const locks = new LockFolder(join(storage, 'locks'), host);
        await locks.acquire(work.session, {
          holder: await newHolder(host, 'checkpoint', 'codex'),
          waitMs: 0,
          record: true,
        });
        process.send?.('holding');
        await message('never');
        return { snapshots };
      }
    }
  } catch (error) {
    return { snapshots, error: error instanceof BulkheadError ? error.code : String(error) };
  } finally {
    await bulkhead.shutdown();
  }
}

void main().then(
  (result) => {
    process.send?.(result, () => {
      process.disconnect();
    });
  },
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
