import { ApplyService } from './applyService';
import { Captures } from './captures';
import { Claims } from './claims';
import { Comparisons } from './comparisons';
import { ContentionService } from './contentionService';
import { ContentionSides } from './contentionSides';
import { Doctor } from './doctor';
import { EngineEvents } from './engineEvents';
import type { Host } from './host';
import { Journal } from './journal';
import { LockList } from './lockList';
import { LockFolder } from './locks';
import { Maintenance } from './maintenance';
import { Records } from './records';
import { Recovery } from './recovery';
import { RemovalService } from './removalService';
import { ResetService } from './resetService';
import { RestoreService } from './restoreService';
import { SessionCatalog } from './sessionCatalog';
import { SessionMaker } from './sessionMaker';
import { SessionNames } from './sessionNames';
import { SessionTrash } from './sessionTrash';
import { Sites } from './sites';
import { SnapshotHealth } from './snapshotHealth';
import { SnapshotList } from './snapshotList';
import { SnapshotLog } from './snapshotLog';
import { SnapshotReader } from './snapshotReader';
import { SnapshotResolver } from './snapshotResolver';
import type { SnapshotStore } from './snapshotStore';
import { SnapshotSummaries } from './snapshotSummaries';
import { StartPoints } from './startPoints';
import type { Storage } from './storage';
import type { UserRepository } from './userRepository';
import { WaitingList } from './waitingList';
import { Workspace } from './workspace';

/** What the services of one storage are made of. */
export interface Ground {
  readonly host: Host;
  readonly storage: Storage;
  readonly repository: UserRepository;
  readonly store: SnapshotStore;
}

/** The services that the door leads to. */
export interface Engine extends Ground {
  readonly events: EngineEvents;
  readonly waiting: WaitingList;
  readonly catalog: SessionCatalog;
  readonly names: SessionNames;
  readonly starts: StartPoints;
  readonly maker: SessionMaker;
  readonly removals: RemovalService;
  readonly resets: ResetService;
  readonly sites: Sites;
  readonly captures: Captures;
  readonly snapshotList: SnapshotList;
  readonly snapshotLog: SnapshotLog;
  readonly snapshotResolver: SnapshotResolver;
  readonly comparisons: Comparisons;
  readonly restores: RestoreService;
  readonly contention: ContentionService;
  readonly contentionSides: ContentionSides;
  readonly applies: ApplyService;
  readonly recovery: Recovery;
  readonly lockList: LockList;
  readonly maintenance: Maintenance;
  /** @param signal ends what the doctor writes */
  readonly doctor: (signal: AbortSignal) => Doctor;
}

/** Makes the services of one storage and hands each what it needs. Starts nothing. */
export function composeEngine(ground: Ground): Engine {
  const { host, storage, repository, store } = ground;
  const events = new EngineEvents(host);
  const waiting = new WaitingList(() => {
    events.waitingChanged.fire();
  });
  const onWaiting = waiting.set.bind(waiting);
  const records = new Records(host, store);
  const locks = new LockFolder(storage.locks, host);
  const claims = new Claims(host, store, locks);
  const journal = new Journal(host, storage.journal);
  const health = new SnapshotHealth(host, store);
  const reader = new SnapshotReader(store, health);
  const snapshotLog = new SnapshotLog(host, store, health, reader);
  const summaries = new SnapshotSummaries(host, store, health, reader);
  const workspace = new Workspace(host, repository, store, summaries);
  const catalog = new SessionCatalog({ host, storage, store, records, health, summaries, workspace });
  const sites: Sites = new Sites({
    ...ground,
    locks,
    claims,
    records,
    health,
    catalog,
    beforeWrite: (session) => recovery.settle(session),
    onMoved: (session) => {
      events.snapshotsChanged.fire(session);
    },
    onWaiting,
  });
  const maker = new SessionMaker({ ...ground, records, claims, journal });
  const trash = new SessionTrash({ ...ground, records, journal, health });
  const starts = new StartPoints({ ...ground, reader, sites, catalog });
  const contention = new ContentionService(store, host.settings.contentionExclude);
  const removals = new RemovalService({ host, store, records, claims, journal, catalog, trash, sites, contention });
  const resets = new ResetService({
    host,
    records,
    claims,
    catalog,
    summaries,
    maker,
    trash,
    sites,
    starts,
    removals,
    onWaiting,
  });
  const restores = new RestoreService(host, store, reader, claims, journal);
  const applies = new ApplyService({ host, store, repository, records, claims, journal, reader });
  const recovery: Recovery = new Recovery({
    host,
    storage,
    store,
    journal,
    claims,
    locks,
    sites,
    records,
    maker,
    trash,
    restores,
    applies,
    onRecovered: (recovered) => {
      events.recovered.fire(recovered);
      events.sessionsChanged.fire();
    },
  });
  return {
    ...ground,
    events,
    waiting,
    catalog,
    names: new SessionNames(host, locks, records, catalog),
    starts,
    maker,
    removals,
    resets,
    sites,
    captures: new Captures(host, locks, sites),
    snapshotList: new SnapshotList(host, health, reader, snapshotLog),
    snapshotLog,
    snapshotResolver: new SnapshotResolver(host, store, reader, snapshotLog),
    comparisons: new Comparisons({ host, store, sites, catalog }),
    restores,
    contention,
    contentionSides: new ContentionSides(host, catalog, summaries, sites),
    applies,
    recovery,
    lockList: new LockList({ host, store, locks, claims, catalog }),
    maintenance: new Maintenance({ host, store, claims, storageRoot: storage.root }),
    doctor: (signal) =>
      new Doctor({ ...ground, rewrite: async (session) => (await sites.of(session)).writer.rewrite(signal) }),
  };
}
