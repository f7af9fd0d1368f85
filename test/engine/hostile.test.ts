import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../src/base/log';
import { BulkheadError } from '../../src/base/errors';
import { formatMessage } from '../../src/core/snapshotMessage';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { createHost } from '../../src/session/host';
import { locate } from '../../src/session/locate';
import { WorkTree } from '../../src/session/workTree';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { repo } from '../support/repo';
import { runCli } from '../support/runCli';
import {
  checkpoint,
  cloneOf,
  contents,
  EngineWorld,
  fsck,
  pathOf,
  read,
  restoreAll,
  snapshotOf,
  userState,
  write,
} from './world';

const HOOKS = [
  'pre-commit', 'post-commit', 'post-checkout', 'post-merge', 'pre-push', 'pre-receive', 'update', 'post-receive', 'post-update', 'post-index-change',
  'reference-transaction', 'pre-auto-gc', 'fsmonitor-watchman', 'proc-receive', 'push-to-checkout', 'post-rewrite',
]; // prettier-ignore

/** Settings that name a program, all of them ours to avoid. */
const TRAPS = [
  'core.fsmonitor', 'core.editor', 'core.pager', 'core.askPass', 'core.sshCommand', 'core.gitProxy', 'core.alternateRefsCommand', 'sequence.editor',
  'diff.external', 'diff.trap.command', 'diff.trap.textconv', 'merge.trap.driver', 'filter.trap.clean', 'filter.trap.smudge', 'filter.trap.process',
  'filter.lfs.clean', 'filter.lfs.smudge', 'filter.lfs.process', 'gpg.program', 'credential.helper', 'uploadpack.packObjectsHook', 'remote.local.uploadpack',
  'interactive.diffFilter', 'trailer.trap.command', 'pager.log', 'pager.diff', 'pager.status',
]; // prettier-ignore

