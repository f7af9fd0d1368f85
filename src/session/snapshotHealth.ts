import { mapLimited } from '../base/async';
import { BulkheadError, messageOf } from '../base/errors';
import type { ChainPosition } from '../core/chain';
import { parseCommit } from '../core/commitObject';
import { isOid, type Oid } from '../core/objectId';
import { shadowRef } from '../core/refName';
import { parseMessage } from '../core/snapshotMessage';
import { parseTree } from '../core/treeObject';
import type { GitObject } from '../git/catFile';
import type { Host } from './host';
import { isDamage, type SnapshotStore } from './snapshotStore';

/** Snapshots down the chain that are looked through for a whole one: what so many share is not lost by the newest one alone. */
const MOST_CANDIDATES = 64;
const AT_ONCE = 16;

/** Where a session stands, as far as it can be read. */
export interface Standing {
  /** Where the shadow ref stands: what a move of it has to name as the old value. Null: no snapshot yet, or it cannot be told. */
  readonly ref: Oid | null;
  /** The newest snapshot whose commit can be read. */
  readonly readable: Oid | null;
  /** The newest snapshot that is whole. */
  readonly good: Oid | null;
  readonly damage: Damage | null;
}

export interface Damage {
  /** What is lost, what is safe, and what comes next; for people. */
  readonly text: string;
  /** What was met first. */
  readonly fault: BulkheadError;
}

interface Place {
  readonly session: string;
  readonly chain: ChainPosition;
}

/**
 * Knows which snapshots are whole. A session whose newest snapshot is damaged is shown, and recorded further, from the newest
 * one that is not: down the chain as long as commits can be read, and then, because a lost commit takes the name of its
 * parent with it, by looking through all commits of the store.
 */
export class SnapshotHealth {
  readonly #host: Host;
  readonly #store: SnapshotStore;
  /** Snapshots that are known not to be whole, with the object that is damaged. */
  readonly #bad = new Map<Oid, Oid>();
  readonly #found = new Map<string, Standing>();
  readonly #told = new Set<string>();

  constructor(host: Host, store: SnapshotStore) {
    this.#host = host;
    this.#store = store;
  }

