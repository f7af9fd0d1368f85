// One writer of a race: opens the engine as a process of its own, waits for the others, then does what it was told.
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { silentLog } from '../../src/base/log';
import { BulkheadError, errnoOf } from '../../src/base/errors';
import { recordRef } from '../../src/core/refName';
import { SAVE_LOCK_CAP_MS } from '../../src/core/holder';
import { repoPathFromText } from '../../src/core/repoPath';
import { newHolder } from '../../src/session/holders';
import { createHost } from '../../src/session/host';
import { LockFolder } from '../../src/session/locks';
import { openBulkhead } from '../../src/session/openBulkhead';

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
    | { readonly kind: 'fork'; readonly session: string }
    /** With `stop` it stands still right before the transaction that makes the successor known, until it is told to go on. */
    | { readonly kind: 'reset'; readonly session: string; readonly force?: boolean; readonly stop?: boolean }

    /** Does everything with hardly a descriptor left, again and again, and then with enough of them. */
    | { readonly kind: 'scarce'; readonly session: string; readonly clone: string; readonly rounds: number }
    /** Takes the session's lock like a save that hangs, and waits for its end. */
    | { readonly kind: 'hold'; readonly session: string };
}

export interface WorkerResult {
  readonly snapshots: readonly (string | null)[];
  readonly session?: string;
  readonly name?: string;
  readonly made?: boolean;
  readonly error?: string;
  /** Of `scarce`: what each try led to. */
  readonly outcomes?: readonly string[];
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

/** Stands still, once, before a transaction that changes the record of a session. */
async function stopBeforeRetiring(session: string): Promise<void> {
  const { UpdateRef } = await import('../../src/git/updateRef');
  const { prototype } = UpdateRef;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own object
  const original = prototype.move;
  prototype.move = async function (moves) {
    if (moves.some(({ ref, from }) => ref === recordRef(session) && from !== null)) {
      prototype.move = original;
      const goOn = message('go on');
      process.send?.('holding');
      await goOn;
    }
    return original.call(this, moves);
  };
}

/** Opens files until no more can be opened, but for a few. */
function takeDescriptors(leave: number): () => void {
  const taken: number[] = [];
  for (;;) {
    try {
      taken.push(openSync('/dev/null', 'r'));
    } catch (error) {
      if (errnoOf(error) !== 'EMFILE') {
        throw error;
      }
      break;
    }
  }
  taken.splice(0, leave).forEach((descriptor) => {
    closeSync(descriptor);
  });
  return () => {
    taken.splice(0).forEach((descriptor) => {
      closeSync(descriptor);
    });
  };
}

async function withoutDescriptors(
  work: Extract<WorkerTask['work'], { readonly kind: 'scarce' }>,
  place: { readonly repository: string; readonly storage: string },
): Promise<string[]> {
  const outcomes: string[] = [];
  for (let round = 0; round < work.rounds; round++) {
    // Cold ones, so that processes have to be started too.
    const host = await createHost({ log: silentLog, product: 'test' });
    const bulkhead = await openBulkhead(host, { ...place, create: false });
    const path = repoPathFromText('scarce.txt');
    const paths = path === undefined ? [] : [path];
    const { session } = work;
    const save = { session, trigger: 'save', agent: 'codex' } as const;
    const target = (await bulkhead.session(session)).newest ?? '';
    await bulkhead.shutdown();
    const before = readdirSync('/proc/self/fd').length;
    for (const [name, act] of [
      ['save', () => bulkhead.checkpoint({ ...save, paths })],
      ['reconcile', () => bulkhead.checkpoint(save)],
      ['list', () => bulkhead.snapshots({ session })],
      ['sessions', () => bulkhead.sessions()],
      ['restore', () => bulkhead.restore({ session, target, consent: 'all' })],
      ['create', () => bulkhead.createSession({ from: { kind: 'head' } })],
    ] as const) {
      writeFileSync(join(work.clone, 'scarce.txt'), `${name} ${String(round)}\n`);
      const free = takeDescriptors(6 * round);
      const outcome = await act().then(
        (result) =>
          'skipped' in result && result.skipped.length > 0 ? `left out: ${result.skipped[0]?.reason ?? ''}` : 'done',
        (error: unknown) =>
          error instanceof BulkheadError
            ? `${error.kind}: ${error.code}`
            : `untyped: ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
      );
      free();
      outcomes.push(`${name}: ${outcome}`);
      const { snapshot, newest } = await bulkhead.checkpoint({ ...save, paths });
      outcomes.push(`then: ${(snapshot ?? newest) === null ? 'nothing' : 'done'}`);
      const content = await bulkhead.entry(
        (await bulkhead.snapshot(snapshot ?? newest ?? '')).tree,
        paths[0] ?? assertNever(),
      );
      outcomes.push(
        content !== undefined && (await bulkhead.blob(content.oid)).equals(readFileSync(join(work.clone, 'scarce.txt')))
          ? 'held: yes'
          : 'held: no',
      );
    }
    await bulkhead.shutdown();
    outcomes.push(`descriptors: ${readdirSync('/proc/self/fd').length <= before ? 'free' : 'leaked'}`);
  }
  return outcomes;
}

function assertNever(): never {
  throw new Error('there is such a path');
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
      case 'fork': {
        const session = await bulkhead.createSession({ from: { kind: 'session', session: work.session } });
        return { snapshots: [session.newest], session: session.id, name: session.name };
      }
      case 'reset': {
        if (work.stop === true) {
          await stopBeforeRetiring(work.session);
        }
        const result = await bulkhead.resetSession(work.session, { force: work.force ?? false });
        return { snapshots: [result.snapshot], session: result.session.id, made: result.made };
      }
      case 'restore': {
        const result = await bulkhead.restore({ session: work.session, target: work.target, consent: 'all' });
        return { snapshots: [result.snapshot] };
      }
      case 'scarce':
        return { snapshots, outcomes: await withoutDescriptors(work, { repository, storage }) };
      case 'hold': {
        const locks = new LockFolder(join(storage, 'locks'), host);
        await locks.acquire(work.session, {
          holder: await newHolder(host, 'checkpoint', 'codex'),
          waitMs: 0,
          capMs: SAVE_LOCK_CAP_MS,
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
      // Who started us may be gone.
      if (process.connected) {
        process.disconnect();
      }
    });
  },
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
