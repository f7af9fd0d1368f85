import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BulkheadError } from '../../src/base/errors';
import type { Session } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { callCli } from '../support/callCli';
import { useOwnHome } from '../support/environment';
import { git, gitLine, tryGit } from '../support/git';
import { repo } from '../support/repo';
import { SeededRandom } from '../support/seededRandom';
import { isSoak, sample, seed } from '../support/soak';
import { callsInside, callsOutside, engineCalls, refusedInside, refusedOf } from './everyCall';
import { checkpoint, cloneOf, contents, EngineWorld, fsck, pathOf, read, write } from './world';

/** Every call is made about this one, also from the command line. */
const COMMANDED = "by a .git file that names another session's";
/** Every call of the engine is made about one of these; in a soak about all that there are, and each from the command line as well. */
const ASKED_EVERYTHING = ['by borrowing the objects of another session', 'by a new .git of its own making'];

describe('a hostile .git that leads elsewhere', function () {
  this.timeout(sample(180_000, 3_600_000));
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let session: Session;
  let other: Session;
  let clone: string;
  let gitDir: string;
  let elsewhere: string;
  /** Commits that no session may get hold of. */
  let secrets: string[];

  before('another repository, another session, and news in the checkout', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
    elsewhere = join(world.folder, 'elsewhere');
    repo(elsewhere).file('secret.txt', 'secret of elsewhere\n').commit('secret');
    other = await bulkhead.createSession({ name: 'Other', from: { kind: 'head' } });
    write(cloneOf(other), 'secret.txt', 'secret of the other session\n');
    git(['add', '--all'], cloneOf(other));
    git(['commit', '--quiet', '--message', 'secret of the other'], cloneOf(other));
    world.repo.branch('mine').file('private.txt', 'on no branch of hers\n').commit('private').switch('main');
    secrets = [elsewhere, cloneOf(other)].map((place) => gitLine(['rev-parse', 'HEAD'], place));
    secrets.push(world.repo.resolve('mine'));
    world.repo.git('branch', '-D', 'mine');
  });

  after(async () => {
    await world.close();
  });

  const outside = (): unknown => [contents(elsewhere), contents(world.repo.dir), contents(cloneOf(other))];

  /** A session on whose clone the trick was played; the tricks are about the last one made. */
  async function trickedBy(play: () => void): Promise<Session> {
    session = await bulkhead.createSession({ from: { kind: 'head' } });
    clone = cloneOf(session);
    gitDir = join(clone, '.git');
    play();
    return session;
  }

  /** Nobody got hold of what is not theirs. */
  function secretsAreKept(forks: readonly Session[]): void {
    for (const [index, secret] of secrets.entries()) {
      const has = (place: string): boolean => tryGit(['cat-file', '-e', secret], place).code === 0;
      for (const fork of forks) {
        assert.ok(!has(cloneOf(fork)), `${secret} is in ${fork.name}`);
      }
      assert.ok(index === 2 || !has(world.repo.dir), `${secret} is in the user's repository`);
      // The other session's own commits may have been brought in on its own behalf.
      assert.ok(index === 1 || !has(world.store), `${secret} is in the store`);
      const kept = tryGit(
        ['for-each-ref', '--format=%(refname)', `--contains=${secret}`],
        world.store,
      ).stdout.toString();
      assert.deepEqual(
        kept.split('\n').filter((ref) => ref !== '' && !ref.includes(other.id)),
        [],
        `${secret} is kept`,
      );
    }
  }

  /** Whatever is done then, nobody else is touched, nothing of theirs is taken in, and saves go on. */
  async function survives(options: { readonly fork: boolean }): Promise<void> {
    const before = outside();
    write(clone, 'a.txt', 'first\n');
    assert.notEqual((await checkpoint(bulkhead, session, 'a.txt')).snapshot, null, 'a single save');
    write(clone, 'a.txt', 'second\n');
    const second = await checkpoint(bulkhead, session);
    assert.notEqual(second.snapshot, null, 'a look at everything');
    assert.deepEqual(outside(), before);
    await ours(bulkhead.apply({ session: session.id, mode: 'branch' }));
    const fork = options.fork ? await bulkhead.createSession({ from: { kind: 'session', session: session.id } }) : null;
    await ours(bulkhead.preflightRemoval(session.id));
    secretsAreKept(fork === null ? [] : [fork]);
    assert.equal(read(fork === null ? clone : cloneOf(fork), 'a.txt'), 'second\n');
    // The others go on as if nothing had been.
    const { tree } = await bulkhead.checkpoint({ session: other.id, trigger: 'manual', paths: [pathOf('a.txt')] });
    assert.ok(tree);
    await bulkhead.removeSession(session.id, { force: true });
    fsck(world.store);
  }

  async function ours(work: Promise<unknown>): Promise<void> {
    await work.catch((error: unknown) => {
      assert.ok(error instanceof BulkheadError, error instanceof Error ? error.stack : String(error));
    });
  }

  const takeHead = (commit: string | undefined): void => {
    writeFileSync(join(gitDir, 'HEAD'), `${commit ?? ''}\n`);
  };
  const replaceBy = (target: string): void => {
    rmSync(gitDir, { recursive: true });
    symlinkSync(target, gitDir);
  };
  const pointTo = (target: string): void => {
    rmSync(gitDir, { recursive: true });
    writeFileSync(gitDir, `gitdir: ${target}\n`);
  };
  const borrow = (objects: string, commit: string | undefined): void => {
    mkdirSync(join(gitDir, 'objects', 'info'), { recursive: true });
    writeFileSync(join(gitDir, 'objects', 'info', 'alternates'), `${objects}\n`);
    takeHead(commit);
  };
  const link = (target: string, path: string): void => {
    rmSync(join(gitDir, path), { recursive: true, force: true });
    symlinkSync(target, join(gitDir, path));
  };
  const linkObjects = (): void => {
    for (const folder of readdirSync(join(elsewhere, '.git', 'objects'))) {
      rmSync(join(gitDir, 'objects', folder), { recursive: true, force: true });
      symlinkSync(join(elsewhere, '.git', 'objects', folder), join(gitDir, 'objects', folder));
    }
  };
  const pipe = (path: string): void => {
    rmSync(path, { force: true });
    execFileSync('mkfifo', [path]);
  };

  const tricks: Readonly<Record<string, () => void>> = {
    'by a .git file that names another repository': () => { pointTo(join(elsewhere, '.git')); },
    'by a .git file that names the user\'s': () => { pointTo(join(world.repo.dir, '.git')); },
    'by a .git file that names another session\'s': () => { pointTo(join(cloneOf(other), '.git')); },
    'by a .git file that names the store': () => { pointTo(world.store); },
    'by a .git that is a link to another repository\'s': () => { replaceBy(join(elsewhere, '.git')); },
    'by a .git that is a link to the user\'s': () => { replaceBy(join(world.repo.dir, '.git')); },
    'by a .git that is a link to another session\'s': () => { replaceBy(join(cloneOf(other), '.git')); },
    'by a common folder': () => { writeFileSync(join(gitDir, 'commondir'), join(elsewhere, '.git')); takeHead(secrets[0]); },
    'by borrowing the objects of another repository': () => { borrow(join(elsewhere, '.git', 'objects'), secrets[0]); },
    'by borrowing the objects of another session': () => { borrow(join(cloneOf(other), '.git', 'objects'), secrets[1]); },
    'by borrowing the objects of the user': () => { borrow(join(world.repo.dir, '.git', 'objects'), secrets[2]); },
    'by a linked objects folder': () => { link(join(elsewhere, '.git', 'objects'), 'objects'); takeHead(secrets[0]); },
    'by linked folders of objects': () => { linkObjects(); takeHead(secrets[0]); },
    'by a linked pack': () => {
      git(['repack', '-aq'], elsewhere);
      for (const name of readdirSync(join(elsewhere, '.git', 'objects', 'pack'))) {
        symlinkSync(join(elsewhere, '.git', 'objects', 'pack', name), join(gitDir, 'objects', 'pack', name));
      }
      takeHead(secrets[0]);
    },
    'by linked refs': () => { link(join(elsewhere, '.git', 'refs'), 'refs'); link(join(elsewhere, '.git', 'packed-refs'), 'packed-refs'); },
    'by linked branches': () => { link(join(elsewhere, '.git', 'refs', 'heads'), 'refs/heads'); takeHead('ref: refs/heads/main'); },
    'by a linked HEAD': () => { link(join(elsewhere, '.git', 'HEAD'), 'HEAD'); },
    'by a HEAD that is a name with ..': () => { takeHead('ref: refs/heads/../../../../../elsewhere/.git/refs/heads/main'); },
    'by a HEAD of the commit of another session': () => { takeHead(secrets[1]); },
    'by a new .git of its own making': () => {
      rmSync(gitDir, { recursive: true });
      git(['init', '--quiet'], clone);
      git(['add', '--all'], clone);
      git(['commit', '--quiet', '--message', 'unrelated'], clone);
    },
    'by no .git at all': () => { rmSync(gitDir, { recursive: true }); },
    'by pipes where git reads files': () => {
      for (const name of ['config', 'HEAD', 'packed-refs', 'shallow', 'index', 'commondir', 'info/exclude', 'objects/info/alternates', 'bulkhead']) {
        mkdirSync(join(gitDir, 'objects', 'info'), { recursive: true });
        pipe(join(gitDir, name));
      }
    },
    'by a pipe that its configuration includes': () => {
      pipe(join(gitDir, 'included'));
      appendFileSync(join(gitDir, 'config'), `[include]\n\tpath = included\n`);
      writeFileSync(join(gitDir, 'HEAD'), 'nonsense\n');
    },
    'by pipes in a folder for tables of refs, and where git reads the configuration that goes with them': () => {
      takeHead('ref: refs/heads/.invalid');
      mkdirSync(join(gitDir, 'reftable'));
      writeFileSync(join(gitDir, 'reftable', 'tables.list'), '0x000000000001-0x000000000001-00000000.ref\n');
      for (const name of ['config', 'packed-refs', 'reftable/0x000000000001-0x000000000001-00000000.ref']) {
        pipe(join(gitDir, name));
      }
    },
    'by a damaged index that is split': () => {
      writeFileSync(join(gitDir, 'index'), 'DIRCnonsense');
      writeFileSync(join(gitDir, `sharedindex.${'0'.repeat(40)}`), 'nonsense');
    },
  }; // prettier-ignore
  for (const [name, play] of Object.entries(tricks)) {
    it(`is not followed: ${name}`, async () => {
      await trickedBy(play);
      // Where objects of somebody else could be taken for its own, the next session must not get them.
      await survives({ fork: /linked folders|linked pack|commit of another/.test(name) });
    });
  }

  const asked = isSoak ? Object.keys(tricks) : [COMMANDED, new SeededRandom(seed()).pick(ASKED_EVERYTHING)];
  for (const name of asked) {
    it(`is not followed by any call: ${name}`, async () => {
      const hostile = async (): Promise<Session> => {
        const made = await trickedBy(tricks[name] ?? assert.fail(name));
        write(clone, 'a.txt', 'changed by the agent\n');
        write(clone, 'new file.txt', 'new\n');
        return made;
      };
      const mine = (): unknown => [
        contents(elsewhere),
        contents(cloneOf(other)),
        // An apply adds a branch.
        contents(world.repo.dir, (path) => /^\.git\/(objects|refs|logs)$/.test(path)),
      ];
      const suspect = { world, bulkhead, session: await hostile(), another: hostile };
      const before = mine();
      const isCommanded = isSoak || name === COMMANDED;
      const calls = [
        ...engineCalls(suspect),
        ...(isCommanded ? callsInside(suspect, callCli) : []),
        ...(isSoak ? callsOutside(suspect) : []),
      ];
      assert.deepEqual(
        (await refusedOf(calls)).filter((text) => !/^(outside: )?apply\b.*: clone-unreadable$/.test(text)),
        isCommanded ? refusedInside(suspect.session) : [],
      );
      assert.deepEqual(mine(), before);
      const made = (await bulkhead.sessions()).filter(({ id }) => id !== other.id);
      secretsAreKept(made.filter(({ id }) => id !== suspect.session.id));
      fsck(world.store);
      for (const { id } of made) {
        await bulkhead.removeSession(id, { force: true });
      }
    });
  }
});

