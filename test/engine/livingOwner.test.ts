import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Recovered, Snapshot } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { callCli } from '../support/callCli';
import type { ErrorDocument, SnapshotDocument } from '../support/cliWorld';
import { useOwnHome } from '../support/environment';
import { documentOf } from '../support/runCli';
import { withQuickPauses } from '../support/shiftedClock';
import { treeOf } from '../support/snapshotTree';
import { KillWorld, prepare, type Prepared, refsBelow, repositoryState, treeState } from './killWorld';
import type { StandStill } from './killSwitch';
import type { KillWork } from './kill.worker';
import { checkpoint, cloneOf, fsck, read, restoreAll, write } from './world';

interface Operation {
  readonly name: string;
  readonly work: (prepared: Prepared) => KillWork;
  readonly stop: StandStill;
  readonly arrange?: (bulkhead: Bulkhead, prepared: Prepared) => Promise<unknown>;
  /** Some of what it does is done by then. */
  readonly isHalf: (clone: string) => boolean;
  /** Why nobody else can record the work tree then. */
  readonly refusal?: 'session-not-ready';
  /** What the newest snapshots are in the end, the newest first. */
  readonly triggers: readonly Snapshot['trigger'][];
  readonly check: (clone: string, snapshots: readonly Snapshot[]) => void;
}

/** A file that comes while the owner stands still: there is something to record then. */
const MEANWHILE = 'meanwhile.txt';