describe('a hostile clone', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let canaries: string;

  beforeEach('a repository and a place for canaries', async () => {
    world = new EngineWorld();
    world.repo.branch('other').switch('main');
    bulkhead = await world.open();
    canaries = join(world.folder, 'canaries');
    mkdirSync(canaries);
  });

  afterEach(async () => {
    await world.close();
  });

  const trap = (folder: string, name: string): string => {
    const file = join(folder, `trap ${name.replaceAll('/', '_')}`);
    writeFileSync(file, `#!/bin/sh\ntouch "${canaries}/${name}"\ncat\n`);
    chmodSync(file, 0o755);
    return file;
  };

  /** Everything that we can be asked to do with a session, in the engine and from the command line inside the clone. */
  async function everything(
    session: Session,
    clone: string,
    options: { readonly cli: boolean } = { cli: true },
  ): Promise<void> {
    const attempts: (() => Promise<unknown>)[] = [];
    const attempt = (work: () => Promise<unknown>): number => attempts.push(work);
    write(clone, 'a.txt', 'changed by the agent\n');
    write(clone, 'new file.txt', 'new\n');
    attempt(() => checkpoint(bulkhead, session, 'a.txt', 'new file.txt'));
    attempt(() => checkpoint(bulkhead, session));
    attempt(() => bulkhead.diff({ kind: 'base', session: session.id }, { kind: 'worktree', session: session.id }));
    attempt(() => bulkhead.contention('live'));
    attempt(() => restoreAll(bulkhead, session, session.newest ?? ''));
    attempt(() => bulkhead.undo({ session: session.id, consent: 'all' }));
    attempt(() => bulkhead.undo({ session: session.id, consent: 'all', redo: true }));
    attempt(() => bulkhead.undo({ session: session.id, consent: 'all' }));
    attempt(() => bulkhead.apply({ session: session.id, mode: 'branch', dryRun: true }));
    attempt(() => bulkhead.apply({ session: session.id, mode: 'branch' }));
    attempt(() => bulkhead.snapshots({ session: session.id }));
    attempt(() => bulkhead.sessions({ all: true }));
    attempt(() => bulkhead.preflightRemoval(session.id));
    const commands = [
      ['session', 'list'],
      ['checkpoint'],
      ['checkpoint', 'a.txt'],
      ['snapshots'],
      ['diff', 'base'],
      ['contention'],
      ['undo'],
    ];
    for (const args of options.cli ? commands : []) {
      attempt(async () => {
        const run = await runCli([...args, '--json'], { cwd: clone, env: world.environment });
        assert.doesNotThrow(() => JSON.parse(run.stdout) as unknown, run.story);
      });
    }
    attempt(() => bulkhead.removeSession(session.id, { force: true }));
    for (const work of attempts) {
      await work().catch((error: unknown) => {
        assert.ok(
          error instanceof BulkheadError,
          `not one of our errors: ${error instanceof Error ? String(error.stack) : String(error)}`,
        );
      });
      assert.deepEqual(readdirSync(canaries), [], `after ${String(work)}`);
    }
  }

  it('starts nothing that the configuration, the hooks or the attributes of the clone name', async () => {
    const session = await bulkhead.createSession({ name: 'Traps', from: { kind: 'head' } });
    const clone = cloneOf(session);
    const gitDir = join(clone, '.git');
    const hooks = join(gitDir, 'hooks');
    mkdirSync(hooks, { recursive: true });
    for (const hook of HOOKS) {
      renameSync(trap(gitDir, `hook ${hook}`), join(hooks, hook));
    }
    const own = (...args: string[]): unknown =>
      git(['config', '--file', join(gitDir, 'config'), ...args], world.folder);
    own('core.hooksPath', hooks);
    for (const name of TRAPS) {
      own(name, `'${trap(gitDir, name)}'`);
    }
    for (const command of [
      'status',
      'log',
      'diff',
      'fetch',
      'update-ref',
      'cat-file',
      'hash-object',
      'rev-parse',
      'for-each-ref',
      'upload-pack',
    ]) {
      own(`alias.${command}`, `!'${trap(gitDir, `alias ${command}`)}'`);
    }
    own('url.ext::sh -c "touch canary" .insteadOf', clone);
    own('protocol.ext.allow', 'always');
    own('core.worktree', world.repo.dir);
    const included = join(gitDir, 'included');
    writeFileSync(included, `[core]\n\tfsmonitor = '${trap(gitDir, 'included')}'\n`);
    own('include.path', included);
    write(clone, '.gitattributes', '* filter=trap diff=trap merge=trap\n*.lfs filter=lfs\n');
    write(clone, 'x.lfs', 'large\n');
    // The traps bite: git itself, used inside the clone, would set one off.
    own('--unset', 'core.worktree');
    tryGit(['status'], clone, { env: { GIT_CONFIG_COUNT: '0' } });
    tryGit(['add', '--all'], clone, { env: { GIT_CONFIG_COUNT: '0' } });
    assert.notDeepEqual(readdirSync(canaries), []);
    rmSync(canaries, { recursive: true });
    mkdirSync(canaries);
    own('core.worktree', world.repo.dir);
    const before = contents(world.repo.dir, (path) => path === '.git');
    await everything(session, clone);
    assert.deepEqual(
      contents(world.repo.dir, (path) => path === '.git'),
      before,
    );
    fsck(world.store);
  });

  it('starts no transport for a clone that calls itself a partial one', async () => {
    const session = await bulkhead.createSession({ name: 'Promise', from: { kind: 'head' } });
    const clone = cloneOf(session);
    write(clone, 'a.txt', 'committed\n');
    git(['commit', '--quiet', '--all', '--message', 'work'], clone);
    const blob = gitLine(['rev-parse', 'HEAD:a.txt'], clone);
    rmSync(join(clone, '.git', 'objects', blob.slice(0, 2), blob.slice(2)));
    const script = trap(join(clone, '.git'), 'transport');
    for (const [key, value] of [
      ['core.repositoryformatversion', '1'],
      ['extensions.partialClone', 'evil'],
      ['remote.evil.promisor', 'true'],
      ['remote.evil.url', `ext::'${script}'`],
      ['protocol.ext.allow', 'always'],
    ] as const) {
      git(['config', key, value], clone);
    }
    await everything(session, clone, { cli: false });
  });

  it('is not led elsewhere by a .git file, a linked .git folder, a common folder or alternates', async () => {
    const elsewhere = repo(join(world.folder, 'elsewhere'))
      .file('secret.txt', 'secret of elsewhere\n')
      .commit('secret');
    const secret = elsewhere.resolve('HEAD');
    elsewhere.config('core.fsmonitor', trap(world.folder, 'elsewhere'));
    const tricks: readonly (readonly [string, (gitDir: string) => void])[] = [
      [
        'file',
        (gitDir) => {
          rmSync(gitDir, { recursive: true });
          writeFileSync(gitDir, `gitdir: ${join(elsewhere.dir, '.git')}\n`);
        },
      ],
      [
        'link',
        (gitDir) => {
          rmSync(gitDir, { recursive: true });
          symlinkSync(join(elsewhere.dir, '.git'), gitDir);
        },
      ],
      [
        'common folder',
        (gitDir) => {
          writeFileSync(join(gitDir, 'commondir'), join(elsewhere.dir, '.git'));
          writeFileSync(join(gitDir, 'HEAD'), `${secret}\n`);
        },
      ],
      [
        'alternates',
        (gitDir) => {
          mkdirSync(join(gitDir, 'objects', 'info'), { recursive: true });
          writeFileSync(join(gitDir, 'objects', 'info', 'alternates'), `${join(elsewhere.dir, '.git', 'objects')}\n`);
          writeFileSync(join(gitDir, 'HEAD'), `${secret}\n`);
        },
      ],
    ];
    const before = userState(elsewhere.dir);
    for (const [name, play] of tricks) {
      const session = await bulkhead.createSession({ name: `Trick ${name}`, from: { kind: 'head' } });
      play(join(cloneOf(session), '.git'));
      // The command line inside is what such a clone is for; once is enough, it costs seconds.
      await everything(session, cloneOf(session), { cli: name === 'file' });
      assert.notEqual(
        tryGit(['cat-file', '-e', secret], world.store).code,
        0,
        `${name}: a commit of elsewhere is in the store`,
      );
      assert.deepEqual(userState(elsewhere.dir), before, name);
    }
  });

  it('is not believed when its pointer names another storage or another session', async () => {
    const [session, other] = [
      await bulkhead.createSession({ name: 'Mine', from: { kind: 'head' } }),
      await bulkhead.createSession({ name: 'Other', from: { kind: 'head' } }),
    ];
    const host = await createHost({ log: silentLog, product: 'test', environment: world.environment });
    const pointer = join(cloneOf(session), '.git', 'bulkhead');
    const original = read(join(cloneOf(session), '.git'), 'bulkhead');
    assert.equal((await locate(host, cloneOf(session))).kind, 'clone');
    const fake = join(world.folder, 'fake storage');
    mkdirSync(fake);
    for (const text of [
      original.replace(world.storage, fake),
      original.replace(session.id, other.id),
      read(join(cloneOf(other), '.git'), 'bulkhead'),
    ]) {
      writeFileSync(pointer, text);
      await assert.rejects(locate(host, cloneOf(session)), { code: 'pointer-not-believed' });
    }
  });

  it('does not get a snapshot restored whose names would leave the work tree or reach .git', async () => {
    const session = await bulkhead.createSession({ name: 'Names', from: { kind: 'head' } });
    const clone = cloneOf(session);
    // Everything but our own books.
    const state = (): unknown => [
      contents(clone),
      contents(world.folder, (path) => path === 'storage'),
      readdirSync(join(world.storage, 'creating')),
    ];
    const before = state();
    const blob = gitLine(['hash-object', '-w', '--stdin'], world.store, { input: 'evil\n' });
    const mktree = (lines: string): string => gitLine(['mktree', '-z', '--missing'], world.store, { input: lines });
    for (const name of ['..', '.git', '.GIT', 'git~1', '.git ', '.git::$INDEX_ALLOCATION', '.g\u200cit', '..\\x']) {
      const inner = mktree(`100644 blob ${blob}\tconfig\0`);
      const tree = mktree(`100644 blob ${blob}\tfine.txt\x00040000 tree ${inner}\t${name}\0`);
      const message = formatMessage('evil', {
        session: session.id,
        trigger: 'manual',
        agent: 'codex',
        turn: null,
        head: null,
        skipped: { count: 0, named: [] },
        chain: { number: 1, ordinal: 2, started: 1 },
        previous: null,
        reverses: null,
      });
      const target = gitLine(['commit-tree', tree], world.store, { input: message });
      await assert.rejects(restoreAll(bulkhead, session, target), { code: 'name-not-allowed' }, name);
      await assert.rejects(
        bulkhead.createSession({ name: 'From evil', from: { kind: 'snapshot', oid: target } }),
        BulkheadError,
        name,
      );
      assert.equal(existsSync(join(clone, 'fine.txt')), false);
    }
    assert.deepEqual(state(), before);
  });

  describe('with a link among the parents', () => {
    let session: Session;
    let clone: string;
    let outside: string;

    beforeEach(async () => {
      session = await bulkhead.createSession({ name: 'Links', from: { kind: 'head' } });
      clone = cloneOf(session);
      outside = join(world.folder, 'outside');
      write(outside, 'b.ts', 'outside b\n');
      write(outside, 'deeper/c.ts', 'outside c\n');
    });

    afterEach(() => {
      assert.deepEqual(
        [read(outside, 'b.ts'), read(outside, 'deeper/c.ts'), readdirSync(outside).sort()],
        ['outside b\n', 'outside c\n', ['b.ts', 'deeper']],
      );
      for (const content of ['outside b\n', 'outside c\n']) {
        const oid = gitLine(['hash-object', '--stdin'], world.store, { input: content });
        assert.notEqual(tryGit(['cat-file', '-e', oid], world.store).code, 0, 'content of outside is in the store');
      }
      fsck(world.store);
    });

    const swap = (folder: string): void => {
      renameSync(join(clone, folder), join(world.folder, 'aside'));
      symlinkSync(outside, join(clone, folder));
    };

    it('records the link and nothing behind it, by path and by a look at everything', async () => {
      swap('src');
      const byPath = await checkpoint(bulkhead, session, 'src/b.ts', 'src/deeper/c.ts');
      assert.equal(gitLine(['ls-tree', '--name-only', '-r', byPath.tree], world.store), 'a.txt\nsrc');
      assert.equal((await checkpoint(bulkhead, session)).snapshot, null);
    });

    it('keeps what lies behind it when a restore wants to write there', async () => {
      write(clone, '.gitignore', 'linked\n');
      write(clone, 'linked/b.ts', 'captured\n');
      git(['add', '--force', '--all'], clone);
      git(['commit', '--quiet', '--message', 'linked'], clone);
      const target = await snapshotOf(bulkhead, session);
      git(['rm', '--quiet', '-r', '--cached', 'linked'], clone);
      git(['commit', '--quiet', '--amend', '--message', 'not linked'], clone);
      rmSync(join(clone, 'linked'), { recursive: true });
      symlinkSync(outside, join(clone, 'linked'));
      await checkpoint(bulkhead, session);
      const { plan } = await restoreAll(bulkhead, session, target);
      assert.deepEqual(
        plan.keep.map(({ path }) => path),
        ['linked/b.ts'],
      );
    });

    it('writes and deletes nothing behind one that is swapped in during a restore', async () => {
      write(clone, 'src/b.ts', 'later\n');
      write(clone, 'src/deeper/c.ts', 'later\n');
      await checkpoint(bulkhead, session);
      for (const method of ['remove', 'writeFile'] as const) {
        const { prototype } = WorkTree;
        // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called with its own object
        const original = prototype[method] as (this: WorkTree, ...args: unknown[]) => void;
        let isSwapped = false;
        Object.assign(prototype, {
          [method](this: WorkTree, ...args: unknown[]) {
            if (!isSwapped) {
              isSwapped = true;
              swap('src');
            }
            original.apply(this, args);
          },
        });
        try {
          await assert.rejects(restoreAll(bulkhead, session, session.newest ?? ''), { code: 'restore-incomplete' });
        } finally {
          Object.assign(prototype, { [method]: original });
        }
        assert.ok(isSwapped);
        rmSync(join(clone, 'src'));
        renameSync(join(world.folder, 'aside'), join(clone, 'src'));
      }
    });

    it('reads nothing behind one that is swapped in while a file is read', async () => {
      write(clone, 'src/b.ts', 'later\n');
      const { prototype } = WorkTree;
      // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called with its own object
      const original = prototype.read;
      let isSwapped = false;
      prototype.read = function (path, maxBytes) {
        if (!isSwapped) {
          isSwapped = true;
          swap('src');
        }
        return original.call(this, path, maxBytes);
      };
      try {
        const { skipped } = await bulkhead.checkpoint({
          session: session.id,
          trigger: 'save',
          agent: 'user',
          paths: [pathOf('src/b.ts')],
        });
        assert.deepEqual(skipped, [{ path: 'src/b.ts', reason: 'vanished' }]);
      } finally {
        prototype.read = original;
      }
    });
  });
});
