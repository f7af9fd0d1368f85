import assert from 'node:assert/strict';
import { readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliWorld, type SessionDocument } from '../support/cliWorld';
import { git, gitLine } from '../support/git';
import { storeOf } from '../support/snapshotTree';

interface ReportDocument {
  readonly healthy: boolean;
  readonly storage: string;
  readonly git: string;
  readonly findings: readonly {
    readonly severity: string;
    readonly code: string;
    readonly message: string;
    readonly safe: string;
    readonly advice: string;
    readonly repairable: boolean;
  }[];
  readonly repairs: readonly { readonly subject: string }[];
  readonly reportFile: string | null;
}

interface Size {
  readonly loose: number;
  readonly packs: number;
  readonly packed: number;
}

interface GcDocument {
  readonly before: Size;
  readonly after: Size;
  readonly full: boolean;
  readonly skipped: readonly unknown[];
}

describe('bulkhead doctor and gc', () => {
  let world: CliWorld;
  let session: SessionDocument;
  let storage: string;

  beforeEach(async () => {
    world = new CliWorld();
    session = await world.newSession();
    storage = (await world.json<ReportDocument>(['doctor'])).storage;
  });

  it('exits 0 for a healthy storage, and where there is none', async () => {
    const report = await world.json<ReportDocument>(['doctor']);
    assert.deepEqual([report.healthy, report.repairs, report.reportFile], [true, [], null]);
    assert.match((await world.run(['doctor'])).stdout, /is healthy/);
    const other = new CliWorld();
    assert.equal(await other.json(['doctor']), null);
    assert.deepEqual(readdirSync(other.repo.dir).sort(), ['.git', 'a.txt', 'src'], 'and makes none');
  });

  it('exits 1 while something is damaged, says what it means, and 0 after the repair', async () => {
    writeFileSync(join(session.path, 'a.txt'), 'changed\n');
    await world.checkpoint(session.path);
    const store = storeOf(storage);
    const blob = gitLine(['rev-parse', `${session.shadowRef}:a.txt`], store);
    unlinkSync(join(store, 'objects', blob.slice(0, 2), blob.slice(2)));
    const report = await world.json<ReportDocument>(['doctor'], { exit: 1 });
    assert.equal(report.healthy, false);
    for (const { message, safe, advice } of report.findings) {
      assert.ok(message !== '' && safe !== '' && advice !== '');
    }
    const run = await world.run(['doctor']);
    assert.match(run.stdout, /error object-missing/);
    assert.match(run.stdout, /2 problems, 2 of which "bulkhead doctor --repair" can mend\./);
    const shown = await world.run(['session', 'show', session.id, '--json']);
    assert.equal(shown.code, 0, shown.story);
    const repaired = await world.json<ReportDocument>(['doctor', '--repair']);
    assert.deepEqual([repaired.healthy, repaired.repairs.map(({ subject }) => subject)], [true, [blob]]);
    assert.equal(git(['cat-file', 'blob', blob], store).toString(), 'changed\n');
  });

  it('shows a session whose newest snapshot is lost as damaged, and its snapshots all the same', async () => {
    writeFileSync(join(session.path, 'a.txt'), 'changed\n');
    const { newest } = await world.checkpoint(session.path);
    unlinkSync(join(storeOf(storage), 'objects', newest.slice(0, 2), newest.slice(2)));
    const [listed] = await world.json<readonly (SessionDocument & { readonly damage?: string })[]>(['session', 'list']);
    assert.equal(listed?.newest, session.newest);
    assert.match(listed.damage ?? '', /is damaged/);
    assert.match((await world.run(['session', 'list'])).stdout, /ready, damaged/);
    assert.deepEqual(
      (await world.snapshots(session.path)).map(({ oid }) => oid),
      [session.newest],
    );
  });

  it('packs the store and tells how large it was and is', async () => {
    const result = await world.json<GcDocument>(['gc']);
    assert.ok(result.before.loose > 0);
    assert.deepEqual([result.after.loose, result.after.packs, result.full, result.skipped], [0, 1, false, []]);
    assert.match((await world.run(['gc'])).stdout, /became 0 loose objects and [12] packs?/);
  });

  it('does neither from inside the clone of a session', async () => {
    for (const command of ['gc', 'doctor']) {
      assert.equal((await world.failure(3, [command], { cwd: session.path })).code, 'other-session');
    }
  });
});