  /**
   * Looks at commit and root tree of the newest snapshot; the rest of it is taken for whole until something was found
   * wanting (`suspect`).
   */
  async standing(session: string): Promise<Standing> {
    const ref = shadowRef(session);
    let fault: BulkheadError;
    try {
      const object = await this.#store.tip(ref);
      if (object === undefined) {
        return { ref: null, readable: null, good: null, damage: null };
      }
      await this.#store.tree(treeOf(object));
      const known = await this.#knownDamage(object.oid);
      if (known === undefined) {
        this.#found.delete(session);
        return { ref: object.oid, readable: object.oid, good: object.oid, damage: null };
      }
      fault = damagedObject(known);
    } catch (error) {
      if (!isDamage(error)) {
        throw error;
      }
      fault = error;
    }
    this.#store.objects.distrust();
    const oid = await this.#store.reader.target(ref);
    const before = this.#found.get(session);
    if (before !== undefined && before.ref === oid && (await this.#isStillGood(before))) {
      return before;
    }
    const standing = await this.#search(session, oid, fault);
    this.#found.set(session, standing);
    this.#tell(session, standing);
    return standing;
  }

  /** Looks at everything that a session's newest snapshot holds, because a part of it could not be read. */
  async suspect(session: string): Promise<Standing> {
    const first = await this.standing(session);
    if (first.damage !== null || first.good === null) {
      return first;
    }
    const damaged = await this.damagedObjectOf(first.good);
    if (damaged === undefined) {
      return first;
    }
    this.#bad.set(first.good, damaged);
    return this.standing(session);
  }

  /**
   * The first object of a snapshot that is missing or corrupt; undefined when it is whole. Reads every loose object of it,
   * and asks git for the others.
   */
  async damagedObjectOf(snapshot: Oid, whole: Set<Oid> = new Set()): Promise<Oid | undefined> {
    try {
      return await this.#damagedBelow((await this.#store.commit(snapshot)).tree, whole);
    } catch (error) {
      if (isDamage(error)) {
        return snapshot;
      }
      throw error;
    }
  }

  /** The newest snapshot of a session before a place in its chains whose commit can be read; the slow way, through all of the store. */
  async older({ session, chain }: Place): Promise<Oid | null> {
    return (await this.#scan(session, chain))[0] ?? null;
  }

  /** The newest whole snapshot of a session whose ref is gone or cannot be read; the slow way, through all of the store. */
  async newestWhole(session: string): Promise<Oid | null> {
    return this.#firstWhole(await this.#scan(session, null), new Set());
  }

  async #firstWhole(candidates: readonly Oid[], whole: Set<Oid>): Promise<Oid | null> {
    for (const candidate of candidates.slice(0, MOST_CANDIDATES)) {
      if ((await this.damagedObjectOf(candidate, whole)) === undefined) {
        return candidate;
      }
    }
    return null;
  }

  async #knownDamage(snapshot: Oid): Promise<Oid | undefined> {
    const known = this.#bad.get(snapshot);
    if (known === undefined || (await this.#isDamaged(known))) {
      return known;
    }
    // Mended meanwhile; something else of it may still be damaged.
    const next = await this.damagedObjectOf(snapshot);
    if (next === undefined) {
      this.#bad.delete(snapshot);
    } else {
      this.#bad.set(snapshot, next);
    }
    return next;
  }

  async #isStillGood({ good }: Standing): Promise<boolean> {
    return good !== null && !(await this.#isDamaged(good));
  }

  async #isDamaged(oid: Oid): Promise<boolean> {
    const loose = this.#store.objects.check(oid);
    return loose.kind === 'absent' ? (await this.#store.reader.info(oid)) === undefined : loose.kind === 'corrupt';
  }

  async #search(session: string, ref: Oid | null, fault: BulkheadError): Promise<Standing> {
    const whole = new Set<Oid>();
    let readable: Oid | null = null;
    let good: Oid | null = null;
    let below: ChainPosition | null = null;
    let at = ref;
    let looked = 0;
    while (at !== null && good === null && looked++ < MOST_CANDIDATES) {
      const place = await this.#placeOf(at);
      if (place === undefined) {
        break;
      }
      readable ??= at;
      if ((await this.damagedObjectOf(at, whole)) === undefined) {
        good = at;
      }
      below = place.chain;
      at = place.previous;
    }
    if (good === null && looked <= MOST_CANDIDATES && (at !== null || ref === null)) {
      const candidates = await this.#scan(session, below);
      readable ??= candidates[0] ?? null;
      good = await this.#firstWhole(candidates, whole);
    }
    return { ref, readable, good, damage: { text: damageText(ref, good, fault), fault } };
  }

