import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { BulkheadError } from '../../src/base/errors';
import type { RestorePlan, Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { useOwnHome } from '../support/environment';
import { git, gitLine } from '../support/git';
import { awkwardRepo, repo } from '../support/repo';
import { contentAt } from '../support/snapshotTree';
import {
  checkpoint,
  cloneOf,
  EngineWorld,
  filesIn,
  fsck,
  pathOf,
  read,
  restoreAll,
  snapshotOf,
  userState,
  write,
} from './world';

const LARGE = 1000;

describe('restore', () => {
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;

  before('a repository with awkward names', async () => {
    world = new EngineWorld((folder) => {
      awkwardRepo(folder)
        .file('.gitignore', '*.log\nbuild/\n')
        .file('forced.log', 'tracked although ignored\n')
        .git('add', '--force', 'forced.log');
      return repo(folder).commit('rules');
    });
    bulkhead = await world.open({ maxFileSize: LARGE });
  });

  after(async () => {
    fsck(world.store);
    await world.close();
  });

  let count = 0;
  const newSession = (): Promise<Session> =>
    bulkhead.createSession({ name: `Restore ${String(++count)}`, from: { kind: 'head' } });
  const start = (session: Session): string => session.newest ?? assert.fail('no first snapshot');
  const oids = async (session: Session): Promise<string[]> =>
    (await bulkhead.snapshots({ session: session.id, limit: 1000 })).map(({ oid }) => oid);
  const refused = async (work: Promise<unknown>, code: string): Promise<BulkheadError> => {
    const error = await work.then(
      () => assert.fail(`${code} was expected`),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof BulkheadError, String(error));
    assert.equal(error.code, code, error.message);
    return error;
  };

  it('goes to an older state, an even older one and forward again, lists them all, and undoes to the exact bytes', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    const states = [filesIn(clone)];
    const snapshots = [start(session)];
    for (const step of [1, 2, 3]) {
      write(clone, 'plain.txt', `step ${String(step)}\n`);
      write(clone, `only/${String(step)}.bin`, Buffer.from([0, step, 255, 13, 10]));
      rmSync(join(clone, 'only', `${String(step - 1)}.bin`), { force: true });
      snapshots.push(await snapshotOf(bulkhead, session));
      states.push(filesIn(clone));
    }
    for (const target of [2, 1, 3, 0]) {
      write(clone, 'in between.txt', `before the restore to ${String(target)}\n`);
      const present = filesIn(clone);
      const known = await oids(session);
      const { undo, snapshot } = await restoreAll(bulkhead, session, snapshots[target] ?? '');
      assert.deepEqual(filesIn(clone), states[target], `restore to ${String(target)}`);
      const listed = await oids(session);
      assert.deepEqual(listed, [snapshot, undo, ...known], 'a safety snapshot, then the restore, and all the others');
      await bulkhead.undo({ session: session.id, consent: 'ask' });
      assert.deepEqual(filesIn(clone), present, `undo of the restore to ${String(target)}`);
    }
  });

  it('undoes and redoes several restores one after the other, and a new restore ends the way forward', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    const snapshots = [start(session)];
    const states = [filesIn(clone)];
    for (const step of [1, 2]) {
      write(clone, 'plain.txt', `step ${String(step)}\n`);
      snapshots.push(await snapshotOf(bulkhead, session));
      states.push(filesIn(clone));
    }
    const undo = (redo = false): Promise<unknown> => bulkhead.undo({ session: session.id, consent: 'ask', redo });
    await restoreAll(bulkhead, session, snapshots[1] ?? '');
    await restoreAll(bulkhead, session, snapshots[0] ?? '');
    for (const [redo, expected] of [
      [false, 1],
      [false, 2],
      [true, 1],
      [true, 0],
      [false, 1],
    ] as const) {
      await undo(redo);
      assert.deepEqual(filesIn(clone), states[expected], `${redo ? 'redo' : 'undo'} to ${String(expected)}`);
    }
    await restoreAll(bulkhead, session, snapshots[2] ?? '');
    await refused(undo(true), 'nothing-to-redo');
    await undo();
    assert.deepEqual(filesIn(clone), states[1]);
    await undo();
    assert.deepEqual(filesIn(clone), states[2]);
    await refused(undo(), 'nothing-to-undo');
  });

  it('deletes again, gives modes and links back, and leaves the times of equal files alone', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    const old = new Date('2020-01-02T03:04:05Z');
    utimesSync(join(clone, 'binary.bin'), old, old);
    utimesSync(join(clone, 'bin/tool'), old, old);
    rmSync(join(clone, 'plain.txt'));
    chmodSync(join(clone, 'bin/tool'), 0o644);
    chmodSync(join(clone, 'crlf.txt'), 0o755);
    rmSync(join(clone, 'link-to-plain'));
    symlinkSync('/etc/hostname', join(clone, 'link-to-plain'));
    rmSync(join(clone, 'link-to-folder'));
    write(clone, 'link-to-folder/now a folder.txt', 'x\n');
    rmSync(join(clone, 'deep'), { recursive: true });
    write(clone, 'deep', 'now a file\n');
    const changed = filesIn(clone);
    const there = await snapshotOf(bulkhead, session);
    await restoreAll(bulkhead, session, start(session));
    assert.equal(read(clone, 'plain.txt'), 'plain\n');
    assert.equal(lstatSync(join(clone, 'bin/tool')).mode & 0o111, 0o111);
    assert.equal(lstatSync(join(clone, 'crlf.txt')).mode & 0o111, 0);
    assert.equal(readlinkSync(join(clone, 'link-to-plain')), 'plain.txt');
    assert.equal(readlinkSync(join(clone, 'link-to-folder')), 'deep/er');
    assert.equal(lstatSync(join(clone, 'binary.bin')).mtimeMs, old.getTime());
    assert.equal(lstatSync(join(clone, 'bin/tool')).mtimeMs, old.getTime(), 'only its mode was changed');
    await restoreAll(bulkhead, session, there);
    assert.deepEqual(filesIn(clone), changed);
    assert.equal(lstatSync(join(clone, 'binary.bin')).mtimeMs, old.getTime());
  });

  it('writes nothing when the present state is restored, and makes no snapshot of it', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    write(clone, 'plain.txt', 'changed\n');
    const present = await snapshotOf(bulkhead, session);
    const stamps = (): string[] =>
      Object.keys(filesIn(clone)).map((path) => {
        const { mtimeNs, ctimeNs, ino } = lstatSync(
          Buffer.concat([Buffer.from(`${clone}/`), Buffer.from(path, 'latin1')]),
          { bigint: true },
        );
        return `${path} ${String(ino)} ${String(mtimeNs)} ${String(ctimeNs)}`;
      });
    const before = stamps();
    const result = await restoreAll(bulkhead, session, present);
    assert.deepEqual([result.plan.write, result.plan.delete, result.snapshot], [[], [], null]);
    assert.deepEqual(stamps(), before);
  });

  it('changes nothing in another session or in the checkout', async () => {
    const [session, other] = [await newSession(), await newSession()];
    write(cloneOf(other), 'plain.txt', 'other\n');
    write(cloneOf(session), 'plain.txt', 'this\n');
    const before = [userState(cloneOf(other)), userState(world.repo.dir), await oids(other)];
    await checkpoint(bulkhead, session);
    await restoreAll(bulkhead, session, start(session));
    await bulkhead.undo({ session: session.id, consent: 'ask' });
    assert.deepEqual([userState(cloneOf(other)), userState(world.repo.dir), await oids(other)], before);
  });

  it('writes a link as a link, and neither reads nor writes what it points to', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    const outside = join(world.folder, 'outside.txt');
    write(world.folder, 'outside.txt', 'outside\n');
    symlinkSync(outside, join(clone, 'to outside'));
    const linked = await snapshotOf(bulkhead, session);
    assert.equal(contentAt(world.store, linked, 'to outside').toString(), outside);
    rmSync(join(clone, 'to outside'));
    write(clone, 'to outside', 'a file now\n');
    const file = await snapshotOf(bulkhead, session);
    await restoreAll(bulkhead, session, linked);
    await restoreAll(bulkhead, session, file);
    assert.equal(read(clone, 'to outside'), 'a file now\n');
    assert.equal(lstatSync(join(clone, 'to outside')).isFile(), true);
    assert.equal(read(world.folder, 'outside.txt'), 'outside\n');
  });

  it('takes an ignored file that is in the way into the safety snapshot, and undo brings it back byte for byte', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    write(clone, 'notes.txt', 'captured\n');
    const captured = await snapshotOf(bulkhead, session);
    write(clone, '.gitignore', '*.log\nbuild/\nnotes.txt\n');
    const secret = Buffer.from([1, 2, 0, 255, 10, 13, 10]);
    write(clone, 'notes.txt', secret);
    await checkpoint(bulkhead, session);
    const { undo } = await bulkhead.restore({
      session: session.id,
      target: captured,
      paths: [pathOf('notes.txt')],
      consent: 'all',
    });
    assert.equal(read(clone, 'notes.txt'), 'captured\n');
    assert.deepEqual(contentAt(world.store, undo ?? '', 'notes.txt'), secret);
    await bulkhead.undo({ session: session.id, consent: 'ask' });
    assert.deepEqual(readFileSync(join(clone, 'notes.txt')), secret);
    await bulkhead.undo({ session: session.id, consent: 'ask', redo: true });
    assert.equal(read(clone, 'notes.txt'), 'captured\n');
  });

  it('takes a file that has grown too large to be captured into the safety snapshot before it writes or deletes it', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    write(clone, 'grows.txt', 'first\n');
    const first = await snapshotOf(bulkhead, session);
    write(clone, 'grows.txt', 'second\n');
    await snapshotOf(bulkhead, session);
    const large = Buffer.alloc(LARGE + 1, 'large');
    write(clone, 'grows.txt', large);
    assert.deepEqual((await checkpoint(bulkhead, session)).skipped, [{ path: 'grows.txt', reason: 'too-large' }]);
    for (const target of [first, start(session)]) {
      await restoreAll(bulkhead, session, target);
      assert.equal(existsSync(join(clone, 'grows.txt')), target === first);
      await bulkhead.undo({ session: session.id, consent: 'ask' });
      assert.deepEqual(readFileSync(join(clone, 'grows.txt')), large);
    }
  });

  it('keeps ignored files, files too large to capture and nested repositories', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    write(clone, 'debug.log', 'ignored\n');
    write(clone, 'build/out/x.o', 'ignored\n');
    write(clone, 'huge.bin', Buffer.alloc(LARGE + 1));
    repo(join(clone, 'vendor', 'nested'))
      .file('n.txt', 'n\n')
      .commit('nested');
    repo(join(clone, 'vendor', 'unborn')).file('u.txt', 'u\n');
    write(clone, 'plain.txt', 'changed\n');
    write(clone, 'later.txt', 'later\n');
    await checkpoint(bulkhead, session);
    write(clone, 'forced.log', 'changed although ignored\n');
    const { plan } = await restoreAll(bulkhead, session, start(session));
    assert.deepEqual(plan.keep, [{ path: 'vendor/nested', reason: 'nested-repository' }]);
    assert.deepEqual(plan.delete, ['later.txt']);
    for (const path of [
      'debug.log',
      'build/out/x.o',
      'huge.bin',
      'vendor/nested/n.txt',
      'vendor/nested/.git/HEAD',
      'vendor/unborn/u.txt',
    ]) {
      assert.ok(existsSync(join(clone, path)), path);
    }
    assert.equal(read(clone, 'forced.log'), 'tracked although ignored\n');
  });

  it('keeps a folder with ignored content that stands where a file goes, and says so; an empty one gives way', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    rmSync(join(clone, 'plain.txt'));
    write(clone, 'plain.txt/cache/x.log', 'ignored\n');
    rmSync(join(clone, 'empty.txt'));
    mkdirSync(join(clone, 'empty.txt', 'nothing', 'in', 'here'), { recursive: true });
    await checkpoint(bulkhead, session);
    const { plan } = await restoreAll(bulkhead, session, start(session));
    assert.deepEqual(plan.keep, [{ path: 'plain.txt', reason: 'folder-in-the-way' }]);
    assert.deepEqual(plan.write, ['empty.txt']);
    assert.equal(read(clone, 'plain.txt/cache/x.log'), 'ignored\n');
    assert.equal(read(clone, 'empty.txt'), '');
  });

  it('asks before it takes what another agent touched since, and what is sensitive', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    write(clone, 'plain.txt', 'codex\n');
    const target = await snapshotOf(bulkhead, session);
    write(clone, 'plain.txt', 'codex again\n');
    await checkpoint(bulkhead, session);
    write(clone, 'crlf.txt', 'by another\n');
    await bulkhead.checkpoint({ session: session.id, trigger: 'manual', agent: 'gemini-cli' });
    write(clone, '.env', 'KEY=1\n');
    await checkpoint(bulkhead, session);
    write(clone, 'fresh.txt', 'in no snapshot\n');
    const before = [filesIn(clone), await oids(session)];
    const error = await refused(bulkhead.restore({ session: session.id, target, consent: 'ask' }), 'needs-consent');
    assert.deepEqual([filesIn(clone), await oids(session)], before, 'nothing was written');
    const plan = error.data['plan'] as RestorePlan;
    assert.deepEqual(
      plan.contested.map(({ path, agent }) => [path, agent]),
      [
        ['crlf.txt', 'gemini-cli'],
        ['fresh.txt', 'unknown'],
      ],
    );
    assert.deepEqual(plan.risky, [{ path: '.env', category: 'system' }]);
    const safe = await bulkhead.restore({ session: session.id, target, consent: 'safe' });
    assert.deepEqual(safe.plan.write, ['plain.txt']);
    assert.deepEqual(
      safe.plan.keep.map(({ path, reason }) => [path, reason]),
      [
        ['.env', 'left-out'],
        ['crlf.txt', 'left-out'],
        ['fresh.txt', 'left-out'],
      ],
    );
    assert.equal(read(clone, 'plain.txt'), 'codex\n');
    assert.equal(read(clone, 'fresh.txt'), 'in no snapshot\n');
    // Somebody writes after the restore: taking it back would take that away.
    write(clone, 'plain.txt', 'after the restore\n');
    await refused(bulkhead.undo({ session: session.id, consent: 'ask' }), 'needs-consent');
    assert.equal(read(clone, 'plain.txt'), 'after the restore\n');
    await bulkhead.undo({ session: session.id, consent: 'all' });
    assert.equal(read(clone, 'plain.txt'), 'codex again\n');
  });

  it('refuses the snapshot of another session unless it is told to', async () => {
    const [session, other] = [await newSession(), await newSession()];
    write(cloneOf(other), 'plain.txt', 'of the other\n');
    const target = await snapshotOf(bulkhead, other);
    await refused(restoreAll(bulkhead, session, target), 'foreign-snapshot');
    await bulkhead.restore({ session: session.id, target, consent: 'all', foreign: true });
    assert.equal(read(cloneOf(session), 'plain.txt'), 'of the other\n');
  });

  it('records what a restore that was cut off has done, so that undo brings everything back', async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    write(clone, 'aaa/first.txt', 'old\n');
    write(clone, 'zzz/last.txt', 'old\n');
    const target = await snapshotOf(bulkhead, session);
    write(clone, 'aaa/first.txt', 'new\n');
    write(clone, 'zzz/last.txt', 'new\n');
    await checkpoint(bulkhead, session);
    const before = filesIn(clone);
    const abort = new AbortController();
    // Cancelled by the first file that is written.
    const { signal } = abort;
    Object.defineProperty(signal, 'aborted', {
      get: () => existsSync(join(clone, 'aaa/first.txt')) && read(clone, 'aaa/first.txt') === 'old\n',
    });
    const error = await refused(
      bulkhead.restore({ session: session.id, target, consent: 'all', signal }),
      'restore-incomplete',
    );
    assert.equal(typeof error.data['undo'], 'string');
    assert.equal(read(clone, 'aaa/first.txt'), 'old\n');
    assert.equal(read(clone, 'zzz/last.txt'), 'new\n');
    await bulkhead.undo({ session: session.id, consent: 'ask' });
    assert.deepEqual(filesIn(clone), before);
    await restoreAll(bulkhead, session, target);
    assert.equal(read(clone, 'zzz/last.txt'), 'old\n');
  });

  it("lets nobody else record the work tree while it is restored, and loses nobody's save", async () => {
    const session = await newSession();
    const clone = cloneOf(session);
    write(clone, 'plain.txt', 'changed\n');
    write(clone, 'crlf.txt', 'changed\n');
    await checkpoint(bulkhead, session);
    const saves: Promise<unknown>[] = [];
    const listening = bulkhead.onDidChangeSnapshots(() => {
      // The safety snapshot was made; the files are about to be written.
      if (saves.length === 0) {
        write(clone, 'saved meanwhile.txt', 'saved\n');
        saves.push(
          bulkhead.checkpoint({
            session: session.id,
            trigger: 'save',
            agent: 'user',
            paths: [pathOf('saved meanwhile.txt'), pathOf('plain.txt')],
          }),
        );
      }
    });
    write(clone, 'unsaved.txt', 'makes a safety snapshot\n');
    const { snapshot, undo } = await restoreAll(bulkhead, session, start(session));
    listening.dispose();
    await Promise.all(saves);
    assert.equal(saves.length, 1);
    const list = (await bulkhead.snapshots({ session: session.id })).map(({ oid, trigger }) => ({ oid, trigger }));
    assert.deepEqual(
      list.slice(0, 3).map(({ trigger }) => trigger),
      ['save', 'restore', 'before-restore'],
    );
    assert.deepEqual(
      list.slice(1, 3).map(({ oid }) => oid),
      [snapshot, undo],
    );
    assert.equal(contentAt(world.store, list[0]?.oid ?? '', 'saved meanwhile.txt').toString(), 'saved\n');
  });

  describe('with conversions', () => {
    const cases: readonly (readonly [string, (folder: string) => ReturnType<typeof repo>, readonly string[]])[] = [
      [
        'core.autocrlf=true',
        (folder) => repo(folder).config('core.autocrlf', 'true').file('t.txt', 'a\r\nb\r\n').commit('c'),
        [],
      ],
      [
        'core.autocrlf=input',
        (folder) =>
          repo(folder)
            .config('core.autocrlf', 'input')
            .file('t.txt', 'a\r\nb\r\n')
            .commit('c')
            .remove('t.txt')
            .git('checkout', '--', 't.txt'),
        [],
      ],
      [
        'core.eol=crlf with text=auto',
        (folder) =>
          repo(folder)
            .config('core.eol', 'crlf')
            .file('.gitattributes', '* text=auto\n')
            .file('t.txt', 'a\r\nb\r\n')
            .commit('c'),
        [],
      ],
      [
        'eol attributes',
        (folder) =>
          repo(folder)
            .file('.gitattributes', '*.txt text eol=crlf\n*.sh eol=lf\n')
            .file('t.txt', 'a\r\nb\r\n')
            .file('s.sh', 'x\n')
            .commit('c'),
        [],
      ],
      [
        'an encoding',
        (folder) =>
          repo(folder)
            .file('.gitattributes', '*.txt working-tree-encoding=UTF-16LE text\n')
            .file('t.txt', Buffer.from('a\nb\n', 'utf16le'))
            .commit('c'),
        [],
      ],
      [
        'ident',
        (folder) =>
          repo(folder)
            .file('.gitattributes', '*.txt ident\n')
            .file('t.txt', '$Id$\n')
            .commit('c')
            .remove('t.txt')
            .git('checkout', '--', 't.txt'),
        [],
      ],
      [
        'an allowed filter',
        (folder) =>
          repo(folder)
            .config('filter.rot.clean', 'tr a-z n-za-m')
            .config('filter.rot.smudge', 'tr a-z n-za-m')
            .file('.gitattributes', '*.txt filter=rot\n')
            .file('t.txt', 'hello\n')
            .commit('c'),
        ['rot'],
      ],
    ];
    for (const [name, source, allowedFilters] of cases) {
      it(`leaves git status clean and gives the bytes back that a checkout gives: ${name}`, async () => {
        const converted = new EngineWorld(source);
        try {
          const window = await converted.open({ allowedFilters: [...allowedFilters] });
          const session = await window.createSession({ name: 'Convert', from: { kind: 'head' } });
          const clone = cloneOf(session);
          const filters = allowedFilters.flatMap((filter) =>
            ['clean', 'smudge'].flatMap((key) => [
              '-c',
              `filter.${filter}.${key}=${gitLine(['config', `filter.${filter}.${key}`], converted.repo.dir)}`,
            ]),
          );
          const status = (): string => gitLine([...filters, 'status', '--porcelain'], clone);
          assert.equal(status(), '');
          assert.equal((await checkpoint(window, session)).snapshot, null);
          const original = readFileSync(join(clone, 't.txt'));
          assert.deepEqual(original, readFileSync(join(converted.repo.dir, 't.txt')));
          write(clone, 't.txt', Buffer.concat([original, original]));
          const doubled = await snapshotOf(window, session, 't.txt');
          await restoreAll(window, session, session.newest ?? '');
          assert.deepEqual(readFileSync(join(clone, 't.txt')), original);
          git([...filters, 'update-index', '--refresh', '-q'], clone);
          assert.equal(status(), '');
          await restoreAll(window, session, doubled);
          if (name === 'ident') {
            // Git expands it anew, to the oid of the new content.
            return;
          }
          assert.deepEqual(readFileSync(join(clone, 't.txt')), Buffer.concat([original, original]));
          fsck(converted.store);
        } finally {
          await converted.close();
        }
      });
    }

    it('skips a file that is not in the encoding that its attributes name, records the others, and never overwrites it', async () => {
      const converted = new EngineWorld((folder) =>
        repo(folder).file('.gitattributes', '*.txt working-tree-encoding=UTF-16\n').commit('c'),
      );
      try {
        const window = await converted.open();
        const session = await window.createSession({ name: 'Wrong', from: { kind: 'head' } });
        const clone = cloneOf(session);
        const odd = Buffer.from([0x61, 0x62, 0x63]);
        write(clone, 'wrong.txt', odd);
        write(clone, 'fine.md', 'fine\n');
        const { skipped, changed } = await checkpoint(window, session);
        assert.deepEqual(skipped, [{ path: 'wrong.txt', reason: 'unreadable' }]);
        assert.deepEqual(
          changed.map(({ path }) => path),
          ['fine.md'],
        );
        await restoreAll(window, session, session.newest ?? '');
        assert.deepEqual(readFileSync(join(clone, 'wrong.txt')), odd);
        assert.equal(existsSync(join(clone, 'fine.md')), false);
      } finally {
        await converted.close();
      }
    });

    it('follows an attributes file that comes back with the restore', async () => {
      const converted = new EngineWorld((folder) =>
        repo(folder).file('.gitattributes', '*.txt text eol=crlf\n').file('t.txt', 'a\r\n').commit('c'),
      );
      try {
        const window = await converted.open();
        const session = await window.createSession({ name: 'Rules', from: { kind: 'head' } });
        const clone = cloneOf(session);
        write(clone, '.gitattributes', '*.txt -text\n');
        write(clone, 't.txt', 'b\n');
        await checkpoint(window, session);
        await restoreAll(window, session, session.newest ?? '');
        assert.equal(read(clone, 't.txt'), 'a\r\n');
        assert.equal((await checkpoint(window, session)).snapshot, null);
        // A rename of the whole clone's folder and back does not make a change either.
        renameSync(clone, `${clone} away`);
        renameSync(`${clone} away`, clone);
        assert.equal((await checkpoint(window, session)).snapshot, null);
      } finally {
        await converted.close();
      }
    });
  });
});