describe('an operation whose owner lives and does not get on', () => {
  useOwnHome();
  const base = new KillWorld();
  const { world } = base;
  let prepared: Prepared;
  let first: Record<string, string>;
  let second: Record<string, string>;

  const branches = (): string[] => Object.keys(refsBelow(join(world.repo.dir, '.git'), 'refs/heads/killed*'));
  const intentWritten = String.raw`^rename .*journal.*\.json$`;

  const OPERATIONS: readonly Operation[] = [
    {
      name: 'a restore in the middle of its files',
      work: ({ session, first: target }) => ({ kind: 'restore', session: session.id, target }),
      stop: { at: String.raw`^renameSync .*\.bulkhead-tmp-.*one\.txt$`, moment: 'before' },
      isHalf: (clone) => read(clone, 'a.txt') === 'first\n' && !existsSync(join(clone, 'other swap/one.txt')),
      triggers: ['restore', 'before-restore', 'manual'],
      check: (clone) => {
        assert.deepEqual(treeState(clone), { ...first, 'ignored.log': second['ignored.log'] });
      },
    },
    {
      name: 'an undo in the middle of its files',
      arrange: (bulkhead, { session, first: target }) => restoreAll(bulkhead, session, target),
      work: ({ session }) => ({ kind: 'undo', session: session.id }),
      stop: { at: String.raw`^renameSync .*\.bulkhead-tmp-.*large\.bin$`, moment: 'before' },
      isHalf: (clone) => read(clone, 'a.txt') === 'second\n' && !existsSync(join(clone, 'new/large.bin')),
      triggers: ['undo', 'before-restore', 'restore', 'before-restore', 'manual'],
      check: (clone) => {
        assert.deepEqual(treeState(clone), second);
      },
    },
    {
      name: 'an apply that has made no branch yet',
      work: ({ session }) => ({ kind: 'apply', session: session.id }),
      stop: { at: intentWritten, moment: 'after' },
      isHalf: () => branches().length === 0,
      triggers: ['apply', 'before-apply', 'manual'],
      check: (_, [newest]) => {
        assert.deepEqual(branches(), ['refs/heads/killed']);
        assert.equal(treeOf(world.repo.dir, 'killed'), newest?.tree);
      },
    },
    {
      name: 'an apply that has made its branch and not moved the base',
      work: ({ session }) => ({ kind: 'apply', session: session.id }),
      stop: { at: '^transaction .*refs/bulkhead/bases/', moment: 'before' },
      isHalf: () => branches().length === 1,
      triggers: ['apply', 'before-apply', 'manual'],
      check: (_, [newest]) => {
        assert.deepEqual(branches(), ['refs/heads/killed']);
        assert.equal(treeOf(world.repo.dir, 'killed'), newest?.tree);
      },
    },
    {
      name: 'a delete whose record is the old one',
      work: ({ session }) => ({ kind: 'remove', session: session.id }),
      stop: { at: intentWritten, moment: 'after' },
      isHalf: existsSync,
      triggers: ['final', 'manual'],
      check: inTrash,
    },
    {
      name: 'a delete whose record says so and whose folder is in its place',
      work: ({ session }) => ({ kind: 'remove', session: session.id }),
      stop: { at: String.raw`^rename .*[\\/]trash[\\/]`, moment: 'before' },
      isHalf: existsSync,
      refusal: 'session-not-ready',
      triggers: ['final', 'manual'],
      check: inTrash,
    },
  ];

  function inTrash(clone: string): void {
    assert.equal(existsSync(dirname(clone)), false);
    const [folder = '', ...others] = readdirSync(join(world.storage, 'trash'));
    assert.deepEqual(others, []);
    const trashed = join(world.storage, 'trash', folder, basename(clone));
    rmSync(join(trashed, MEANWHILE));
    assert.deepEqual(treeState(trashed), second);
  }

  before('one prepared world for all operations', async () => {
    prepared = await prepare(world, await world.open());
    second = treeState(cloneOf(prepared.session));
    await world.close();
    base.save();
    const bulkhead = await world.open();
    await restoreAll(bulkhead, prepared.session, prepared.first);
    first = treeState(cloneOf(prepared.session));
    await world.close();
  });

  after(() => {
    base.remove();
  });

  /** All that an owner could find changed: its intent, claim and refs, the files, the folders, and the user's repository. */
  const state = (clone: string): unknown => ({
    refs: refsBelow(world.store, 'refs/bulkhead'),
    files: treeState(clone),
    hers: repositoryState(world.repo.dir),
    intents: readdirSync(join(world.storage, 'journal')).map((name) => [
      name,
      read(join(world.storage, 'journal'), name),
    ]),
    folders: ['sessions', 'trash', 'creating'].map((name) => readdirSync(join(world.storage, name))),
  });

  for (const operation of OPERATIONS) {
    it(`is left to it and ends as ever: ${operation.name}`, async () => {
      const { session } = prepared;
      const clone = cloneOf(session);
      base.restore();
      if (operation.arrange !== undefined) {
        await operation.arrange(await world.open(), prepared);
        await world.close();
      }
      const owner = await base.standStill(operation.work(prepared), operation.stop);
      try {
        write(clone, MEANWHILE, 'work of an agent\n');
        const middle = state(clone);
        assert.ok(operation.isHalf(clone), 'it stands in the middle');
        assert.deepEqual(readdirSync(join(world.storage, 'journal')), [`${session.id}.json`]);
        assert.deepEqual(Object.keys(refsBelow(world.store, 'refs/bulkhead/claims')), [
          `refs/bulkhead/claims/${session.id}`,
        ]);

        const window = await world.open();
        const told: Recovered[] = [];
        window.onDidRecover((recovered) => told.push(recovered));
        await window.recover({ sweep: true });
        assert.deepEqual(state(clone), middle, 'a second window changes nothing');
        assert.deepEqual([told, world.warnings], [[], []], 'and has nothing to tell');

        const command = (...words: string[]) =>
          callCli([...words, '--session', session.id, '--storage', world.storage, '--json'], {
            cwd: world.repo.dir,
            env: world.environment,
            clock: withQuickPauses(),
          });
        const listed = await command('snapshots');
        assert.deepEqual(
          (documentOf(listed) as SnapshotDocument[]).map(({ oid }) => oid),
          (await window.snapshots({ session: session.id })).map(({ oid }) => oid),
        );
        const refused = await command('checkpoint');
        assert.deepEqual([listed.stderr, refused.stderr], ['', ''], 'no command tells of a recovery');
        const isBusy = operation.refusal === undefined;
        const { error } = documentOf(refused, isBusy ? 4 : 5) as ErrorDocument;
        assert.equal(error.code, operation.refusal ?? 'claimed');
        if (isBusy) {
          assert.ok(error.message.includes(`process ${String(owner.pid)} `), error.message);
        }
        assert.deepEqual(state(clone), middle, 'a command changes nothing');
      } catch (error) {
        // What became of the owner then says less.
        await owner.goOn().catch(() => undefined);
        throw error;
      }
      await owner.goOn();

      const window = await world.open();
      const snapshots = await window.snapshots({ session: session.id });
      assert.deepEqual(
        snapshots.map(({ trigger }) => trigger),
        [...operation.triggers, 'start'],
      );
      assert.deepEqual(readdirSync(join(world.storage, 'journal')), []);
      assert.deepEqual(refsBelow(world.store, 'refs/bulkhead/claims'), {});
      if (existsSync(clone)) {
        const { changed } = await checkpoint(window, session);
        assert.deepEqual(
          changed.map(({ path }) => path),
          [MEANWHILE],
          'nothing else is not recorded yet',
        );
        rmSync(join(clone, MEANWHILE));
      }
      operation.check(clone, snapshots);
      fsck(world.store);
      await world.close();
    });
  }
});