  /** Undefined when the commit cannot be read, or is none of ours. */
  async #placeOf(oid: Oid): Promise<(Place & { readonly previous: Oid | null }) | undefined> {
    try {
      const commit = await this.#store.commit(oid);
      const meta = parseMessage(commit.message)?.meta;
      return meta === undefined
        ? undefined
        : { session: meta.session, chain: meta.chain, previous: commit.parents[0] ?? meta.previous };
    } catch (error) {
      if (isDamage(error)) {
        return undefined;
      }
      throw error;
    }
  }

  async #scan(session: string, below: ChainPosition | null): Promise<readonly Oid[]> {
    const listing = await this.#host.git.run(
      [
        `--git-dir=${this.#store.gitDir}`,
        'cat-file',
        '--batch-all-objects',
        '--unordered',
        '--batch-check=%(objecttype) %(objectname)',
      ],
      // It complains about what is damaged, and lists the rest.
      { expect: [0, 1, 128] },
    );
    const foreign = await this.#foreignCommits();
    const commits = listing.stdout
      .toString('latin1')
      .split('\n')
      .filter((line) => line.startsWith('commit '))
      .map((line) => line.slice('commit '.length))
      .filter((oid) => isOid(oid, this.#store.format) && !foreign.has(oid));
    const found = await mapLimited(commits, AT_ONCE, async (oid) => {
      const commit = await this.#snapshotOf(oid, session);
      return commit === undefined || (below !== null && compare(commit.chain, below) >= 0) ? undefined : commit;
    });
    return found
      .filter((entry) => entry !== undefined)
      .sort((a, b) => compare(b.chain, a.chain) || b.time - a.time || (a.oid < b.oid ? -1 : 1))
      .map(({ oid }) => oid);
  }

  async #snapshotOf(
    oid: Oid,
    session: string,
  ): Promise<{ readonly oid: Oid; readonly chain: ChainPosition; readonly time: number } | undefined> {
    try {
      // Looked at here first: a corrupt one would end the git process that reads for everybody.
      const loose = this.#store.objects.check(oid);
      if (loose.kind === 'corrupt') {
        return undefined;
      }
      const commit = loose.kind === 'whole' ? parseCommit(loose.body) : await this.#store.commit(oid);
      const meta = parseMessage(commit.message)?.meta;
      return meta?.session === session ? { oid, chain: meta.chain, time: commit.committer.time } : undefined;
    } catch (error) {
      if (isDamage(error)) {
        return undefined;
      }
      throw error;
    }
  }

  /** Commits of people and agents were fetched into the store too, and may carry any message: those are no snapshots. */
  async #foreignCommits(): Promise<ReadonlySet<Oid>> {
    const refs = ['heads', 'lost', 'bases'].map((kind) => `--glob=refs/bulkhead/${kind}/*`);
    const { stdout } = await this.#host.git.run(
      [`--git-dir=${this.#store.gitDir}`, 'rev-list', '--ignore-missing', ...refs],
      // What of it can be read before it meets damage is enough.
      { expect: [0, 1, 128] },
    );
    return new Set(stdout.toString('latin1').split('\n'));
  }

  async #damagedBelow(root: Oid, whole: Set<Oid>): Promise<Oid | undefined> {
    const trees = [root];
    const blobs = new Set<Oid>();
    const done: Oid[] = [];
    for (let oid = trees.pop(); oid !== undefined; oid = trees.pop()) {
      if (whole.has(oid)) {
        continue;
      }
      const loose = this.#store.objects.check(oid);
      if (loose.kind === 'corrupt') {
        return oid;
      }
      const body = loose.kind === 'whole' ? loose.body : await this.#packedTree(oid);
      if (body === undefined) {
        return oid;
      }
      for (const entry of parseTree(body, this.#store.format)) {
        if (entry.mode === '40000') {
          trees.push(entry.oid);
        } else if (entry.mode !== '160000' && !whole.has(entry.oid)) {
          blobs.add(entry.oid);
        }
      }
      done.push(oid);
    }
    const states = await mapLimited([...blobs], AT_ONCE, async (oid) => ({ oid, damaged: await this.#isDamaged(oid) }));
    for (const { oid, damaged } of states) {
      if (!damaged) {
        whole.add(oid);
      }
    }
    const bad = states.find(({ damaged }) => damaged)?.oid;
    if (bad === undefined) {
      for (const oid of done) {
        whole.add(oid);
      }
    }
    return bad;
  }

  async #packedTree(oid: Oid): Promise<Buffer | undefined> {
    const object = await this.#store.reader.read(oid);
    return object?.type === 'tree' ? object.body : undefined;
  }

  #tell(session: string, { ref, damage }: Standing): void {
    const key = `${session} ${ref ?? ''}`;
    if (damage !== null && !this.#told.has(key)) {
      this.#told.add(key);
      this.#host.log.warn(`${session}: ${damage.text} (${messageOf(damage.fault)})`);
    }
  }
}

function treeOf(object: GitObject): Oid {
  if (object.type === 'commit') {
    return parseCommit(object.body).tree;
  }
  throw new BulkheadError('damaged', 'not-a-commit', `The object ${object.oid} is a ${object.type}, not a commit.`, {
    data: { oid: object.oid },
  });
}

function compare(a: ChainPosition, b: ChainPosition): number {
  return a.number - b.number || a.ordinal - b.ordinal;
}

function damagedObject(oid: Oid): BulkheadError {
  return new BulkheadError(
    'damaged',
    'object-damaged',
    `The object ${oid} of the snapshot store is missing or corrupt. "bulkhead doctor" tells what that means.`,
    { data: { oid } },
  );
}

function damageText(ref: Oid | null, good: Oid | null, fault: BulkheadError): string {
  const lost =
    ref === null
      ? 'The ref of its newest snapshot cannot be read.'
      : `Its newest snapshot ${ref.slice(0, 10)} is damaged: ${typeof fault.data['oid'] === 'string' && fault.data['oid'] !== ref ? `the object ${fault.data['oid'].slice(0, 10)} in it` : 'it'} cannot be read.`;
  const safe =
    good === null
      ? 'No older one is whole.'
      : `Its older snapshots are safe; the newest whole one is ${good.slice(0, 10)}.`;
  return `${lost} ${safe} The next checkpoint records the work tree again; "bulkhead doctor" tells more.`;
}
