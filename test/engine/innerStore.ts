import { type Clock, systemClock } from '../../src/base/clock';
import { silentLog } from '../../src/base/log';
import { createHost, type Host } from '../../src/session/host';
import { openSnapshotStore } from '../../src/session/openSnapshotStore';
import type { SnapshotStore } from '../../src/session/snapshotStore';
import { storageAt } from '../../src/session/storage';
import { openUserRepository } from '../../src/session/userRepository';
import type { EngineWorld } from './world';

/** The store below the engine's door, for tests of one service. The caller stops it. */
export async function openInnerStore(
  world: EngineWorld,
  clock: Clock = systemClock,
): Promise<{ readonly host: Host; readonly store: SnapshotStore }> {
  const host = await createHost({ log: silentLog, product: 'test', environment: world.environment, clock });
  const repository = await openUserRepository(host, world.repo.dir);
  return { host, store: await openSnapshotStore(host, storageAt(world.storage), repository) };
}
