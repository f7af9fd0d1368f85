import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import { repoPathFromText, type RepoPath } from '../../../src/core/repoPath';
import { snapshotUri } from '../../../src/ui/snapshotContent';
import { sessionRow, type TreeNode } from '../../../src/ui/treeNodes';
import {
  happened,
  harbour,
  makeSession,
  removeAllSessions,
  snapshotAfter,
  treeText,
  write,
  type Harbour,
} from './support';

function repoPath(text: string): RepoPath {
  const result = repoPathFromText(text);
  assert.ok(result !== undefined);
  return result;
}

describe('sessions in the editor', () => {
  let here: Harbour;

  before(async () => {
    here = await harbour();
  });

  afterEach(async () => {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await removeAllSessions(here);
  });

  it('shows the checkout and an invitation while there is no session', async () => {
    const text = await treeText(here, () => false);
    assert.match(text, /^This workspace \[.*\] \(workspace ready writable here\)\nStart a session… \(invite\)$/);
  });

  it('makes a snapshot when an editor saves a file', async () => {
    const file = vscode.Uri.file(path.join(here.repository.root, 'src/tide/tide.js'));
    const editor = await vscode.window.showTextDocument(file);
    const snapshot = await snapshotAfter(here.bulkhead, 'workspace', async () => {
      await editor.edit((edit) => {
        edit.insert(new vscode.Position(0, 0), '// Low water.\n');
      });
      assert.equal(await editor.document.save(), true);
    });
    assert.deepEqual(
      [snapshot.subject, snapshot.agent, snapshot.trigger, snapshot.added],
      ['Edit src/tide/tide.js', 'user', 'save', 1],
    );
  });

  it('makes a snapshot of what is written from outside', async () => {
    const session = await makeSession(here, 'Alpha');
    const snapshot = await snapshotAfter(here.bulkhead, session.id, async () => {
      write(session.path, 'src/new file.js', 'export {};\n');
    });
    assert.equal(snapshot.subject, 'Add src/new file.js');
    // On a slow machine the look that follows the start of the watcher finds it first.
    assert.match(snapshot.trigger, /^(external|reconcile)$/);
  });

  it('records the session that took the place of one that was reset', async () => {
    const old = await makeSession(here, 'Alpha');
    write(old.path, 'src/attempt.js', 'export {};\n');
    const { session } = await here.bulkhead.resetSession(old.id, { force: true });
    await here.api.captures.flush();
    const snapshot = await snapshotAfter(here.bulkhead, session.id, async () => {
      write(session.path ?? assert.fail('it has no clone'), 'src/afresh.js', 'export {};\n');
    });
    assert.equal(snapshot.subject, 'Add src/afresh.js');
    const text = await happened(
      'the row of the fresh session',
      (look) => here.api.tree.onDidChangeTreeData(look),
      async () => undefined,
      async () => {
        const tree = await treeText(here, () => false);
        return tree.includes('Alpha [1 changed') ? tree : undefined;
      },
    );
    assert.equal(text.split('\n').filter((row) => row.startsWith('Alpha')).length, 1);
    assert.equal((await here.bulkhead.snapshots({ session: old.id }))[0]?.trigger, 'final');
  });

  it('finds files in folders that are made at once', async () => {
    const session = await makeSession(here, 'Alpha');
    const names = Array.from({ length: 20 }, (_, index) => `deep/er/and/deeper/file${index}.txt`);
    await happened(
      'a snapshot of all files',
      (look) => here.bulkhead.onDidChangeSnapshots(look),
      async () => {
        for (const name of names) write(session.path, name, name);
      },
      async () => {
        const diff = await here.bulkhead.diff(
          { kind: 'base', session: session.id },
          { kind: 'newest', session: session.id },
        );
        return diff.files.length === names.length ? true : undefined;
      },
    );
  });

  it('shows sessions, snapshots and files as a tree', async () => {
    const session = await makeSession(here, 'Alpha');
    await snapshotAfter(here.bulkhead, session.id, async () => {
      write(session.path, 'docs/pilot.md', '# Pilot\n');
      fs.rmSync(path.join(session.path, 'docs/crew.md'));
    });
    const isAlpha = (node: TreeNode) => node.kind !== 'session' || node.session.id === session.id;
    const tree = await happened(
      'the row of the new snapshot',
      (look) => here.api.tree.onDidChangeTreeData(look),
      async () => undefined,
      async () => {
        const text = await treeText(here, isAlpha);
        return text.includes('pilot.md') && text.includes('2 changed') ? text : undefined;
      },
    );
    assert.deepEqual(tree.split('\n').slice(1), [
      'Alpha [2 changed · 2 snapshots] (session ready writable)',
      '  Change 2 files in docs [outside write] (snapshot writable)',
      '    crew.md [docs] (file writable)',
      '    pilot.md [docs] (file readable writable)',
      '  Start of Alpha [user] (snapshot writable)',
    ]);
  });

  it('shows a long history page by page, under ids that stay', async () => {
    const session = await makeSession(here, 'Alpha');
    const snapshots = 120;
    for (let number = 1; number < snapshots; number++) {
      write(session.path, 'counter.txt', `${number}\n`);
      await here.bulkhead.checkpoint({
        session: session.id,
        trigger: 'manual',
        agent: 'user',
        paths: [repoPath('counter.txt')],
        message: `Number ${number}`,
      });
    }
    const node = await here.api.tree.sessionNode(here.repository.key, session.id);
    assert.ok(node);
    const shown = async () => (await here.api.tree.getChildren(node)).filter((child) => child.kind !== 'reason');
    const first = await shown();
    assert.deepEqual([first.length, first[0]?.kind, first.at(-1)?.kind], [101, 'snapshot', 'more']);
    await vscode.commands.executeCommand('bulkhead.showMore', first.at(-1));
    const all = await shown();
    assert.deepEqual([all.length, all.at(-1)?.kind], [snapshots, 'snapshot']);
    assert.equal(new Set(all.map((child) => child.id)).size, snapshots);
    assert.ok(
      first.slice(0, 100).every((child, index) => child === all[index]),
      'a row was made anew',
    );
  });

  it('restores a snapshot from its command, and undoes it with the exact bytes', async () => {
    const session = await makeSession(here, 'Alpha');
    const [start] = await here.bulkhead.snapshots({ session: session.id });
    assert.ok(start);
    const file = path.join(session.path, 'src/ship/ship.js');
    const original = fs.readFileSync(file);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    await snapshotAfter(here.bulkhead, session.id, async () => {
      fs.writeFileSync(file, bytes);
    });
    const node: TreeNode = {
      kind: 'snapshot',
      id: '',
      parent: sessionRow(here.repository, session),
      group: null,
      snapshot: start,
    };
    await snapshotAfter(
      here.bulkhead,
      session.id,
      async () => {
        const done = vscode.commands.executeCommand('bulkhead.restoreSnapshot', node);
        await acceptUntil(done);
      },
      (snapshot) => snapshot.trigger === 'restore',
    );
    assert.deepEqual(fs.readFileSync(file), original);
    await snapshotAfter(
      here.bulkhead,
      session.id,
      async () => vscode.commands.executeCommand('bulkhead.undoRestore', node.parent),
      (snapshot) => snapshot.trigger === 'undo',
    );
    assert.deepEqual(fs.readFileSync(file), bytes);
  });

  it('gives the exact bytes of a file in a snapshot, and lets nobody write there', async () => {
    const session = await makeSession(here, 'Alpha');
    const bytes = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7) % 256));
    const snapshot = await snapshotAfter(here.bulkhead, session.id, async () => {
      write(session.path, 'images/größe #1.bin', bytes);
    });
    const uri = snapshotUri(here.repository.key, snapshot.tree, repoPath('images/größe #1.bin'));
    assert.deepEqual(Buffer.from(await vscode.workspace.fs.readFile(uri)), bytes);
    assert.equal((await vscode.workspace.fs.stat(uri)).size, bytes.length);
    assert.deepEqual(
      await vscode.workspace.fs.readDirectory(snapshotUri(here.repository.key, snapshot.tree, repoPath('images'))),
      [['größe #1.bin', vscode.FileType.File]],
    );
    assert.equal(vscode.workspace.fs.isWritableFileSystem('bulkhead'), false);
    await assert.rejects(async () => vscode.workspace.fs.writeFile(uri, bytes));
    const absent = snapshotUri(here.repository.key, snapshot.tree, repoPath('images/no.bin'));
    await assert.rejects(
      async () => vscode.workspace.fs.stat(absent),
      (error) => error instanceof vscode.FileSystemError && error.code === 'FileNotFound',
    );
  });

  it('warns in the status bar when two sessions change one file, and clears the warning', async () => {
    const alpha = await makeSession(here, 'Alpha');
    const beta = await makeSession(here, 'Beta');
    assert.equal(here.api.statusBar.shown, null);
    write(alpha.path, 'README.md', '# Alpha was here\n');
    const warned = await untilStatus(
      () => {
        write(beta.path, 'README.md', '# Beta was here\n');
      },
      (status) => status?.warning === true,
    );
    assert.equal(warned?.text, '$(warning) 1');
    assert.match(warned.tooltip, /README\.md: (Alpha, Beta|Beta, Alpha)/);
    const cleared = await untilStatus(
      () => {
        write(beta.path, 'README.md', '# Alpha was here\n');
      },
      (status) => status === null,
    );
    assert.equal(cleared, null);
  });

  it('names in the status bar who is waited for, and leads to the list of holders', async () => {
    const alpha = await makeSession(here, 'Alpha');
    const lock = path.join(here.bulkhead.info.storage, 'locks', `${alpha.id}.lock`);
    const time = Date.now();
    // The oldest of all locks, so that it stands in the first row.
    const since = time - 9 * 60_000;
    const holder = { format: 1, host: 'elsewhere', pid: 12, boot: null, started: null, thread: 0, nonce: '01234567' };
    fs.writeFileSync(lock, JSON.stringify({ ...holder, agent: 'codex', purpose: 'checkpoint', since, time }));
    write(alpha.path, 'README.md', '# Waiting\n');
    let save: Promise<unknown> = Promise.resolve();
    const waiting = await untilStatus(
      () => {
        save = here.bulkhead.checkpoint({ session: alpha.id, trigger: 'manual', agent: 'user' });
      },
      // The name of a session that was just made comes a moment later.
      (status) => status?.leadsTo === 'locks' && status.tooltip.includes('Alpha'),
    );
    assert.equal(waiting?.text, '$(lock) waiting for checkpoint by codex');
    assert.match(waiting.tooltip, /Alpha, held by checkpoint by codex \(process 12 on elsewhere/);
    // The host does not tell what a pick offers, but what was chosen is copied.
    await vscode.env.clipboard.writeText('nothing');
    await acceptUntil(vscode.commands.executeCommand('bulkhead.showLockHolders'));
    const [label, description = '', detail = '', place] = (await vscode.env.clipboard.readText()).split('\n');
    assert.deepEqual([label, place], ['Lock: checkpoint', lock]);
    assert.match(description, /^Alpha · .* · not known whether it is alive$/);
    assert.match(detail, /^codex, process 12 on elsewhere · since /);
    const cleared = await untilStatus(
      () => {
        fs.rmSync(lock);
      },
      (status) => status === null,
    );
    assert.equal(cleared, null);
    await save;
  });

  async function untilStatus(act: () => void, isWanted: (status: Harbour['api']['statusBar']['shown']) => boolean) {
    const found = await happened(
      'the status',
      (look) => here.api.statusBar.onDidDraw(look),
      async () => {
        act();
      },
      () => (isWanted(here.api.statusBar.shown) ? { status: here.api.statusBar.shown } : undefined),
    );
    return found.status;
  }
});

/** Accepts the first row of each pick that opens until the command has ended. */
async function acceptUntil(done: Thenable<unknown>): Promise<void> {
  const state = { ended: false };
  const end = (): void => {
    state.ended = true;
  };
  void done.then(end, end);
  while (!state.ended) {
    await vscode.commands.executeCommand('workbench.action.acceptSelectedQuickOpenItem');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await done;
}
