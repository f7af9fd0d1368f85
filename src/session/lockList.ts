import { stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { ioError, isAbsent } from '../base/errors';
import type { HolderRecord } from '../core/holder';
import { claimRef } from '../core/refName';
import { isSessionRef } from '../core/sessionId';
import { type LockInfo, type LockKind, type LockState, type SessionRef, WORKSPACE } from './api';
import { leaseName } from './captureLease';
import type { Claims } from './claims';
import { livenessOfHolder } from './holders';
import type { Host } from './host';
import type { LockFolder } from './locks';
import { refLockFiles } from './refLockFiles';
import type { SessionCatalog } from './sessionCatalog';
import type { SnapshotStore } from './snapshotStore';

/** Lock files of git's that are about all refs at once. */
const STORE_LOCKS = ['packed-refs.lock', join('reftable', 'tables.list.lock')];

/** Who holds what in one storage, for people who wait: our locks, leases and claims, and git's own lock files. */
export class LockList {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #locks: LockFolder;
  readonly #claims: Claims;
  readonly #catalog: SessionCatalog;

  constructor(options: {
    readonly host: Host;
    readonly store: SnapshotStore;
    readonly locks: LockFolder;
    readonly claims: Claims;
    readonly catalog: SessionCatalog;
  }) {
    this.#host = options.host;
    this.#store = options.store;
    this.#locks = options.locks;
    this.#claims = options.claims;
    this.#catalog = options.catalog;
  }

  /** The oldest first: what keeps somebody waiting is seldom young. */
  async list(): Promise<readonly LockInfo[]> {
    const [locks, claims, gitLocks] = await Promise.all([this.#locks.list(), this.#claims.list(), this.#gitLocks()]);
    const found = await Promise.all([
      ...locks.map((lock) => {
        const session = lock.name.split('.')[0] ?? '';
        const kind = lock.name === leaseName(session) ? 'lease' : 'lock';
        return this.#held(kind, isSessionRef(session) ? session : null, lock, lock.path);
      }),
      ...claims.map((claim) => this.#held('claim', claim.session, claim, claimRef(claim.session))),
    ]);
    const all = [...found, ...gitLocks];
    if (all.length === 0) {
      return [];
    }
    const names = new Map((await this.#catalog.list({ all: true })).map(({ id, name }) => [id, name]));
    return all
      .map((lock) => ({ ...lock, name: nameOf(lock.session, names) }))
      .sort((a, b) => (b.ageMs ?? -1) - (a.ageMs ?? -1));
  }

  async #held(
    kind: LockKind,
    session: SessionRef | null,
    { record, renewed }: { readonly record: HolderRecord; readonly renewed: number | null },
    place: string,
  ): Promise<LockInfo> {
    const holder = record.kind === 'ok' ? record.holder : null;
    const since = holder?.since ?? null;
    const state: LockState = record.kind === 'newer' ? 'newer' : await livenessOfHolder(record);
    return {
      kind,
      session,
      name: null,
      purpose: holder?.purpose ?? null,
      agent: holder?.agent ?? null,
      pid: holder?.pid ?? null,
      host: holder?.host ?? null,
      since,
      ageMs: this.#age(since ?? renewed),
      state,
      place,
    };
  }

  #age(time: number | null): number | null {
    return time === null ? null : Math.max(0, Math.round(this.#host.clock.now() - time));
  }

  /** Git does not say who made them. */
  async #gitLocks(): Promise<readonly LockInfo[]> {
    const { gitDir } = this.#store;
    const files = [...STORE_LOCKS.map((name) => join(gitDir, name)), ...(await refLockFiles(gitDir))];
    const found: LockInfo[] = [];
    for (const file of files) {
      const since = await writtenAt(file);
      if (since !== null) {
        found.push({
          kind: 'git',
          session: sessionOfRefFile(relative(gitDir, file)),
          name: null,
          purpose: null,
          agent: null,
          pid: null,
          host: null,
          since,
          ageMs: this.#age(since),
          state: 'unknown',
          place: file,
        });
      }
    }
    return found;
  }
}

function nameOf(session: SessionRef | null, names: ReadonlyMap<SessionRef, string>): string | null {
  return session === WORKSPACE ? 'This workspace' : session === null ? null : (names.get(session) ?? null);
}

async function writtenAt(file: string): Promise<number | null> {
  try {
    return Math.round((await stat(file)).mtimeMs);
  } catch (error) {
    if (isAbsent(error)) {
      return null;
    }
    throw ioError('look at', file, error);
  }
}

/** The session that a ref below `refs/bulkhead` is about: its own name is the third part, or the fourth after a kind. */
function sessionOfRefFile(file: string): SessionRef | null {
  const parts = file.replace(/\.lock$/, '').split(sep);
  return parts.slice(2, 4).find((part) => isSessionRef(part)) ?? null;
}
