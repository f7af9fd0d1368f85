// A process that takes and lets go of locks and claims when it is told to.
import { silentLog } from '../../src/base/log';
import { BulkheadError } from '../../src/base/errors';
import { SAVE_LOCK_CAP_MS } from '../../src/core/holder';
import { Claims } from '../../src/session/claims';
import type { HeldLock } from '../../src/session/heldLock';
import { newHolder } from '../../src/session/holders';
import { createHost } from '../../src/session/host';
import { LockFolder } from '../../src/session/locks';
import { openSnapshotStore } from '../../src/session/openSnapshotStore';
import { storageAt } from '../../src/session/storage';
import { openUserRepository } from '../../src/session/userRepository';

export interface LockTask {
  readonly locks: string;
  /** For claims. */
  readonly repository?: string;
  readonly storage?: string;
}

export type LockOrder =
  | { readonly kind: 'take'; readonly name: string }
  | { readonly kind: 'release' }
  | { readonly kind: 'claim'; readonly session: string };

async function main(): Promise<void> {
  const task = JSON.parse(process.argv[2] ?? '') as LockTask;
  const host = await createHost({ log: silentLog, product: 'test' });
  const locks = new LockFolder(task.locks, host);
  let held: HeldLock | undefined;

  async function obey(order: LockOrder): Promise<string> {
    switch (order.kind) {
      case 'take': {
        const holder = await newHolder(host, 'checkpoint', 'codex');
        const locked = await locks.acquire(order.name, { holder, waitMs: 0, capMs: SAVE_LOCK_CAP_MS });
        held = locked.kind === 'held' ? locked.lock : undefined;
        return locked.kind;
      }
      case 'release':
        held?.release();
        return 'released';
      case 'claim': {
        const { storage = '', repository = '' } = task;
        const user = await openUserRepository(host, repository);
        const store = await openSnapshotStore(host, storageAt(storage), user);
        const claims = new Claims(host, store, locks);
        return new Promise((resolve, reject) => {
          claims
            .hold(order.session, 'restore', 'codex', () => {
              resolve('claimed');
              return new Promise<never>(() => undefined);
            })
            .catch((error: unknown) => {
              reject(error instanceof Error ? error : new Error(String(error)));
            });
        });
      }
    }
  }

  process.on('message', (order: LockOrder) => {
    obey(order).then(
      (answer) => process.send?.(answer),
      (error: unknown) => process.send?.(error instanceof BulkheadError ? error.code : String(error)),
    );
  });
  process.send?.('ready');
}

void main();
