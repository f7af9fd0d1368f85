import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseMessage } from '../../src/core/snapshotMessage';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { SnapshotStore } from '../../src/session/snapshotStore';
import { cleanEnvironment, useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { headTreeOf, Oracle } from '../support/oracle';
import { documentOf, runCli } from '../support/runCli';
import { contentAt, contentsAt, treeOf } from '../support/snapshotTree';
import { sample } from '../support/soak';
import type { CheckpointDocument } from '../support/cliWorld';
import { checkpoint, cloneOf, EngineWorld, filesIn, fsck, read, restoreAll, snapshotOf, write } from './world';
import { race, startWorker } from './workers';

const EACH = sample(3, 50);
const OF_A_KIND = 10;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** In the tree of some foreign commits, and never on the disk. */
const FOREIGN_FILE = 'foreign.txt';

/**
 * Moves a ref with plain git, each time to a commit of its own upon the tip, until it is told to stop. The second of five has
 * another tree: with a file that is not on the disk, and another content of one that is.
 */
class ForeignWriter {
  readonly #child: ChildProcess;
  readonly #folder: string;

  constructor(store: string, folder: string, ref: string) {
    this.#folder = folder;
    this.#child = spawn(
      'sh',
      [
        '-c',
        `export GIT_INDEX_FILE='${folder}/index'
         made=0
         while kill -0 $PPID 2>/dev/null && [ ! -e '${folder}/stop' ]; do
           tip=$(git rev-parse '${ref}') &&
           tree=$tip^{tree} &&
           if [ $((made % 5)) = 1 ]; then
             git read-tree $tip &&
             blob=$(echo foreign $made | git hash-object -w --stdin) &&
             git update-index --add --cacheinfo 100644,$blob,a.txt --cacheinfo 100644,$blob,${FOREIGN_FILE} &&
             tree=$(git write-tree)
           fi &&
           own=$(git commit-tree -p $tip -m foreign $tree) &&
           git update-ref '${ref}' $own $tip 2>/dev/null &&
           echo $own >> '${folder}/moved' &&
           made=$((made + 1))
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

  /** Those of some commits whose tree has a file. */
  const having = (commits: readonly string[], path: string): string[] => {
    const input = commits.map((oid) => `${oid}:${path}\n`).join('');
    const answers = git(['cat-file', '--batch-check'], world.store, { input }).toString().split('\n');
    return commits.filter((_, index) => answers[index]?.endsWith(' missing') === false);
  };

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
    const disk = read(cloneOf(session), 'a.txt');
    const recorded = contentsAt(
      world.store,
      ours.map((oid) => `${oid}:a.txt`),
    );
    assert.deepEqual([...new Set(recorded)], [disk], 'none of them has what only a foreign commit says');
    assert.deepEqual(having(ours, FOREIGN_FILE), []);
    assert.notDeepEqual(having(moved, FOREIGN_FILE), []);
    const listed = await bulkhead.snapshots({ session: session.id, limit: 100_000 });
    assert.deepEqual(
      listed.map(({ oid }) => oid),
      ours,
      'and the list shows all of them in the order of the line',
    );
    const isCovered = having([line[0]?.oid ?? ''], FOREIGN_FILE).length > 0;
    const last = await checkpoint(bulkhead, session);
    assert.equal(last.snapshot !== null, isCovered, 'the newest of ours was what is on disk');
    assert.equal(last.tree, treeOf(world.store, ours[0] ?? ''));
  });

  describe('beside a foreign hand that has put another tree under the ref', () => {
    let clone: string;
    let ref: string;
    let foreignTree: string;

    beforeEach(() => {
      clone = cloneOf(session);
      ref = session.shadowRef;
      const blob = gitLine(['hash-object', '-w', '--stdin'], world.store, { input: 'foreign\n' });
      foreignTree = gitLine(['mktree'], world.store, {
        input: `100644 blob ${blob}\ta.txt\n100644 blob ${blob}\t${FOREIGN_FILE}\n`,
      });
    });

    const cover = (...parents: string[]): void => {
      const args = parents.flatMap((parent) => ['-p', parent]);
      const foreign = gitLine(['commit-tree', ...args, '-m', 'foreign', foreignTree], world.store);
      git(['update-ref', ref, foreign], world.store);
    };

    /** What git itself would record. */
    const onDisk = (): string =>
      new Oracle({ objects: [join(world.store, 'objects')] }).tree({
        workTree: clone,
        baseTree: session.base?.tree ?? '',
        headTree: headTreeOf(clone),
      });

    it('record what is on the disk, and tell what has changed there', async () => {
      const other = await world.open();
      for (const [window, path] of [
        // One that knows where the ref stood before, and one that has not looked yet; something changed, and nothing.
        [bulkhead, 'a.txt'],
        [other, 'a.txt'],
        [bulkhead, 'unchanged.txt'],
        [bulkhead, undefined],
      ] as const) {
        cover(ref);
        cover(ref);
        if (path === 'a.txt') {
          write(clone, path, `${gitLine(['rev-parse', ref], world.store)}\n`);
        }
        const result = await checkpoint(window, session, ...(path === undefined ? [] : [path]));
        assert.equal(treeOf(world.store, result.snapshot ?? ''), result.tree);
        assert.equal(result.tree, onDisk());
        const expected = path === 'a.txt' ? [path] : [];
        assert.deepEqual(
          result.changed.map((change) => change.path),
          expected,
        );
        const [newest] = await window.snapshots({ session: session.id, limit: 1 });
        assert.deepEqual([newest?.oid, newest?.files], [result.snapshot, expected.length]);
      }
    });

    it('look at everything when it stands upon no snapshot of theirs', async () => {
      write(clone, 'src/b.ts', 'export const b = 2;\n');
      cover();
      write(clone, 'a.txt', 'saved\n');
      assert.equal((await checkpoint(bulkhead, session, 'a.txt')).tree, onDisk());
    });

    it('look at everything when the snapshot of theirs below it is damaged', async () => {
      write(clone, 'src/b.ts', 'export const b = 2;\n');
      const damaged = await snapshotOf(bulkhead, session);
      const folder = gitLine(['rev-parse', `${damaged}:src`], world.store);
      const file = join(world.store, 'objects', folder.slice(0, 2), folder.slice(2));
      const content = readFileSync(file);
      rmSync(file);
      cover(ref);
      write(clone, 'src/b.ts', 'export const b = 3;\n');
      const window = await world.open();
      assert.equal((await checkpoint(window, session, 'src/b.ts')).tree, onDisk());
      // The store is looked at in the end.
      writeFileSync(file, content);
    });

    it('bring nothing of it to the disk by an undo, when it came in the middle of a restore', async () => {
      write(clone, 'src/b.ts', 'export const b = 2;\n');
      const files = filesIn(clone);
      const { prototype } = SnapshotStore;
      // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called with its own object
      const original = prototype.move;
      let moves = 0;
      prototype.move = function (owner, wanted) {
        moves += wanted.some((move) => move.ref === ref) ? 1 : 0;
        if (moves === 2) {
          cover(ref);
        }
        return original.call(this, owner, wanted);
      };
      try {
        await restoreAll(bulkhead, session, session.newest ?? '');
      } finally {
        prototype.move = original;
      }
      assert.ok(moves > 2, 'the restore lost a race');
      assert.equal(treeOf(world.store, ref), onDisk());
      await bulkhead.undo({ session: session.id, consent: 'all' });
      assert.deepEqual(filesIn(clone), files);
      assert.equal(treeOf(world.store, ref), onDisk());
    });
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
