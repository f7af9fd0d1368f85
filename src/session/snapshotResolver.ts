import { BulkheadError } from '../base/errors';
import { isOid, isOidPrefix, type Oid } from '../core/objectId';
import { shadowRef } from '../core/refName';
import { isSessionRef } from '../core/sessionId';
import type { Snapshot } from './api';
import type { Host } from './host';
import type { SnapshotLog } from './snapshotLog';
import { noSuchSnapshot, type SnapshotReader } from './snapshotReader';
import type { SnapshotStore } from './snapshotStore';

/** Finds the snapshot that a person means. */
export class SnapshotResolver {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  readonly #reader: SnapshotReader;
  readonly #log: SnapshotLog;

  constructor(host: Host, store: SnapshotStore, reader: SnapshotReader, log: SnapshotLog) {
    this.#host = host;
    this.#store = store;
    this.#reader = reader;
    this.#log = log;
  }

  /**
   * Finds a snapshot by its oid, six or more digits of it, or `OID^` for the one before.
   * @throws BulkheadError `snapshot-not-found`, `snapshot-ambiguous`
   */
  async resolve(text: string, session?: string): Promise<Snapshot> {
    const { digits, back } = parseSnapshotName(text);
    let snapshot = await this.#byDigits(digits, session);
    for (let step = 0; step < back; step++) {
      if (snapshot.previous === null) {
        throw new BulkheadError(
          'notFound',
          'snapshot-not-found',
          `There is no snapshot before ${digits}${'^'.repeat(step)}.`,
          { data: { snapshot: text } },
        );
      }
      snapshot = await this.#log.snapshot(snapshot.previous);
    }
    return snapshot;
  }

  async #byDigits(name: string, session: string | undefined): Promise<Snapshot> {
    const candidates = isOid(name, this.#store.format)
      ? [name]
      : (await this.#host.git.text([`--git-dir=${this.#store.gitDir}`, 'rev-parse', `--disambiguate=${name}`]))
          .split('\n')
          .filter((oid) => oid !== '');
    const found: Oid[] = [];
    for (const oid of candidates) {
      if (await this.#isSnapshot(oid, session)) {
        found.push(oid);
      }
    }
    const [oid] = found;
    if (oid === undefined) {
      throw noSuchSnapshot(name);
    }
    if (found.length > 1) {
      throw new BulkheadError(
        'user',
        'snapshot-ambiguous',
        `${name} fits ${String(found.length)} snapshots. Give more digits.`,
        { data: { snapshot: name, candidates: found } },
      );
    }
    return this.#log.snapshot(oid);
  }

  /** A commit that lost a race lies in the store too, but no ref of ours leads to it. */
  async #isSnapshot(oid: Oid, session: string | undefined): Promise<boolean> {
    if ((await this.#store.reader.info(oid))?.type !== 'commit') {
      return false;
    }
    const commit = await this.#reader.commit(oid);
    if (
      commit === undefined ||
      (session !== undefined && commit.meta.session !== session) ||
      !isSessionRef(commit.meta.session)
    ) {
      return false;
    }
    const id = commit.meta.session;
    const refs = await this.#host.git.run(
      [
        `--git-dir=${this.#store.gitDir}`,
        'for-each-ref',
        `--contains=${oid}`,
        '--count=1',
        '--format=%(refname)',
        shadowRef(id),
        `refs/bulkhead/closed/${id}`,
        `refs/bulkhead/pins/${id}`,
      ],
      { expect: [0, 1, 128] },
    );
    if (refs.stdout.length > 0 || (refs.code === 0 && refs.stderr === '')) {
      return refs.stdout.length > 0;
    }
    // Git gives up where a commit on the way is damaged; the way around it is slow and finds the same.
    return (await this.#reader.history(id)).some((snapshot) => snapshot.oid === oid);
  }
}

/**
 * Takes apart what a person typed for a snapshot; each `^` goes one back.
 * @throws BulkheadError `snapshot-not-found` for what cannot be one
 */
export function parseSnapshotName(text: string): { readonly digits: string; readonly back: number } {
  let end = text.length;
  while (text[end - 1] === '^') {
    end--;
  }
  const digits = text.slice(0, end);
  if (!isOidPrefix(digits)) {
    throw new BulkheadError(
      'notFound',
      'snapshot-not-found',
      `"${text}" is not the id of a snapshot: give six or more of its digits.`,
      { data: { snapshot: text } },
    );
  }
  return { digits: digits.toLowerCase(), back: text.length - end };
}
