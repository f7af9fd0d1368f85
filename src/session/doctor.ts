import { join } from 'node:path';
import { messageOf } from '../base/errors';
import { loosePath } from '../core/looseObject';
import type { Oid } from '../core/objectId';
import { STORE_CLAIM } from '../core/refName';
import { CancelledError } from '../git/gitError';
import { holdsOwnObjects, isPlainGitFolder } from '../git/headFile';
import type { Finding, Repair, SessionRef, StoreReport } from './api';
import { Claims } from './claims';
import { checkFolders, repairFolders } from './doctorFolders';
import { checkPlace, moveToDamaged, repairPlace } from './doctorPlace';
import { checkRefs, readRefs, repairRefs, sessionsOf, type StoredRefs } from './doctorRefs';
import { makeFolder, writeFileAtomic } from './files';
import { Findings, NOTHING_LOST, REPAIR } from './findings';
import type { Host } from './host';
import { objectsOf, ObjectRescue } from './objectRescue';
import { isReadable, type ObjectFaults, scanObjects } from './objectScan';
import { LockFolder } from './locks';
import { Records } from './records';
import { SnapshotHealth } from './snapshotHealth';
import type { SnapshotStore } from './snapshotStore';
import { sessionFolder, type Storage } from './storage';
import type { UserRepository } from './userRepository';

export interface DoctorOptions {
  readonly host: Host;
  readonly storage: Storage;
  readonly repository: UserRepository;
  readonly store: SnapshotStore;
  /** Files of the store that an ordinary opening would write anew. */
  readonly stale?: readonly string[];
  /** Writes what is in a session's work tree into the store again; without it nothing is brought back from there. */
  readonly rewrite?: (session: SessionRef) => Promise<void>;
}

/**
 * Looks at everything that snapshots depend on and says what it means; and mends what can be mended without guessing. It
 * deletes nothing that might be the only copy of anything: what is damaged is moved aside, what belongs to nobody goes to
 * the trash, and a ref that is moved is noted with where it stood.
 */
export class Doctor {
  readonly #options: DoctorOptions;
  readonly #records: Records;
  readonly #health: SnapshotHealth;

  constructor(options: DoctorOptions) {
    this.#options = options;
    this.#records = new Records(options.host, options.store);
    this.#health = new SnapshotHealth(options.host, options.store);
  }

  /** Writes nothing. */
  async check(signal?: AbortSignal): Promise<StoreReport> {
    return this.#report(await this.#findings(signal), [], null);
  }

