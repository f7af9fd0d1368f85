import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BulkheadError } from '../../src/base/errors';
import { formatMessage } from '../../src/core/snapshotMessage';
import { showUnseen } from '../../src/core/visibleText';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { WorkTree } from '../../src/session/workTree';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { SeededRandom } from '../support/seededRandom';
import { sample, seed } from '../support/soak';
import { checkpoint, cloneOf, contents, EngineWorld, fsck, pathOf, read, restoreAll, snapshotOf, write } from './world';

/** Puts links in the place of folders and takes them out again, in a process of its own, until it is killed. */
const SWAPPER = `
  const { renameSync, symlinkSync, unlinkSync } = require('node:fs');
  const [clone, outside, seed] = process.argv.slice(1);
  let state = Number(seed) >>> 0 || 1;
  const pick = (count) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return (state >>> 16) % count; };
  const places = [clone + '/src', clone + '/src/deeper'];
  process.stdout.write('ready');
  for (;;) {
    const place = places[pick(2)];
    try {
      renameSync(place, clone + '/../aside');
      symlinkSync(place.endsWith('deeper') ? outside + '/deeper' : outside, place);
      for (let spin = pick(2000); spin > 0; spin--);
      unlinkSync(place);
      renameSync(clone + '/../aside', place);
    } catch {
      try { unlinkSync(place); } catch {}
      try { renameSync(clone + '/../aside', place); } catch {}
    }
  }
`;

/** A name as a tree holds it, for a file or a folder of entries. */
type Entries = readonly (readonly [name: string, content: string | Entries])[];

/** Making a session takes longer than refusing a restore. */
const IN_NEW_SESSIONS = new Set([
  '..',
  '.git',
  'a hook of a nested repository',
  'a name of 256 bytes',
  'a file that is a folder too',
]);
const MALFORMED = new Set([
  'an empty name',
  'an absolute name',
  'a name with ../',
  'an absolute name that reads as another',
]);