describe('a hostile .git that tells lies about its history', function () {
  this.timeout(sample(180_000, 3_600_000));
  useOwnHome();
  let world: EngineWorld;
  let bulkhead: Bulkhead;
  let session: Session;
  let clone: string;
  let commits: readonly string[];

  const threeCommits = async (): Promise<Session> => {
    const made = await bulkhead.createSession({ from: { kind: 'head' } });
    clone = cloneOf(made);
    commits = ['1', '2', '3'].map((text) => {
      write(clone, 'a.txt', `${text}\n`);
      git(['commit', '--quiet', '--all', '--message', text], clone);
      return gitLine(['rev-parse', 'HEAD'], clone);
    });
    return made;
  };

  beforeEach('three commits of the agent', async () => {
    world = new EngineWorld();
    bulkhead = await world.open();
    session = await threeCommits();
  });

  afterEach(async () => {
    await world.close();
  });

  const lies: Readonly<Record<string, () => void>> = {
    'with replaced objects': () => {
      git(['replace', commits[2] ?? '', commits[0] ?? ''], clone);
      git(['replace', gitLine(['rev-parse', 'HEAD~1:a.txt'], clone), gitLine(['hash-object', '-w', '--stdin'], clone, { input: 'evil\n' })], clone);
    },
    'with grafts': () => { write(join(clone, '.git', 'info'), 'grafts', `${commits[2] ?? ''}\n`); },
    'with a list of shallow commits': () => { write(join(clone, '.git'), 'shallow', `${commits[2] ?? ''}\n`); },
  }; // prettier-ignore
  for (const [name, lie] of Object.entries(lies)) {
    it(`is brought in whole, ${name}`, async () => {
      lie();
      write(clone, 'a.txt', 'changed\n');
      assert.notEqual((await checkpoint(bulkhead, session)).snapshot, null);
      assert.equal(gitLine(['rev-parse', `refs/bulkhead/heads/${session.id}/HEAD`], world.store), commits[2]);
      assert.equal(
        gitLine(['rev-list', '--count', `${session.base?.commit ?? ''}..${commits[2] ?? ''}`], world.store),
        '3',
      );
      const { branch } = await bulkhead.apply({ session: session.id, mode: 'branch' });
      assert.equal(gitLine(['rev-parse', `${branch ?? ''}~1`], world.repo.dir), commits[2]);
      assert.equal(gitLine(['show', `${branch ?? ''}~2:a.txt`], world.repo.dir), '2');
      assert.equal(tryGit(['rev-parse', '--verify', 'refs/replace'], world.repo.dir).code !== 0, true);
      fsck(world.store);
      fsck(world.repo.dir);
    });
  }

  it('is believed by no call', async () => {
    const hostile = async (): Promise<Session> => {
      const made = await threeCommits();
      for (const lie of Object.values(lies)) {
        lie();
      }
      write(clone, 'a.txt', 'changed by the agent\n');
      write(clone, 'new file.txt', 'new\n');
      return made;
    };
    const suspect = { world, bulkhead, session: await hostile(), another: hostile };
    const told = [...commits];
    const calls = [...engineCalls(suspect), ...callsInside(suspect, callCli), ...(isSoak ? callsOutside(suspect) : [])];
    assert.deepEqual(await refusedOf(calls), refusedInside(suspect.session));
    const { id } = suspect.session;
    assert.deepEqual(
      gitLine(
        ['rev-list', '--reverse', `refs/bulkhead/heads/${id}/HEAD`, `^${session.base?.commit ?? ''}`],
        world.store,
      ),
      told.join('\n'),
    );
    assert.deepEqual(gitLine(['for-each-ref', 'refs/replace'], world.repo.dir), '');
    fsck(world.store);
    fsck(world.repo.dir);
  });

  it('is refused, and saves go on, when commits are missing that are hidden by the list of shallow commits', async () => {
    write(join(clone, '.git'), 'shallow', `${commits[2] ?? ''}\n`);
    const [, parent = ''] = commits;
    rmSync(join(clone, '.git', 'objects', parent.slice(0, 2), parent.slice(2)));
    write(clone, 'a.txt', 'changed\n');
    assert.notEqual((await checkpoint(bulkhead, session)).snapshot, null);
    await assert.rejects(bulkhead.apply({ session: session.id, mode: 'branch' }), BulkheadError);
    assert.notEqual((await bulkhead.preflightRemoval(session.id)).doubt, null);
    fsck(world.store);
  });

  it('does not get objects into the store that git would not take over a network', async () => {
    const blob = gitLine(['hash-object', '-w', '--stdin'], clone, { input: 'evil\n' });
    const tree = gitLine(['mktree'], clone, { input: `100644 blob ${blob}\t.git\n` });
    const commit = gitLine(['commit-tree', '-m', 'evil', tree], clone);
    git(['update-ref', 'HEAD', commit], clone);
    write(clone, 'a.txt', 'changed\n');
    assert.notEqual((await checkpoint(bulkhead, session)).snapshot, null);
    assert.notEqual(tryGit(['cat-file', '-e', commit], world.store).code, 0);
    fsck(world.store);
  });
});
