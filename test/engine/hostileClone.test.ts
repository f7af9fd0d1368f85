import assert from 'node:assert/strict';
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../src/base/log';
import { BulkheadError } from '../../src/base/errors';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { createHost } from '../../src/session/host';
import { locate } from '../../src/session/locate';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { repo } from '../support/repo';
import { runCli } from '../support/runCli';
import { checkpoint, cloneOf, contents, EngineWorld, fsck, read, restoreAll, write } from './world';

const HOOKS = [
  'applypatch-msg', 'commit-msg', 'fsmonitor-watchman', 'post-applypatch', 'post-checkout', 'post-commit', 'post-index-change', 'post-merge', 'post-receive',
  'post-rewrite', 'post-update', 'pre-applypatch', 'pre-auto-gc', 'pre-commit', 'pre-merge-commit', 'prepare-commit-msg', 'pre-push', 'pre-rebase', 'pre-receive',
  'proc-receive', 'push-to-checkout', 'reference-transaction', 'sendemail-validate', 'update',
]; // prettier-ignore

/** Settings that name a program, all of them ours to avoid. */
const PROGRAMS = [
  'core.fsmonitor', 'core.editor', 'core.pager', 'core.askPass', 'core.sshCommand', 'core.gitProxy', 'core.alternateRefsCommand', 'sequence.editor',
  'diff.external', 'diff.trap.command', 'diff.trap.textconv', 'merge.trap.driver', 'mergetool.trap.cmd', 'difftool.trap.cmd', 'filter.trap.clean',
  'filter.trap.smudge', 'filter.trap.process', 'filter.lfs.clean', 'filter.lfs.smudge', 'filter.lfs.process', 'filter.git-crypt.clean', 'filter.git-crypt.smudge',
  'gpg.program', 'gpg.ssh.program', 'gpg.x509.program', 'credential.helper', 'uploadpack.packObjectsHook', 'remote.local.uploadpack', 'remote.local.receivepack',
  'remote.origin.uploadpack', 'interactive.diffFilter', 'trailer.trap.command', 'trailer.trap.cmd', 'pager.log', 'pager.diff', 'pager.status', 'pager.for-each-ref',
  'browser.trap.cmd', 'web.browser', 'man.trap.cmd', 'instaweb.httpd', 'sendemail.smtpServer', 'imap.tunnel', 'tar.trap.command', 'guitool.trap.cmd',
]; // prettier-ignore

/** Switches that make git use them. */
const SWITCHES: readonly (readonly [string, string])[] = [
  ['filter.trap.required', 'true'],
  ['filter.lfs.required', 'true'],
  ['commit.gpgSign', 'true'],
  ['tag.gpgSign', 'true'],
  ['log.showSignature', 'true'],
  ['fetch.recurseSubmodules', 'true'],
  ['submodule.recurse', 'true'],
  ['diff.submodule', 'log'],
  ['status.submoduleSummary', 'true'],
  ['protocol.allow', 'always'],
  ['protocol.ext.allow', 'always'],
  ['gc.auto', '1'],
  ['gc.autoDetach', 'false'],
  ['maintenance.auto', 'true'],
  ['core.splitIndex', 'true'],
  ['core.untrackedCache', 'true'],
  ['core.trustctime', 'false'],
  ['core.checkStat', 'minimal'],
  ['core.protectHFS', 'false'],
  ['core.protectNTFS', 'false'],
  ['core.symlinks', 'false'],
  ['core.bare', 'true'],
  ['safe.directory', '*'],
];

/** Also those that we use ourselves. */
const ALIASES = [
  'status', 'log', 'diff', 'fetch', 'update-ref', 'cat-file', 'hash-object', 'rev-parse', 'for-each-ref', 'upload-pack', 'ls-files', 'diff-files', 'check-attr',
  'check-ignore', 'read-tree', 'update-index', 'rev-list', 'merge-base', 'clone', 'checkout', 'config', 'checkpoint', 'session', 'restore', 'undo', 'bulkhead',
]; // prettier-ignore