  /** Mends, then looks again. @throws BulkheadError `claimed` while maintenance or another repair is under way */
  async repair(signal?: AbortSignal): Promise<StoreReport> {
    const { host, store, storage } = this.#options;
    const before = await this.#findings(signal);
    const repairs = [...(await repairPlace(host, this.#place()))];
    const claims = new Claims(host, store, new LockFolder(storage.locks, host));
    await claims.hold(STORE_CLAIM, 'repair', host.product, async () => {
      repairs.push(...(await this.#repairObjects(signal)));
      repairs.push(...(await repairRefs(this.#refPlaces())));
      repairs.push(...(await repairFolders(await this.#folderPlaces(await readRefs(host, store)))));
    });
    const reportFile = repairs.length === 0 ? null : await this.#writeReport(storage.root, before, repairs);
    return this.#report(await this.#findings(signal), repairs, reportFile);
  }

  #place(): { readonly root: string; readonly repository: string } {
    return { root: this.#options.storage.root, repository: this.#options.repository.root };
  }

  #refPlaces(): Parameters<typeof checkRefs>[0] {
    const { host, store, storage } = this.#options;
    return { host, store, root: storage.root, records: this.#records, health: this.#health };
  }

  async #folderPlaces(stored: StoredRefs): Promise<Parameters<typeof checkFolders>[0]> {
    const { host, storage } = this.#options;
    return {
      host,
      storage,
      records: this.#records,
      recordedIds: sessionsOf(stored),
      hasSnapshots: async (session) => (await this.#health.newestWhole(session)) !== null,
    };
  }

  async #findings(signal: AbortSignal | undefined): Promise<readonly Finding[]> {
    const { host, store, stale = [] } = this.#options;
    const findings = new Findings();
    await checkPlace(host, this.#place(), findings);
    for (const path of stale) {
      findings.add(
        'info',
        'store-configuration',
        { subject: join(store.gitDir, path) },
        {
          message: `${path} of the snapshot store is not what your settings say.`,
          safe: NOTHING_LOST,
          advice: 'It is written anew whenever the store is opened for work.',
        },
      );
    }
    const stored = await readRefs(host, store);
    const faults = await scanObjects(host, store, signal);
    tellFaults(faults, findings);
    const objectsAreDamaged = faults.corrupt.size + faults.missing.size + faults.packs.length > 0;
    await checkRefs(this.#refPlaces(), stored, { objectsAreDamaged }, findings);
    await checkFolders(await this.#folderPlaces(stored), findings);
    return findings.all;
  }

  /** Moves corrupt files aside and brings back what is lost: from repositories that have it too, then from the work trees. */
  async #repairObjects(signal: AbortSignal | undefined): Promise<readonly Repair[]> {
    const { host, store, storage } = this.#options;
    const repairs: Repair[] = [];
    store.objects.distrust();
    const faults = await scanObjects(host, store, signal);
    for (const [oid, reason] of faults.corrupt) {
      const target = await moveToDamaged(storage.root, join(store.gitDir, 'objects', loosePath(oid)), oid);
      repairs.push({ code: 'object-corrupt', subject: oid, what: `Moved aside to ${target}: ${reason}.` });
    }
    // What was hidden behind the corrupt ones shows only now.
    const lost = new Set([...faults.corrupt.keys(), ...(await scanObjects(host, store, signal)).missing]);
    for (const [oid, from] of await this.#bringBack(lost, signal)) {
      repairs.push({ code: 'object-missing', subject: oid, what: `Brought back from ${from}.` });
    }
    const left: Oid[] = [];
    for (const oid of lost) {
      if (!(await isReadable(store, oid))) {
        left.push(oid);
      }
    }
    if (left.length > 0) {
      await this.#rewriteWorkTrees();
      for (const oid of left) {
        if (await isReadable(store, oid)) {
          repairs.push({ code: 'object-missing', subject: oid, what: 'Written again from the files of a work tree.' });
        }
      }
    }
    return repairs;
  }

  async #bringBack(lost: ReadonlySet<Oid>, signal: AbortSignal | undefined): Promise<ReadonlyMap<Oid, string>> {
    const { host, store, storage, repository } = this.#options;
    const stored = await readRefs(host, store);
    const wanted = new Set([...lost, ...(await this.#bases(stored))]);
    const folders = [objectsOf(repository.commonDir), objectsOf(storage.donor), ...(await this.#clones(stored))];
    const rescue = new ObjectRescue(host, store, folders);
    const brought = new Map<Oid, string>();
    try {
      for (const oid of wanted) {
        if (signal?.aborted === true) {
          throw new CancelledError();
        }
        for (const [each, from] of await rescue.bring(oid)) {
          brought.set(each, from);
        }
      }
    } finally {
      await rescue.stop();
    }
    return brought;
  }

  /** What sessions started from: needed to record anything in them, whether or not a ref leads to it. */
  async #bases(stored: StoredRefs): Promise<readonly Oid[]> {
    const bases: Oid[] = [];
    for (const session of sessionsOf(stored)) {
      const record = session === 'workspace' ? undefined : await this.#records.read(session).catch(() => undefined);
      if (record?.parsed.kind === 'ok') {
        const { commit, tree } = record.parsed.record.base;
        bases.push(...(commit === null ? [] : [commit]), tree);
      }
    }
    return bases;
  }

  async #clones(stored: StoredRefs): Promise<readonly string[]> {
    const { storage } = this.#options;
    const folders: string[] = [];
    for (const session of sessionsOf(stored)) {
      const record = session === 'workspace' ? undefined : await this.#records.read(session).catch(() => undefined);
      if (record?.parsed.kind === 'ok') {
        const { id, repository, slug } = record.parsed.record;
        const gitDir = join(sessionFolder(storage, id), `${repository}-${slug}`, '.git');
        // Git would wait for what is no file, once for each object.
        if (isPlainGitFolder(gitDir) && holdsOwnObjects(objectsOf(gitDir))) {
          folders.push(objectsOf(gitDir));
        }
      }
    }
    return folders;
  }

  async #rewriteWorkTrees(): Promise<void> {
    const { host, store, rewrite } = this.#options;
    for (const session of rewrite === undefined ? [] : sessionsOf(await readRefs(host, store))) {
      try {
        await rewrite?.(session);
      } catch (error) {
        // A session without a folder, or one whose base is lost: the others can still help.
        host.log.warn(`the work tree of ${session} is not written again: ${messageOf(error)}`);
      }
    }
  }

  async #writeReport(root: string, before: readonly Finding[], repairs: readonly Repair[]): Promise<string> {
    const folder = join(root, 'damaged');
    await makeFolder(folder);
    const time = new Date(this.#options.host.clock.now()).toISOString();
    const file = join(folder, `report-${time.replace(/[:.]/g, '-')}.json`);
    await writeFileAtomic(file, `${JSON.stringify({ format: 1, time, findings: before, repairs }, null, 2)}\n`);
    return file;
  }

  #report(findings: readonly Finding[], repairs: readonly Repair[], reportFile: string | null): StoreReport {
    const { host, storage, repository } = this.#options;
    return {
      storage: storage.root,
      repository: repository.root,
      git: host.git.version.text,
      findings,
      repairs,
      reportFile,
    };
  }
}

function tellFaults(faults: ObjectFaults, findings: Findings): void {
  const bring = `A repair moves the damaged file aside and looks for the object in your repository, the donor, the clones and the work trees. ${REPAIR}`;
  for (const [oid, reason] of faults.corrupt) {
    findings.add(
      'error',
      'object-corrupt',
      { subject: oid },
      {
        message: `The object ${oid} is corrupt: ${reason}.`,
        safe: 'Snapshots that do not hold it are whole.',
        advice: bring,
        repairable: true,
      },
    );
  }
  for (const oid of faults.missing) {
    findings.add(
      'error',
      'object-missing',
      { subject: oid },
      {
        message: `The object ${oid} is missing.`,
        safe: 'Snapshots that do not hold it are whole.',
        advice: bring,
        repairable: true,
      },
    );
  }
  for (const line of faults.packs) {
    findings.add(
      'error',
      'pack-damaged',
      { subject: line },
      {
        message: `A pack is damaged: ${line}`,
        safe: 'Objects that can still be read from it are read; the others are named one by one.',
        advice: `Objects that are lost are looked for elsewhere. ${REPAIR} The pack itself stays where it is: bring it back from a backup.`,
      },
    );
  }
  if (faults.stopped !== null) {
    findings.add(
      'info',
      'check-cut-short',
      {},
      {
        message: `Git stopped looking at the first damaged object: ${faults.stopped}`,
        safe: NOTHING_LOST,
        advice: 'More may be found after a repair.',
      },
    );
  }
  if (faults.style > 0) {
    findings.add(
      'info',
      'object-style',
      {},
      {
        message: `Git holds something against the form of ${String(faults.style)} objects, as a rule old ones of your own history.`,
        safe: NOTHING_LOST,
        advice: 'Nothing has to be done.',
      },
    );
  }
}
