import assert from 'node:assert/strict';
import { join } from 'node:path';
import { silentLog } from '../../src/base/log';
import { type RepoPath, repoPathFromBytes } from '../../src/core/repoPath';
import type { CheckpointResult, Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { createHost } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';
import { EditScript } from '../support/editScript';
import { useOwnHome } from '../support/environment';
import { git } from '../support/git';
import { headTreeOf, Oracle } from '../support/oracle';
import { awkwardRepo } from '../support/repo';
import { SeededRandom } from '../support/seededRandom';
import { sample, seed } from '../support/soak';
import { filesOfTree, storeOf, treeDifference, treeOf } from '../support/snapshotTree';
import { temporaryFolder } from '../support/temporary';

const EDITS = sample(400, 10_000);
const MOST_EDITS_BETWEEN = 8;
const LARGE = 4000;

describe('random edits', () => {
  useOwnHome();

  let bulkhead: Bulkhead;
  let session: Session;
  let oracle: Oracle;
  let store: string;

  before('a session of a repository with awkward names', async function () {
    this.timeout(60_000);
    const work = temporaryFolder('random');
    const user = awkwardRepo(join(work, 'user repo'));
    const storage = join(work, 'storage');
    const host = await createHost({
      log: silentLog,
      product: 'test',
      settings: { maxFileSize: LARGE },
    });
    bulkhead = await openBulkhead(host, { repository: user.dir, storage, create: true });
    session = await bulkhead.createSession({ from: { kind: 'head' } });
    store = storeOf(storage);
    oracle = new Oracle({
      objects: [join(user.dir, '.git', 'objects'), join(cloneOf(session), '.git', 'objects'), join(store, 'objects')],
      exclude: join(user.dir, '.git', 'info', 'exclude'),
    });
  });

  after(async () => {
    await bulkhead.shutdown();
  });

  it(`leave the tree of a fresh git add --all in every snapshot (${String(EDITS)} edits)`, async function () {
    this.timeout(sample(600_000, 3_600_000));
    const chosen = seed();
    const script = new EditScript(cloneOf(session), { seed: chosen, largeFileSize: LARGE });
    const choice = new SeededRandom(chosen + 1);
    const baseTree = session.base?.tree ?? assert.fail('the session has no base');
    let previousTree = session.newestTree;
    let headTree = headTreeOf(cloneOf(session));
    const checkpoints = { byPaths: 0, byReconcile: 0 };
    for (let edits = 0; edits < EDITS;) {
      const story: string[] = [];
      const touched = new Set<string>();
      // Long bursts more often than short ones: each checkpoint costs a dozen starts of git on both sides.
      const burst = Math.max(choice.integer(1, MOST_EDITS_BETWEEN), choice.integer(1, MOST_EDITS_BETWEEN));
      for (let left = burst; left > 0; left--, edits++) {
        const edit = script.step();
        story.push(`${edit.what}: ${edit.touched.map((path) => JSON.stringify(path)).join(', ')}`);
        edit.touched.forEach((path) => touched.add(path));
      }
      const take = async (paths: readonly string[] | undefined): Promise<CheckpointResult> => {
        story.push(`checkpoint ${paths === undefined ? 'by reconcile' : 'by paths'}`);
        checkpoints[paths === undefined ? 'byReconcile' : 'byPaths']++;
        return checkpoint(paths?.map(repoPath)).catch((error: unknown) =>
          assert.fail(`${String(error)}\nafter edit ${String(edits)}, seed ${String(chosen)}:\n${story.join('\n')}`),
        );
      };
      const byPaths = touched.size > 0 && choice.chance(0.6);
      let result = await take(byPaths ? [...touched] : undefined);
      const headTreeBefore = headTree;
      headTree = headTreeOf(cloneOf(session));
      // What these decide reaches beyond the given paths; by contract a reconcile follows.
      const rulesMoved = headTree !== headTreeBefore || [...touched].some((path) => /(^|\/)\.gitignore$/.test(path));
      if (byPaths && rulesMoved) {
        result = await take(undefined);
      }
      const expected = oracle.tree({
        workTree: cloneOf(session),
        baseTree,
        headTree,
        previousTree,
        maxFileSize: LARGE,
      });
      if (expected !== result.tree) {
        const difference = treeDifference(filesOfTree(oracle.store, expected), filesOfTree(oracle.store, result.tree));
        assert.fail(
          `after edit ${String(edits)}, seed ${String(chosen)}:\n${story.join('\n')}\n--- difference\n${difference}`,
        );
      }
      if (result.snapshot !== null) {
        assert.equal(treeOf(store, result.snapshot), expected);
      }
      previousTree = result.tree;
    }
    console.log(
      `      ${String(checkpoints.byPaths)} checkpoints by paths, ${String(checkpoints.byReconcile)} by reconcile`,
    );
    git(['fsck', '--full', '--strict', '--no-dangling'], store);
  });

  function checkpoint(paths: readonly RepoPath[] | undefined): Promise<CheckpointResult> {
    return bulkhead.checkpoint({
      session: session.id,
      trigger: paths === undefined ? 'reconcile' : 'external',
      ...(paths === undefined ? {} : { paths }),
    });
  }
});

function cloneOf(session: Session): string {
  return session.path ?? assert.fail('the session has no clone');
}

function repoPath(binary: string): RepoPath {
  return repoPathFromBytes(Buffer.from(binary, 'latin1')) ?? assert.fail(`${JSON.stringify(binary)} is no path`);
}