describe('a hostile clone', function () {
  this.timeout(180_000);
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

  const commandLine = (cwd: string, ...args: string[]): (() => Promise<void>) => {
    const call = async (): Promise<void> => {
      const run = await runCli([...args, '--json'], { cwd, env: world.environment });
      assert.doesNotThrow(() => JSON.parse(run.stdout) as unknown, run.story);
    };
    return Object.defineProperty(call, 'name', { value: args.join(' ') });
  };

  /** Everything that the engine can be asked to do with a session; deleting it comes last. */
  function engineCalls(session: Session): (() => Promise<unknown>)[] {
    const { id } = session;
    return [
      () => checkpoint(bulkhead, session, 'a.txt', 'new file.txt'),
      () => checkpoint(bulkhead, session),
      () => bulkhead.diff({ kind: 'base', session: id }, { kind: 'worktree', session: id }),
      () => bulkhead.contention('live'),
      () => bulkhead.planRestore({ session: id, target: session.newest ?? '', consent: 'all' }),
      () => restoreAll(bulkhead, session, session.newest ?? ''),
      () => bulkhead.undo({ session: id, consent: 'all' }),
      () => bulkhead.undo({ session: id, consent: 'all', redo: true }),
      () => bulkhead.undo({ session: id, consent: 'all' }),
      () => bulkhead.apply({ session: id, mode: 'branch', dryRun: true }),
      () => bulkhead.apply({ session: id, mode: 'branch' }),
      () => bulkhead.snapshots({ session: id }),
      () => bulkhead.sessions({ all: true }),
      () => bulkhead.changedSinceBase(id),
      () => bulkhead.renameSession(id, `Renamed ${id}`),
      () => bulkhead.createSession({ from: { kind: 'session', session: id } }),
      () => bulkhead.createSession({ from: { kind: 'snapshot', oid: session.newest ?? '' } }),
      () => bulkhead.preflightRemoval(id),
    ];
  }

  /** The same from the command line, inside the clone and outside of it. */
  function commandCalls(session: Session, clone: string): (() => Promise<unknown>)[] {
    const { id } = session;
    const inside = [
      ['session', 'list'],
      ['session', 'show', id],
      ['checkpoint'],
      ['checkpoint', 'a.txt'],
      ['snapshots', '--path', 'a.txt'],
      ['diff', 'base'],
      ['contention'],
      ['restore', session.newest ?? '', '--force'],
      ['undo'],
      ['session', 'fork', id],
      ['session', 'rename', id, `From inside ${id}`],
    ];
    const outside = [
      ['session', 'list', '--all'],
      ['checkpoint', '--session', id],
      ['diff', 'base', 'worktree', '--session', id],
      ['apply', id, '--mode', 'branch'],
      ['session', 'rm', id],
    ];
    return [
      ...inside.map((args) => commandLine(clone, ...args)),
      ...outside.map((args) => commandLine(world.repo.dir, ...args)),
    ];
  }

  /** Nothing but errors of ours may come, and no canary. */
  async function doAll(calls: readonly (() => Promise<unknown>)[]): Promise<void> {
    for (const call of calls) {
      await call().catch((error: unknown) => {
        assert.ok(
          error instanceof BulkheadError,
          `not one of our errors: ${error instanceof Error ? String(error.stack) : String(error)}`,
        );
      });
      assert.deepEqual(readdirSync(canaries), [], `after ${call.name === '' ? String(call) : call.name}`);
    }
  }

  async function everything(session: Session, clone: string): Promise<void> {
    write(clone, 'a.txt', 'changed by the agent\n');
    write(clone, 'new file.txt', 'new\n');
    await doAll([...engineCalls(session), () => bulkhead.removeSession(session.id, { force: true })]);
  }

  it('starts nothing that its configuration, hooks, attributes, remotes or submodules name', async () => {
    const session = await bulkhead.createSession({ name: 'Traps', from: { kind: 'head' } });
    const clone = cloneOf(session);
    const gitDir = join(clone, '.git');
    // A commit and a submodule before git is spoilt, so that there is something to fetch.
    const module = repo(join(world.folder, 'module')).file('m.txt', 'm\n').commit('m');
    git(['submodule', '--quiet', 'add', module.dir, 'sub'], clone);
    git(['commit', '--quiet', '--message', 'with a submodule'], clone);
    const hooks = join(gitDir, 'hooks');
    mkdirSync(hooks, { recursive: true });
    for (const hook of HOOKS) {
      renameSync(trap(gitDir, `hook ${hook}`), join(hooks, hook));
    }
    const plant = (file: string): void => {
      const set = (key: string, value: string): unknown =>
        git(['config', '--file', file, '--add', key, value], world.folder);
      set('core.hooksPath', hooks);
      for (const name of PROGRAMS) {
        set(name, `'${trap(gitDir, name)}'`);
      }
      for (const [name, value] of SWITCHES) {
        set(name, value);
      }
      for (const alias of ALIASES) {
        set(`alias.${alias}`, `!'${trap(gitDir, `alias ${alias}`)}'`);
      }
      set('submodule.sub.update', `!'${trap(gitDir, 'submodule')}'`);
      set('submodule.sub.active', 'true');
      set('remote.evil.url', `ext::'${trap(gitDir, 'transport')}'`);
      set('remote.evil.fetch', '+refs/heads/*:refs/heads/*');
      set(`url.ext::'${trap(gitDir, 'instead')}' .insteadOf`, clone);
      set(`url.ext::'${trap(gitDir, 'instead of all')}' .insteadOf`, '/');
    };
    const config = join(gitDir, 'config');
    const included = join(gitDir, 'included');
    writeFileSync(included, '');
    plant(included);
    plant(config);
    plant(join(gitDir, 'config.worktree'));
    const own = (key: string, value: string): unknown => git(['config', '--file', config, key, value], world.folder);
    own('include.path', included);
    own(`includeIf.gitdir:${gitDir}/.path`, included);
    own('core.repositoryformatversion', '1');
    own('extensions.worktreeConfig', 'true');
    own('core.worktree', world.repo.dir);
    write(
      clone,
      '.gitattributes',
      '* filter=trap diff=trap merge=trap working-tree-encoding=UTF-8 ident\n*.lfs filter=lfs\n',
    );
    write(join(gitDir, 'info'), 'attributes', '* filter=trap diff=trap\n');
    write(clone, 'x.lfs', 'large\n');
    write(clone, '.gitmodules', read(clone, '.gitmodules') + `\tupdate = !'${trap(gitDir, 'modules')}'\n`);
    write(join(clone, '.git', 'modules', 'sub'), 'hooks/post-checkout', readFileSync(join(hooks, 'post-checkout')));
    cpSync(config, join(clone, '.git', 'modules', 'sub', 'config'));
    assert.deepEqual(readdirSync(canaries), []);
    // The traps bite: git itself, used inside the clone, sets some off.
    const env = { GIT_CONFIG_COUNT: '0', GIT_DIR: gitDir, GIT_WORK_TREE: clone };
    tryGit(['-c', 'core.bare=false', 'status'], clone, { env });
    tryGit(['-c', 'core.bare=false', 'add', '--all'], clone, { env });
    assert.notDeepEqual(readdirSync(canaries), []);
    rmSync(canaries, { recursive: true });
    mkdirSync(canaries);
    const outside = (): unknown => [
      contents(world.repo.dir, (path) => path === '.git'),
      contents(world.folder, (path) => ['storage', 'user repo', 'canaries'].includes(path)),
    ];
    const before = outside();
    write(clone, 'a.txt', 'changed by the agent\n');
    write(clone, 'new file.txt', 'new\n');
    const { snapshot } = await checkpoint(bulkhead, session);
    assert.notEqual(snapshot, null, 'a save of such a clone is recorded');
    await doAll([...engineCalls(session), ...commandCalls(session, clone)]);
    await doAll([() => bulkhead.removeSession(session.id, { force: true })]);
    assert.deepEqual(outside(), before);
    // The agent's .gitmodules was recorded as it is; git itself refuses to use it.
    git(['-c', 'fsck.gitmodulesUpdate=ignore', 'fsck', '--full', '--strict', '--no-dangling'], world.store);
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
      ['remote.evil.partialclonefilter', 'blob:none'],
      ['remote.evil.url', `ext::'${script}'`],
      ['protocol.ext.allow', 'always'],
    ] as const) {
      git(['config', key, value], clone);
    }
    await everything(session, clone);
    fsck(world.store);
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
});
