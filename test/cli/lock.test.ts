import assert from 'node:assert/strict';
import { readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LockWorker } from '../engine/lockWorkers';
import { CliWorld, type SessionDocument } from '../support/cliWorld';
import { git, gitLine } from '../support/git';
import { storeOf } from '../support/snapshotTree';

interface LockDocument {
  readonly kind: string;
  readonly session: string | null;
  readonly name: string | null;
  readonly purpose: string | null;
  readonly agent: string | null;
  readonly pid: number | null;
  readonly host: string | null;
  readonly since: string | null;
  readonly ageMs: number | null;
  readonly state: string;
  readonly place: string;
}

describe('command line: lock', function () {
  this.timeout(60_000);
  // Who holds what is told by process.
  const world = new CliWorld({ process: true });
  let session: SessionDocument;
  let storage: string;
  let store: string;
  const show = (...args: string[]): Promise<LockDocument[]> => world.json(['lock', 'show', ...args]);

  it('says that nothing is locked, also without a storage', async () => {
    const isEmpty = async (): Promise<void> => {
      assert.deepEqual(await show(), []);
      const text = await world.run(['lock', 'show']);
      assert.deepEqual([text.code, text.stdout], [0, 'Nothing is locked.\n'], text.story);
    };
    await isEmpty();
    session = await world.newSession('--name', 'Alpha');
    await isEmpty();
    storage = dirname(dirname(dirname(session.path)));
    store = storeOf(storage);
  });

  it('lists locks, leases, claims and lock files of git with who holds them, the oldest first', async function () {
    if (process.platform !== 'linux') {
      this.skip();
    }
    const locks = join(storage, 'locks');
    const worker = await LockWorker.start({ locks, repository: world.repo.dir, storage }, world.env);
    try {
      assert.equal(await worker.order({ kind: 'take', name: session.id }), 'held');
      const record = JSON.parse(readFileSync(join(locks, `${session.id}.lock`), 'utf8')) as { since: number };
      const held = async (text: unknown): Promise<string> => {
        const oid = gitLine(['hash-object', '-w', '--stdin'], store, { input: JSON.stringify(text) });
        git(['update-ref', `refs/bulkhead/claims/${session.id}`, oid], store);
        return oid;
      };
      const minutesAgo = (minutes: number): number => record.since - minutes * 60_000;
      await held({ ...record, pid: 4_000_000, purpose: 'restore', agent: 'codex', since: minutesAgo(3) });
      writeFileSync(
        join(locks, 'workspace.capture.lock'),
        JSON.stringify({ ...record, host: 'elsewhere', purpose: 'capture', agent: 'vscode', since: minutesAgo(2) }),
      );
      const newer = join(locks, 'workspace.lock');
      writeFileSync(newer, '{"format":2}');
      utimesSync(newer, minutesAgo(1) / 1000, minutesAgo(1) / 1000);
      const gitLock = join(store, `${session.shadowRef}.lock`);
      const packed = join(store, 'packed-refs.lock');
      for (const [file, minutes] of [
        [gitLock, 5],
        [packed, 4],
      ] as const) {
        writeFileSync(file, '');
        utimesSync(file, minutesAgo(minutes) / 1000, minutesAgo(minutes) / 1000);
      }
      const shown = await show();
      assert.deepEqual(Object.keys(shown[0] ?? {}), [
        'kind',
        'session',
        'name',
        'purpose',
        'agent',
        'pid',
        'host',
        'since',
        'ageMs',
        'state',
        'place',
      ]);
      assert.deepEqual(
        shown.map(({ kind, name, purpose, agent, state }) => [kind, name, purpose, agent, state]),
        [
          ['git', 'Alpha', null, null, 'unknown'],
          ['git', null, null, null, 'unknown'],
          ['claim', 'Alpha', 'restore', 'codex', 'dead'],
          ['lease', 'This workspace', 'capture', 'vscode', 'unknown'],
          ['lock', 'This workspace', null, null, 'newer'],
          ['lock', 'Alpha', 'checkpoint', 'codex', 'alive'],
        ],
      );
      const [first, second, claim, , unread, last] = shown;
      assert.deepEqual(
        [first?.session, first?.place, second?.session, second?.place],
        [session.id, gitLock, null, packed],
      );
      assert.deepEqual([claim?.place, claim?.pid], [`refs/bulkhead/claims/${session.id}`, 4_000_000]);
      assert.deepEqual([unread?.since, last?.pid, last?.session], [null, worker.child.pid, session.id]);
      assert.equal(last?.since, new Date(record.since).toISOString());
      for (const { ageMs } of shown) {
        assert.ok(ageMs !== null && ageMs >= 0);
      }
      const text = await world.run(['lock', 'show']);
      assert.match(text.stdout, /^lock +alive +\d+ s +checkpoint +codex +\d+ +\S+ +\S+ +Alpha$/m, text.story);
      assert.match(text.stdout, /^git +unknown +5 min .*\.lock$/m, text.story);
      // Nothing was taken over by looking.
      assert.equal((await show()).length, shown.length);

      const inside = await world.json<LockDocument[]>(['lock', 'show'], { cwd: session.path });
      assert.deepEqual([...new Set(inside.map((lock) => lock.session))], [session.id]);
      for (const file of [gitLock, packed, newer]) {
        rmSync(file);
      }
    } finally {
      await worker.kill();
    }
    const state = (await show()).find(({ kind }) => kind === 'lock')?.state;
    assert.equal(state, 'dead');
  });
});