describe('hostile paths', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;

  beforeEach(async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
  });

  afterEach(async () => {
    await world.close();
  });

  /** Writes a tree byte by byte, in the given order: git's own tools refuse most of these names. */
  function treeOf(entries: Entries): string {
    const raw = entries.map(([name, content]) => {
      const isFile = typeof content === 'string';
      const oid = isFile ? gitLine(['hash-object', '-w', '--stdin'], world.store, { input: content }) : treeOf(content);
      return Buffer.concat([
        Buffer.from(`${isFile ? '100644' : '40000'} `),
        Buffer.from(name),
        Buffer.of(0),
        Buffer.from(oid, 'hex'),
      ]);
    });
    return gitLine(['hash-object', '-t', 'tree', '-w', '--stdin', '--literally'], world.store, {
      input: Buffer.concat(raw),
    });
  }

  /** A snapshot that no code of ours would make. */
  function snapshotWith(session: Session, entries: Entries): string {
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
    return gitLine(['commit-tree', treeOf(entries)], world.store, { input: message });
  }

  /** Everything but our own books. */
  const state = (): unknown => [
    contents(world.folder, (path) => path === 'storage'),
    ...readdirSync(join(world.storage, 'sessions')).map((id) =>
      contents(join(world.storage, 'sessions', id), (path) => path.startsWith('index.') || path === 'head'),
    ),
    readdirSync(join(world.storage, 'creating')),
  ];

  function lastPath(entries: Entries): string {
    const [name, content] = entries.at(-1) ?? ['', ''];
    return typeof content === 'string' ? name : `${name}/${lastPath(content)}`;
  }

  const file = 'evil\n';
  const refused: Readonly<Record<string, Entries>> = {
    '..': [['..', [['x', file]]]],
    '. as a folder': [['.', [['x', file]]]],
    'an empty name': [['', [['x', file]]]],
    'a file ..': [['..', file]],
    'an absolute name': [['/tmp/bulkhead-must-not-be-here', file]],
    'a name with ../': [['../../outside.txt', file]],
    'an absolute name that reads as another': [['/tmp/\u202etxt.daeh\u0007', file]],
    '.git': [['.git', [['config', file]]]],
    '.git as a file': [['.git', 'gitdir: /elsewhere\n']],
    '.GIT': [['.GIT', [['config', file]]]],
    '.git with a dot': [['.git.', [['config', file]]]],
    '.git with a space': [['.git ', [['config', file]]]],
    '.git with dots and spaces': [['.git . . ', [['config', file]]]],
    'git~1': [['git~1', [['config', file]]]],
    'GIT~1': [['GIT~1', [['config', file]]]],
    'a stream of .git': [['.git::$INDEX_ALLOCATION', [['config', file]]]],
    'another stream of .git': [['.git:x', [['config', file]]]],
    'a zero-width character in .git': [['.g\u200cit', [['config', file]]]],
    'a byte order mark in .git': [['\ufeff.git', [['config', file]]]],
    'a right-to-left mark in .git': [['.git\u200f', [['config', file]]]],
    'a backslash and ..': [['..\\x', file]],
    'a backslash and .git': [['sub\\.git\\hooks\\x', file]],
    'a hook of a nested repository': [['sub', [['.git', [['hooks', [['post-checkout', file]]]]]]]],
    'a hook of a nested repository in disguise': [['sub', [['.GiT ', [['hooks', [['x', file]]]]]]]],
    'a name of 256 bytes': [['x'.repeat(256), file]],
    'a folder of 300 bytes': [['é'.repeat(150), [['x', file]]]],
    'a file twice': [['twice.txt', file], ['twice.txt', 'other\n']],
    'a file that is a folder too': [['both', file], ['both', [['x', file]]]],
  }; // prettier-ignore
  it('are refused, and nothing is written, in a restore and in a new session', async () => {
    const session = await bulkhead.createSession({ name: 'Names', from: { kind: 'head' } });
    const before = state();
    for (const [name, entries] of Object.entries(refused)) {
      const target = snapshotWith(session, [['aaa first.txt', 'fine\n'], ...entries]);
      // Such bytes are no tree at all.
      const code = MALFORMED.has(name) ? 'tree-malformed' : 'name-not-allowed';
      await assert.rejects(restoreAll(bulkhead, session, target), (error: unknown) => {
        assert.ok(error instanceof BulkheadError, name);
        assert.equal(error.code, code, name);
        if (name !== 'an empty name') {
          const path = showUnseen(lastPath(entries));
          assert.ok(error.message.includes(` ${path},`), `${name}: "${error.message}" names ${path}`);
          assert.equal(error.data['path'], path, name);
        }
        return true;
      });
      if (IN_NEW_SESSIONS.has(name)) {
        await assert.rejects(
          bulkhead.createSession({ name: 'From evil', from: { kind: 'snapshot', oid: target } }),
          BulkheadError,
          name,
        );
      }
      assert.deepEqual(state(), before, name);
    }
    assert.equal(existsSync('/tmp/bulkhead-must-not-be-here'), false);
  });

  it('are named in the refusal, with what cannot be seen made visible', async () => {
    const session = await bulkhead.createSession({ name: 'Named', from: { kind: 'head' } });
    const target = snapshotWith(session, [['sub', [['.g\u200cit', [['x', file]]]]]]);
    await assert.rejects(restoreAll(bulkhead, session, target), (error: unknown) => {
      assert.ok(error instanceof BulkheadError);
      assert.ok(error.message.includes('sub/.g\\u{200C}it/x'), error.message);
      assert.deepEqual(error.data, { path: 'sub/.g\\u{200C}it/x' });
      return true;
    });
  });

  it('that look alike to a disk without case are refused with both names on such a disk, and are two files elsewhere', async () => {
    const trees: readonly Entries[] = [
      [['A', 'upper\n'], ['a', 'lower\n']],
      [['Dir', [['x', 'upper\n']]], ['dir', [['y', 'lower\n']]]],
      [['\u00e9', 'composed\n'], ['e\u0301', 'two characters\n']],
    ].map((entries) => [...(entries as unknown as Entries)].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))); // prettier-ignore
    const session = await bulkhead.createSession({ name: 'Case', from: { kind: 'head' } });
    for (const entries of trees) {
      const { plan } = await restoreAll(bulkhead, session, snapshotWith(session, entries));
      assert.equal(plan.write.length, 2);
      assert.equal(Object.keys(contents(cloneOf(session), (path) => path === '.git')).length, 2);
    }
    await restoreAll(bulkhead, session, session.newest ?? '');
    const before = state();
    const { prototype } = WorkTree;
    // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and not called
    const original = prototype.ignoresCase;
    prototype.ignoresCase = () => true;
    try {
      for (const entries of trees) {
        const target = snapshotWith(session, [['0.txt', 'fine\n'], ...entries]);
        await assert.rejects(restoreAll(bulkhead, session, target), (error: unknown) => {
          assert.ok(error instanceof BulkheadError);
          assert.equal(error.code, 'names-clash');
          const [one = '', two = ''] = error.data['paths'] as readonly string[];
          assert.ok(entries.some(([name]) => one.startsWith(name)) && entries.some(([name]) => two.startsWith(name)));
          assert.ok(error.message.includes(one) && error.message.includes(two), error.message);
          return true;
        });
        await assert.rejects(bulkhead.createSession({ from: { kind: 'snapshot', oid: target } }), {
          code: 'names-clash',
        });
      }
      // Only one of the two is written now; the other one stays as it was.
      const both = snapshotWith(session, [
        ['A', 'upper\n'],
        ['a', 'lower\n'],
      ]);
      await assert.rejects(
        bulkhead.restore({ session: session.id, target: both, paths: [pathOf('a')], consent: 'all', agent: 'user' }),
        { code: 'names-clash' },
      );
    } finally {
      prototype.ignoresCase = original;
    }
    assert.deepEqual(state(), before);
  });

  it('that are a file here and a folder there are kept or exchanged, and nothing else is lost', async () => {
    const session = await bulkhead.createSession({ name: 'Exchange', from: { kind: 'head' } });
    const clone = cloneOf(session);
    write(clone, 'thing', 'a file\n');
    const asFile = await snapshotOf(bulkhead, session);
    rmSync(join(clone, 'thing'));
    write(clone, 'thing/inner.txt', 'in a folder\n');
    const asFolder = await snapshotOf(bulkhead, session);
    await restoreAll(bulkhead, session, asFile);
    assert.equal(read(clone, 'thing'), 'a file\n');
    await restoreAll(bulkhead, session, asFolder);
    assert.equal(read(clone, 'thing/inner.txt'), 'in a folder\n');
    // What no snapshot holds is not removed for it.
    write(clone, 'thing/git~1', 'not recorded\n');
    const { plan } = await restoreAll(bulkhead, session, asFile);
    assert.deepEqual(
      plan.keep.map(({ path, reason }) => [path, reason]),
      [['thing', 'folder-in-the-way']],
    );
    assert.equal(read(clone, 'thing/git~1'), 'not recorded\n');
  });

  it('in a work tree are left out of a snapshot, named with the reason, and break nothing', async () => {
    const session = await bulkhead.createSession({ name: 'Odd', from: { kind: 'head' } });
    const clone = cloneOf(session);
    const odd = [
      'git~1',
      '.git ',
      '.GIT/config',
      '.git::$INDEX_ALLOCATION',
      '.g\u200cit',
      'sub/.git.',
      'sub/GIT~1/x',
      'back\\..\\slash',
    ];
    const fine = [
      'x'.repeat(255),
      'new\nline',
      'tab\there',
      '"quoted"',
      '-dash',
      ' space ',
      'sub/.gitx',
      'back\\slash',
      '\u202egnp.exe',
      ':(top)magic',
      '*',
      'aux',
    ];
    for (const name of [...odd, ...fine]) {
      write(clone, name, `content of ${name}\n`);
    }
    writeFileSync(Buffer.concat([Buffer.from(`${clone}/not utf-8 `), Buffer.of(0xff, 0x80)]), 'bytes\n');
    const result = await checkpoint(bulkhead, session);
    assert.deepEqual(
      result.skipped.map(({ path, reason }) => `${Buffer.from(path, 'latin1').toString()}: ${reason}`).sort(),
      odd.map((name) => `${name}: name-not-allowed`).sort(),
    );
    const recorded = gitLine(['ls-tree', '-r', '-z', '--name-only', result.tree], world.store).split('\0');
    for (const name of fine) {
      assert.ok(recorded.includes(name), name);
    }
    for (const name of odd) {
      assert.ok(!recorded.includes(name), name);
    }
    assert.ok(gitLine(['log', '-1', '--format=%B', session.shadowRef], world.store).includes('Bulkhead-Skipped'));
    // By folder too, as after a rename of one.
    const byFolder = await checkpoint(bulkhead, session, 'sub');
    assert.deepEqual(byFolder.skipped.map(({ path }) => path).sort(), ['sub/.git.', 'sub/GIT~1']);
    await restoreAll(bulkhead, session, session.newest ?? '');
    for (const name of odd) {
      assert.equal(read(clone, name), `content of ${name}\n`);
    }
    assert.equal(existsSync(join(clone, '*')), false);
    await bulkhead.undo({ session: session.id, consent: 'all' });
    assert.equal(read(clone, 'new\nline'), 'content of new\nline\n');
    fsck(world.store);
  });

  it('that are pipes where git reads rules are named instead of waited for, and the other sessions go on', async () => {
    const [session, other] = [
      await bulkhead.createSession({ from: { kind: 'head' } }),
      await bulkhead.createSession({ from: { kind: 'head' } }),
    ];
    const clone = cloneOf(session);
    for (const name of ['.gitignore', '.gitattributes', 'src/.gitignore']) {
      write(clone, 'src/new.txt', `with ${name}\n`);
      execFileSync('mkfifo', [join(clone, name)]);
      await assert.rejects(checkpoint(bulkhead, session, 'src/new.txt'), {
        code: 'rule-file-pipe',
        data: { path: name },
      });
      if (name.endsWith('.gitignore')) {
        await assert.rejects(checkpoint(bulkhead, session), { code: 'rule-file-pipe', data: { path: name } });
      }
      write(cloneOf(other), 'a.txt', `with ${name}\n`);
      assert.notEqual((await checkpoint(bulkhead, other)).snapshot, null);
      rmSync(join(clone, name));
      assert.notEqual((await checkpoint(bulkhead, session)).snapshot, null);
    }
  });

  it('that are longer than the system takes as one do not break a snapshot', async () => {
    const session = await bulkhead.createSession({ name: 'Deep', from: { kind: 'head' } });
    const clone = cloneOf(session);
    write(clone, 'a.txt', 'changed\n');
    // 40 folders of 120 characters, made one below the other.
    const dig = `for (let i = 0; i < 40; i++) { fs.mkdirSync(process.argv[1]); process.chdir(process.argv[1]); } fs.writeFileSync('file.txt', 'deep');`;
    execFileSync(process.execPath, ['-e', `const fs = require('node:fs'); ${dig}`, 'd'.repeat(120)], { cwd: clone });
    const { changed } = await checkpoint(bulkhead, session);
    assert.deepEqual(
      changed.map(({ path }) => path),
      ['a.txt'],
    );
    execFileSync('rm', ['-r', 'd'.repeat(120)], { cwd: clone });
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

    it('writes, deletes and reads nothing behind links that a process puts in and takes out as fast as it can', async function () {
      this.timeout(sample(120_000, 1_200_000));
      const chosen = seed();
      const random = new SeededRandom(chosen);
      write(clone, 'src/b.ts', 'captured b\n');
      write(clone, 'src/deeper/c.ts', 'captured c\n');
      const full = await snapshotOf(bulkhead, session);
      rmSync(join(clone, 'src'), { recursive: true });
      const empty = await snapshotOf(bulkhead, session);
      await restoreAll(bulkhead, session, full);
      const swapper = spawn(process.execPath, ['-e', SWAPPER, clone, outside, String(chosen)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(swapper, 'exit');
      try {
        await once(swapper.stdout, 'data');
        for (let round = 0; round < sample(40, 800); round++) {
          const calls = [
            () => restoreAll(bulkhead, session, random.pick([full, empty])),
            () => checkpoint(bulkhead, session, 'src/b.ts', 'src/deeper/c.ts', 'src'),
            () => checkpoint(bulkhead, session),
            () => bulkhead.undo({ session: session.id, consent: 'all' }),
          ];
          await random
            .pick(calls)()
            .catch((error: unknown) => {
              assert.ok(error instanceof BulkheadError, String(error));
            });
        }
      } finally {
        swapper.kill('SIGKILL');
        await ended;
      }
      // It may have been ended at any step.
      rmSync(join(clone, 'src'), { recursive: true, force: true });
      await restoreAll(bulkhead, session, full);
      assert.equal(read(clone, 'src/deeper/c.ts'), 'captured c\n');
    });

    it('copies no ignored file of the user behind a link that another session left', async () => {
      world.repo
        .file('.gitignore', 'conf/secret.env\n')
        .file('.worktreeinclude', 'conf/secret.env\n')
        .file('conf/a.txt', 'a\n')
        .commit('conf');
      world.repo.file('conf/secret.env', 'KEY=1\n');
      const hostile = await bulkhead.createSession({ name: 'Hostile', from: { kind: 'head' } });
      assert.equal(read(cloneOf(hostile), 'conf/secret.env'), 'KEY=1\n');
      rmSync(join(cloneOf(hostile), 'conf'), { recursive: true });
      symlinkSync(outside, join(cloneOf(hostile), 'conf'));
      const fork = await bulkhead.createSession({ from: { kind: 'session', session: hostile.id } });
      assert.equal(readlinkSync(join(cloneOf(fork), 'conf')), outside);
    });
  });
});
