import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseMessage } from '../../src/core/snapshotMessage';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { cleanEnvironment, useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { documentOf, runCli } from '../support/runCli';
import { contentAt, contentsAt } from '../support/snapshotTree';
import { sample } from '../support/soak';
import type { CheckpointDocument } from '../support/cliWorld';
import { checkpoint, cloneOf, EngineWorld, fsck, read, write } from './world';
import { race, startWorker } from './workers';

const EACH = sample(3, 50);
const OF_A_KIND = 10;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** Moves a ref with plain git, each time to a commit of its own upon the tip, until it is told to stop. */
class ForeignWriter {
  readonly #child: ChildProcess;
  readonly #folder: string;

  constructor(store: string, folder: string, ref: string) {
    this.#folder = folder;
    this.#child = spawn(
      'sh',
      [
        '-c',
        `while kill -0 $PPID 2>/dev/null && [ ! -e '${folder}/stop' ]; do
           tip=$(git rev-parse '${ref}') &&
           own=$(git commit-tree -p $tip -m foreign $tip^{tree}) &&
           git update-ref '${ref}' $own $tip 2>/dev/null &&
           echo $own >> '${folder}/moved'
         done`,
      ],
      {
        cwd: store,
        stdio: 'ignore',
        env: cleanEnvironment({
          GIT_AUTHOR_NAME: 'F',
          GIT_AUTHOR_EMAIL: 'f@example.com',
          GIT_COMMITTER_NAME: 'F',
          GIT_COMMITTER_EMAIL: 'f@example.com',
        }),
      },
    );
  }

  /** @returns the commits that it put into the ref */
  async stop(): Promise<string[]> {
    const ended = once(this.#child, 'exit');
    writeFileSync(join(this.#folder, 'stop'), '');
    await ended;
    return readFileSync(join(this.#folder, 'moved'), 'utf8').trim().split('\n');
  }
}

interface Link {
  readonly oid: string;
  readonly isOurs: boolean;
}

/** The one line that leads from the newest commit to the first: first parents, and what a chain names as the one before. */
function lineOf(store: string, ref: string): Link[] {
  const commits = new Map<string, string>();
  const all = git(['log', '--all', '--format=%H%x00%P%x00%B%x01'], store).toString().split('\x01');
  for (const record of all) {
    const [oid = '', ...rest] = record.trimStart().split('\0');
    commits.set(oid, rest.join('\0'));
  }
  const line: Link[] = [];
  let oid: string | null = gitLine(['rev-parse', ref], store);
  while (oid !== null) {
    const commit: string = commits.get(oid) ?? assert.fail(`${oid} is not in the store`);
    const [parents = '', message = ''] = commit.split('\0');
    const meta = parseMessage(message)?.meta;
    line.push({ oid, isOurs: meta !== undefined });
    const first: string = parents.split(' ')[0] ?? '';
    oid = first === '' ? (meta?.previous ?? null) : first;
  }
  return line;
}

describe('many writers', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let session: Session;

  beforeEach('a session', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
    session = await bulkhead.createSession({ name: 'Many', from: { kind: 'head' } });
  });

  afterEach(async () => {
    fsck(world.store);
    await world.close();
  });

  const filesOf = (writer: string): (readonly [string, string])[] =>
    numbers(EACH).map((step) => [`by-${writer}/${String(step)}.txt`, `${writer} ${String(step)}\n`]);

  /** One after the other through the command line, each in a process of its own. */
  const saveByCommand = async (writer: string): Promise<(string | null)[]> => {
    const made: (string | null)[] = [];
    for (const [path, content] of filesOf(writer)) {
      write(cloneOf(session), path, content);
      const args = ['checkpoint', '--storage', world.storage, '--session', session.id, '--agent', writer, path];
      const run = await runCli([...args, '--json'], { cwd: cloneOf(session), env: world.environment });
      const { snapshot } = documentOf(run) as CheckpointDocument;
      made.push(snapshot);
    }
    return made;
  };

  it(`twenty processes save ${String(EACH)} files each while a foreign one moves the ref: one line, nothing lost, nothing doubled`, async function () {
    this.timeout(sample(120_000, 3_600_000));
    const names = numbers(OF_A_KIND).map((index) => `library${String(index)}`);
    const commands = numbers(OF_A_KIND).map((index) => `command${String(index)}`);
    const workers = names.map((name) =>
      startWorker(world, { kind: 'save', session: session.id, clone: cloneOf(session), files: filesOf(name) }),
    );
    await Promise.all(workers.map(({ ready }) => ready));
    const foreign = new ForeignWriter(world.store, world.folder, session.shadowRef);
    const started = performance.now();
    for (const { child } of workers) {
      child.send('go');
    }
    const [byLibrary, byCommand] = await Promise.all([
      Promise.all(workers.map(({ result }) => result)),
      Promise.all(commands.map((name) => saveByCommand(name))),
    ]);
    const seconds = (performance.now() - started) / 1000;
    const moved = await foreign.stop();
    console.log(
      `      ${String(2 * OF_A_KIND * EACH)} saves and ${String(moved.length)} foreign commits in ${seconds.toFixed(1)} s`,
    );
    assert.deepEqual(
      byLibrary.map(({ error }) => error),
      names.map(() => undefined),
    );
    const line = lineOf(world.store, session.shadowRef);
    const ours = line.filter(({ isOurs }) => isOurs).map(({ oid }) => oid);
    assert.equal(ours.length, 2 * OF_A_KIND * EACH + 1, 'and the one that the session began with');
    const made = [...byLibrary.map(({ snapshots }) => snapshots), ...byCommand];
    assert.deepEqual(
      [...ours].sort(),
      [...made.flat().map((oid) => oid ?? assert.fail('a save made no snapshot')), session.newest].sort(),
    );
    assert.ok(moved.length > 1);
    assert.deepEqual(
      line
        .filter(({ isOurs }) => !isOurs)
        .map(({ oid }) => oid)
        .sort(),
      [...moved].sort(),
      'the commits of the foreign writer stay where they are',
    );
    const expected = [...names, ...commands].flatMap((name, writer) =>
      filesOf(name).map(([path, content], step) => [`${made[writer]?.[step] ?? ''}:${path}`, content] as const),
    );
    assert.deepEqual(
      contentsAt(
        world.store,
        expected.map(([name]) => name),
      ),
      expected.map(([, content]) => content),
    );
    assert.equal((await checkpoint(bulkhead, session)).snapshot, null, 'the newest snapshot is what is on disk');
    const listed = await bulkhead.snapshots({ session: session.id, limit: 100_000 });
    assert.deepEqual(
      listed.map(({ oid }) => oid),
      ours,
      'and the list shows all of them in the order of the line',
    );
  });

  it('two windows on a session and one on the checkout save at once: nothing doubled, nothing lost, nothing mixed up', async function () {
    this.timeout(120_000);
    await checkpoint(bulkhead, { ...session, id: 'workspace' });
    const before = (await bulkhead.snapshots({ session: 'workspace' })).length;
    const places = [
      [session.id, cloneOf(session), 'first'],
      [session.id, cloneOf(session), 'second'],
      ['workspace', world.repo.dir, 'checkout'],
    ] as const;
    const results = await race(
      world,
      places.map(([id, clone, name]) => ({ kind: 'save', session: id, clone, files: filesOf(name) })),
    );
    assert.deepEqual(
      results.map(({ error }) => error),
      [undefined, undefined, undefined],
    );
    for (const [id, expected, present, absent] of [
      [session.id, 2 * EACH + 1, ['first', 'second'], ['checkout']],
      ['workspace', EACH + before, ['checkout'], ['first', 'second']],
    ] as const) {
      const listed = await bulkhead.snapshots({ session: id, limit: 1000 });
      assert.equal(listed.length, expected);
      assert.equal(new Set(listed.map(({ oid }) => oid)).size, expected);
      const newest = listed[0]?.oid ?? '';
      for (const [path, content] of present.flatMap((name) => filesOf(name))) {
        assert.equal(contentAt(world.store, newest, path).toString(), content);
      }
      const folders = git(['ls-tree', '--name-only', newest], world.store).toString();
      assert.ok(absent.every((name) => !folders.includes(`by-${name}`)));
    }
    assert.equal(read(world.repo.dir, 'by-checkout/0.txt'), 'checkout 0\n');
  });
});
