import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../src/base/log';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { createHost } from '../../src/session/host';
import { locate } from '../../src/session/locate';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { repo } from '../support/repo';
import { runCli } from '../support/runCli';
import { type Call, callsInside, callsOutside, engineCalls, refusedInside, refusedOf } from './everyCall';
import { cloneOf, contents, EngineWorld, fsck, read, write } from './world';

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

  /** Nothing but errors of ours may come, and no canary. @returns what was refused */
  const refusedQuietly = (calls: readonly Call[]): Promise<string[]> =>
    refusedOf(calls, (name) => {
      assert.deepEqual(readdirSync(canaries), [], `after ${name}`);
    });

  /** Everything beside the storage. */
  const outside = (): unknown => [
    contents(world.repo.dir, (path) => path === '.git'),
    contents(world.folder, (path) => ['storage', 'user repo', 'canaries'].includes(path)),
  ];

  /** Hooks, and a configuration in which each setting that can name a program names a trap. */
  function setTraps(): {
    readonly hooks: string;
    readonly config: string;
    readonly attributes: string;
    readonly modules: string;
  } {
    const traps = join(world.folder, 'traps');
    const hooks = join(traps, 'hooks');
    mkdirSync(hooks, { recursive: true });
    for (const hook of HOOKS) {
      renameSync(trap(traps, `hook ${hook}`), join(hooks, hook));
    }
    const config = join(traps, 'config');
    const set = (key: string, value: string): unknown =>
      git(['config', '--file', config, '--add', key, value], world.folder);
    set('core.hooksPath', hooks);
    for (const name of PROGRAMS) {
      set(name, `'${trap(traps, name)}'`);
    }
    for (const [name, value] of SWITCHES) {
      set(name, value);
    }
    for (const alias of ALIASES) {
      set(`alias.${alias}`, `!'${trap(traps, `alias ${alias}`)}'`);
    }
    set('submodule.sub.update', `!'${trap(traps, 'submodule')}'`);
    set('submodule.sub.active', 'true');
    set('remote.evil.url', `ext::'${trap(traps, 'transport')}'`);
    set('remote.evil.fetch', '+refs/heads/*:refs/heads/*');
    set(`url.ext::'${trap(traps, 'instead of all')}' .insteadOf`, '/');
    return {
      hooks,
      config,
      attributes: '* filter=trap diff=trap merge=trap working-tree-encoding=UTF-8 ident\n*.lfs filter=lfs\n',
      modules: `\tupdate = !'${trap(traps, 'modules')}'\n`,
    };
  }

  /** Makes sessions whose clones are full of traps. */
  function trappedSessions(): () => Promise<Session> {
    const module = repo(join(world.folder, 'module')).file('m.txt', 'm\n').commit('m');
    const { hooks, config, attributes, modules } = setTraps();
    return async () => {
      const session = await bulkhead.createSession({ from: { kind: 'head' } });
      const clone = cloneOf(session);
      const gitDir = join(clone, '.git');
      // A commit and a submodule before git is spoilt, so that there is something to fetch.
      git(['submodule', '--quiet', 'add', module.dir, 'sub'], clone);
      git(['commit', '--quiet', '--message', 'with a submodule'], clone);
      cpSync(hooks, join(gitDir, 'hooks'), { recursive: true });
      cpSync(config, join(gitDir, 'config.worktree'));
      const own = [
        `[include]\n\tpath = ${config}\n[includeIf "gitdir:${gitDir}/"]\n\tpath = ${config}\n`,
        '[core]\n\trepositoryformatversion = 1\n[extensions]\n\tworktreeConfig = true\n',
        `[core]\n\tworktree = ${world.repo.dir}\n`,
      ];
      for (const folder of [gitDir, join(gitDir, 'modules', 'sub')]) {
        appendFileSync(join(folder, 'config'), readFileSync(config, 'utf8') + own.join(''));
      }
      write(clone, '.gitattributes', attributes);
      write(join(gitDir, 'info'), 'attributes', '* filter=trap diff=trap\n');
      write(clone, 'x.lfs', 'large\n');
      write(clone, '.gitmodules', read(clone, '.gitmodules') + modules);
      cpSync(hooks, join(gitDir, 'modules', 'sub', 'hooks'), { recursive: true });
      write(clone, 'a.txt', 'changed by the agent\n');
      write(clone, 'new file.txt', 'new\n');
      return session;
    };
  }

  it('starts nothing that its configuration, hooks, attributes, remotes or submodules name', async () => {
    const another = trappedSessions();
    const session = await another();
    assert.deepEqual(readdirSync(canaries), []);
    // The traps bite: git itself, used inside the clone, sets some off.
    const clone = cloneOf(session);
    const env = { GIT_CONFIG_COUNT: '0', GIT_DIR: join(clone, '.git'), GIT_WORK_TREE: clone };
    tryGit(['-c', 'core.bare=false', 'status'], clone, { env });
    tryGit(['-c', 'core.bare=false', 'add', '--all'], clone, { env });
    assert.notDeepEqual(readdirSync(canaries), []);
    rmSync(canaries, { recursive: true });
    mkdirSync(canaries);
    const before = outside();
    const suspect = { world, bulkhead, session, another };
    const calls = [...engineCalls(suspect), ...callsInside(suspect, runCli), ...callsOutside(suspect)];
    assert.deepEqual(await refusedQuietly(calls), refusedInside(session));
    assert.deepEqual(outside(), before);
    // The agent's .gitmodules was recorded as it is; git itself refuses to use it.
    git(['-c', 'fsck.gitmodulesUpdate=ignore', 'fsck', '--full', '--strict', '--no-dangling'], world.store);
  });

  it('starts nothing either when it has a folder for tables of refs, which only git could read', async () => {
    const trapped = trappedSessions();
    const another = async (): Promise<Session> => {
      const session = await trapped();
      const gitDir = join(cloneOf(session), '.git');
      mkdirSync(join(gitDir, 'reftable'));
      writeFileSync(join(gitDir, 'reftable', 'tables.list'), '');
      writeFileSync(join(gitDir, 'HEAD'), 'ref: refs/heads/.invalid\n');
      // Whoever reads the configuration does not come back.
      const pipe = join(gitDir, 'included');
      execFileSync('mkfifo', [pipe]);
      appendFileSync(join(gitDir, 'config'), `[include]\n\tpath = ${pipe}\n`);
      return session;
    };
    const suspect = { world, bulkhead, session: await another(), another };
    const before = outside();
    const refused = await refusedQuietly(engineCalls(suspect));
    // An older git does not know such tables.
    assert.ok(
      refused.every((text) => text === 'apply: clone-unreadable'),
      refused.join(', '),
    );
    assert.deepEqual(outside(), before);
  });

  it('starts no transport for a clone that calls itself a partial one', async () => {
    const script = trap(world.folder, 'transport');
    const hostile = async (): Promise<Session> => {
      const session = await bulkhead.createSession({ from: { kind: 'head' } });
      const clone = cloneOf(session);
      write(clone, 'a.txt', 'committed\n');
      git(['commit', '--quiet', '--all', '--message', 'work'], clone);
      const blob = gitLine(['rev-parse', 'HEAD:a.txt'], clone);
      rmSync(join(clone, '.git', 'objects', blob.slice(0, 2), blob.slice(2)));
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
      write(clone, 'a.txt', 'changed by the agent\n');
      write(clone, 'new file.txt', 'new\n');
      return session;
    };
    const suspect = { world, bulkhead, session: await hostile(), another: hostile };
    // A commit that is not whole cannot be brought home; all else goes on.
    assert.deepEqual(await refusedQuietly(engineCalls(suspect)), ['apply: git-exited']);
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
