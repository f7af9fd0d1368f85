// Many sessions, and many snapshots in one.
import { join } from 'node:path';
import { firstInChain, nextInChain } from '../../src/core/chain';
import { writeCommit } from '../../src/core/commitObject';
import { closedRef, shadowRef } from '../../src/core/refName';
import { formatMessage } from '../../src/core/snapshotMessage';
import type { Session } from '../../src/session/api';
import { LooseObjects } from '../../src/git/looseObjects';
import { git } from '../support/git';
import { storeOf, treeOf } from '../support/snapshotTree';
import { editFile } from './fixtures';
import { Samples, timed } from './measure';
import { openOurs, save } from './ours';
import { processesRow } from './saveRows';
import type { World } from './world';

const SESSIONS = 20;
const SNAPSHOTS = 10_000;
const PAGE = 100;

/** How long it takes to know what is contended, after one of 20 sessions saved a contended file. */
export async function contentionRow(world: World): Promise<void> {
  const { bench, files, ours, paths } = world;
  bench.report.next();
  bench.say(`contention: making ${SESSIONS} sessions`);
  const sessions: Session[] = [world.session];
  while (sessions.length < SESSIONS) {
    sessions.push(await ours.bulkhead.createSession({ name: `side ${sessions.length}`, from: { kind: 'head' } }));
  }
  const samples = new Map<string, Samples>();
  for (const count of [1, 50]) {
    const contended = Array.from({ length: count }, () => paths.next());
    const write = async (session: Session, which: readonly string[], stamp: string): Promise<void> => {
      which.forEach((path) => {
        editFile(session.path!, path, `${stamp} in ${session.id}`);
      });
      await save(ours.bulkhead, session.id, which);
    };
    const before = new Set((await ours.bulkhead.contention('newest')).map(({ path }) => path));
    for (const session of sessions) await write(session, contended, `first of ${count}`);
    const who = `Bulkhead, ${count} contended ${count === 1 ? 'path' : 'paths'}`;
    samples.set(who, new Samples());
    for (let round = 0; round <= 20; round++) {
      await write(sessions[round % SESSIONS]!, [contended[round % count]!], `round ${round}`);
      let found = 0;
      const ms = await timed(async () => {
        found = (await ours.bulkhead.contention('newest')).filter(({ path }) => !before.has(path)).length;
      });
      if (found !== count) throw new Error(`${found} of ${count} contended paths were found`);
      if (round > 0) samples.get(who)!.add(ms);
    }
  }
  bench.report.table(`contention among ${SESSIONS} sessions after one save`, files, samples);
  const [one, fifty] = [...samples.values()];
  bench.report.target('contention', files, 'p50 with 1 contended path', one!.p50, 50, 'ms');
  bench.report.target('contention', files, 'p50 with 50 contended paths', fifty!.p50, 500, 'ms');
}

/** The first page of a session with 10,000 snapshots; and a checkpoint on top of them. */
export async function listRow(world: World): Promise<void> {
  const { bench, files, ours, user, storage } = world;
  bench.report.next();
  bench.say(`list: making ${SNAPSHOTS.toLocaleString('en')} snapshots`);
  const session = await ours.bulkhead.createSession({ name: 'long', from: { kind: 'head' } });
  await fill(world, session);
  const samples = new Map<string, Samples>();
  const measure = async (who: string, work: (bulkhead: typeof ours.bulkhead) => Promise<unknown>): Promise<void> => {
    samples.set(who, new Samples());
    for (let round = 0; round <= 15; round++) {
      const { bulkhead } = await openOurs(user, storage);
      try {
        const ms = await timed(() => work(bulkhead));
        if (round > 0) samples.get(who)!.add(ms);
      } finally {
        await bulkhead.shutdown();
      }
    }
  };
  const page = async (bulkhead: typeof ours.bulkhead): Promise<void> => {
    const rows = await bulkhead.snapshots({ session: session.id, limit: PAGE });
    if (rows.length !== PAGE) throw new Error(`The page has ${rows.length} rows`);
  };
  const both = `Bulkhead, sessions and first page of ${PAGE}, just opened`;
  await measure(both, async (bulkhead) => {
    await bulkhead.sessions();
    await page(bulkhead);
  });
  await measure('Bulkhead, that page alone', page);
  bench.report.table(`a session with ${SNAPSHOTS.toLocaleString('en')} snapshots`, files, samples);
  bench.report.target('list', files, 'p50 of sessions and first page', samples.get(both)!.p50, 100, 'ms');
  await processesRow(world, session.id, session.path!, `${SNAPSHOTS.toLocaleString('en')} snapshots in the session`);
}

/** Snapshots as the engine writes them, one second apart, without the time that checkpoints would take. */
async function fill(world: World, session: Session): Promise<void> {
  const { ours, paths } = world;
  const store = storeOf(world.storage);
  const trees: string[] = [];
  for (let count = 0; count < 50; count++) {
    const { newest } = await save(ours.bulkhead, session.id, [paths.edit(session.path!)]);
    trees.push(treeOf(store, newest!));
  }
  const objects = new LooseObjects({
    objectsFolder: join(store, 'objects'),
    format: 'sha1',
    fsync: false,
    clock: ours.host.clock,
  });
  let time = Math.floor(Date.now() / 1000) - SNAPSHOTS;
  let chain = firstInChain(time);
  let previous: string | null = null;
  const moves: string[] = [];
  for (let count = 0; count < SNAPSHOTS; count++, time++) {
    let startsChain = previous === null;
    if (previous !== null) {
      const next = nextInChain(chain, time);
      startsChain = next.kind === 'new';
      if (next.kind === 'new') moves.push(`update ${closedRef(session.id, next.closedNumber)} ${previous}\n`);
      chain = next.chain;
    }
    const person = { name: 'user', email: 'user@bulkhead.invalid', time, offset: '+0000' };
    const message = formatMessage(`Save number ${count}`, {
      session: session.id,
      trigger: 'save',
      agent: 'user',
      turn: null,
      head: session.base!.commit,
      skipped: { count: 0, named: [] },
      chain,
      previous: startsChain ? previous : null,
      reverses: null,
    });
    const parents = startsChain || previous === null ? [] : [previous];
    previous = objects.write(
      'commit',
      // Ends with the tree that is on disk, because the number of snapshots is a multiple of that of trees.
      writeCommit({
        tree: trees[count % trees.length]!,
        parents,
        author: person,
        committer: person,
        message,
      }),
    );
  }
  await objects.stop();
  git(['update-ref', '--stdin'], store, { input: `${moves.join('')}update ${shadowRef(session.id)} ${previous!}\n` });
}
