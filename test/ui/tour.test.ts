// The tour that a person takes, in the real workbench, on a project of more than 2,000 files. The
// steps build on one another; screenshots of them are in out/screenshots.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startWorkbench, type Workbench, type WorkbenchWindow } from '../host/workbench.ts';
import { inRoot } from '../scripts/project.ts';
import { git, realProject } from './realProject.ts';
import {
  choose,
  clearNotifications,
  cloneFolder,
  cloneFolders,
  eventually,
  pressInNotification,
  runCommand,
  widenSideBar,
  unfold,
} from './support.ts';

const edited = 'src/internal/operators/map.ts';

describe('the tour', () => {
  let temporary: string;
  let repository: string;
  let workbench: Workbench;
  let session: WorkbenchWindow;

  before(async () => {
    temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'bh-tour-'));
    repository = realProject(temporary);
    workbench = await startWorkbench({
      folder: repository,
      settings: {
        'workbench.colorTheme': 'Default Dark Modern',
        'editor.minimap.enabled': false,
        'workbench.reduceMotion': 'on',
        // In a browser the default is to save by itself.
        'files.autoSave': 'off',
      },
    });
  });

  afterEach(async function () {
    if (this.currentTest?.state === 'failed') {
      const name = this.currentTest.title.replaceAll(/\W+/g, '-');
      for (const [index, page] of workbench.page.context().pages().entries()) {
        await page.screenshot({ path: inRoot('out/screenshots', `failed-${name}-${index}.png`) });
      }
      console.error((await workbench.treeRows()).join('\n'));
    }
  });

  after(async () => {
    await workbench.dispose();
    fs.rmSync(temporary, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });

  it('shows the checkout and invites to start a session', async () => {
    await workbench.openViewContainer('Bulkhead');
    await workbench.treeRow('Start a session…').waitFor();
    await workbench.treeRow('This workspace').waitFor();
    await workbench.screenshot('tour-01-invitation');
  });

  it('makes a session by keyboard', async () => {
    await runCommand(workbench, 'Bulkhead: New Session');
    await workbench.answer('a name\u202e');
    await workbench.page.getByText('reading direction').waitFor();
    await workbench.screenshot('tour-02-name-refused');
    await workbench.answer('Faster map');
    await workbench.quickPickRow('HEAD with uncommitted work').waitFor();
    await workbench.screenshot('tour-03-start');
    await workbench.page.keyboard.press('Enter');
    await workbench.treeRow('Faster map').waitFor();
    await workbench.notification('Session "Faster map" is ready.').waitFor();
    await workbench.screenshot('tour-04-created');
    assert.equal(git(cloneFolder(workbench, 'faster-map'), 'status', '--porcelain'), '');
    await clearNotifications(workbench);
  });

  it('opens the session in a terminal, and records what is written there', async () => {
    await choose(workbench, workbench.treeRow('Faster map'), 'Open Session in Terminal');
    await workbench.terminal().waitFor();
    await workbench.page.keyboard.type('echo "in $BULKHEAD_SESSION" > from-terminal.txt\n');
    await unfold(workbench.treeRow('Faster map'));
    await workbench.treeRow('Add from-terminal.txt').waitFor();
    const written = fs.readFileSync(path.join(cloneFolder(workbench, 'faster-map'), 'from-terminal.txt'), 'utf8');
    assert.match(written, /^in [a-z2-7]{12}\n$/);
    await workbench.screenshot('tour-05-terminal');
    await runCommand(workbench, 'Terminal: Kill All Terminals');
  });

  it('opens the session in a second window, and records a save there', async () => {
    session = await workbench.windowOpenedBy(() =>
      choose(workbench, workbench.treeRow('Faster map'), 'Open Session in New Window'),
    );
    await session.statusBarItem('Faster map').waitFor();
    await session.openFile(edited);
    await session.typeAndSave('// Faster.\n');
    await session.openViewContainer('Bulkhead');
    await unfold(session.treeRow('Faster map'));
    await session.treeRow(/Edit …\/map\.ts.*user · save/).waitFor();
    await session.treeRow('this window').waitFor();
    await session.screenshot('tour-06-second-window');
    await workbench.treeRow('Edit …/map.ts').waitFor();
  });

  it('shows the changes of a snapshot in one editor', async () => {
    await workbench.treeRow('Edit …/map.ts').click();
    await workbench.tab('Edit src').waitFor();
    await workbench.page.getByText('// Faster.').first().waitFor();
    await workbench.screenshot('tour-07-changes');
  });

  it('shows the files of a snapshot and the changes of one', async () => {
    await unfold(workbench.treeRow('Edit …/map.ts'));
    await workbench.treeRow(/^\s*map\.ts/).click();
    await workbench.tab(/map\.ts \(before/).waitFor();
    await workbench.screenshot('tour-08-file');
    await unfold(workbench.treeRow('Edit …/map.ts'), false);
  });

  it('compares any two snapshots', async () => {
    await choose(workbench, workbench.treeRow('Edit …/map.ts'), 'Compare with Another Snapshot…');
    await workbench.quickPickRow('Start of Faster map').waitFor();
    await workbench.screenshot('tour-09-which-snapshot');
    await workbench.answer('Start of Faster map');
    await workbench.tab(/Faster map: .* ↔ /).waitFor();
    await workbench.page.getByText('from-terminal.txt').first().waitFor();
    await workbench.screenshot('tour-10-compared');
  });

  it('warns when two sessions change the same file, and shows the difference', async () => {
    await workbench.treeRow('This workspace').hover();
    await workbench.page.locator('.part.sidebar .action-label[aria-label="New Session"]').first().click();
    await workbench.answer('Rename map');
    await workbench.pick('the last commit');
    await workbench.notification('Session "Rename map" is ready.').waitFor();
    const other = path.join(cloneFolder(workbench, 'rename-map'), edited);
    fs.writeFileSync(other, `// Renamed.\n${fs.readFileSync(other, 'utf8')}`);
    const status = workbench.page.locator('.statusbar-item[id^="bulkhead.bulkhead"]');
    await status.filter({ hasText: '1' }).waitFor();
    await clearNotifications(workbench);
    await status.hover();
    await workbench.page.getByText('changed in several sessions').waitFor();
    await workbench.screenshot('tour-11-contention');
    await status.click();
    await workbench.quickPickRow('map.ts').waitFor();
    await workbench.screenshot('tour-12-which-file');
    await workbench.pick('map.ts');
    await workbench.tab(/map\.ts: .* ↔ .* · base [0-9a-f]{7}/).waitFor();
    await workbench.page.getByText('// Renamed.').first().waitFor();
    await workbench.screenshot('tour-13-contention-difference');
  });

  it('looks right in light and in high contrast', async () => {
    await workbench.treeRow('Edit …/map.ts').click();
    await workbench.tab('Edit src').waitFor();
    // As a person would who wants to read whole rows.
    await widenSideBar(workbench, 120);
    for (const [theme, name] of [
      ['Light Modern', 'light'],
      ['Dark High Contrast', 'high-contrast'],
      ['Dark Modern', 'dark'],
    ] as const) {
      await runCommand(workbench, 'Preferences: Color Theme');
      await workbench.page.locator('.quick-input-widget input[placeholder*="Theme"]').waitFor();
      await workbench.answer(theme);
      const kind = name === 'dark' ? '.vs-dark' : name === 'light' ? '.vs' : '.hc-black';
      await workbench.page.locator(`.monaco-workbench${kind}`).waitFor();
      await workbench.screenshot(`tour-14-${name}`);
    }
  });

  it('restores a snapshot after it has shown the plan, and takes it back', async () => {
    const clone = cloneFolder(workbench, 'faster-map');
    const before = fs.readFileSync(path.join(clone, edited), 'utf8');
    await choose(workbench, workbench.treeRow(/^\s*Start of Faster map/), 'Restore Snapshot…');
    await workbench.quickPickRow('Restore All').waitFor();
    await workbench.screenshot('tour-15-plan');
    await workbench.pick(edited);
    await workbench.tab('now ↔ after the restore').waitFor();
    await workbench.screenshot('tour-16-plan-preview');
    await workbench.pick('Restore All');
    await workbench.notification('Restored Faster map').waitFor();
    await workbench.screenshot('tour-17-restored');
    assert.equal(fs.existsSync(path.join(clone, 'from-terminal.txt')), false);
    assert.doesNotMatch(fs.readFileSync(path.join(clone, edited), 'utf8'), /Faster/);
    await pressInNotification(workbench, 'Restored Faster map', 'Undo');
    await workbench.notification('undone').waitFor();
    assert.equal(fs.readFileSync(path.join(clone, edited), 'utf8'), before);
    assert.equal(fs.existsSync(path.join(clone, 'from-terminal.txt')), true);
    await workbench.screenshot('tour-18-undone');
    await clearNotifications(workbench);
  });

  it('restores one file and leaves the others', async () => {
    const clone = cloneFolder(workbench, 'faster-map');
    fs.writeFileSync(path.join(clone, 'from-terminal.txt'), 'changed again\n');
    await workbench.treeRow('Edit from-terminal.txt').waitFor();
    const row = workbench.treeRow('Add from-terminal.txt');
    await unfold(row);
    await choose(workbench, workbench.treeRow(/^\s*from-terminal\.txt/), 'Restore File…');
    await workbench.pick('Restore All');
    await workbench.notification('Restored Faster map').waitFor();
    assert.match(fs.readFileSync(path.join(clone, 'from-terminal.txt'), 'utf8'), /^in /);
    assert.match(fs.readFileSync(path.join(clone, edited), 'utf8'), /Faster/);
    await clearNotifications(workbench);
  });

  it('asks about unsaved text before it restores', async () => {
    await session.openFile(edited);
    await session.page.locator('.editor-group-container.active .monaco-editor').first().click();
    await session.page.keyboard.press('Control+Home');
    await session.page.keyboard.type('// Unsaved.\n');
    await choose(session, session.treeRow(/^\s*Start of Faster map/), 'Restore Snapshot…');
    await session.pick('Restore All');
    await session.dialogText().waitFor();
    await session.screenshot('tour-19-unsaved');
    await session.dialog('Discard and Restore');
    await session.notification('Restored Faster map').waitFor();
    const file = path.join(cloneFolder(workbench, 'faster-map'), edited);
    assert.doesNotMatch(fs.readFileSync(file, 'utf8'), /Faster|Unsaved/);
    await session.tab('map.ts').waitFor();
    assert.equal(await session.page.locator('.tab.dirty').count(), 0);
  });

  it('resets a session, and offers the fresh one in the window of the old', async () => {
    const old = cloneFolder(workbench, 'faster-map');
    await clearNotifications(workbench);
    await clearNotifications(session);
    await choose(workbench, workbench.treeRow('Faster map'), 'Reset Session…');
    await workbench.dialogText().waitFor();
    await workbench.screenshot('tour-20-reset');
    await workbench.dialog('Reset');
    await workbench.notification('starts afresh').waitFor();
    assert.notEqual(cloneFolder(workbench, 'faster-map'), old);
    await workbench.screenshot('tour-21-reset-done');
    await session.notification('This window shows the old clone').waitFor();
    await session.screenshot('tour-22-old-window');
    await pressInNotification(session, 'This window shows the old clone', 'Open the New One');
    await session.statusBarItem('Faster map').waitFor();
    await session.openFile(edited);
    await session.typeAndSave('// Afresh.\n');
    await unfold(workbench.treeRow('Faster map'));
    await workbench.treeRow('Edit …/map.ts').waitFor();
    assert.match(fs.readFileSync(path.join(cloneFolder(workbench, 'faster-map'), edited), 'utf8'), /Afresh/);
    await session.close();
    await clearNotifications(workbench);
  });

  it('deletes a session into the trash after it has said what would be lost', async () => {
    await choose(workbench, workbench.treeRow('Rename map'), 'Delete Session…');
    await workbench.dialogText().waitFor();
    await workbench.screenshot('tour-23-delete');
    await workbench.dialog('Move to Trash');
    await workbench.notification('is in the trash').waitFor();
    await eventually(
      () => workbench.treeRows(),
      (rows) => !rows.some((row) => row.includes('Rename map')),
    );
    assert.deepEqual(
      cloneFolders(workbench).filter((folder) => folder.endsWith('-rename-map')),
      [],
    );
    await workbench.screenshot('tour-24-deleted');
  });

  it('has not touched the repository', () => {
    assert.equal(git(repository, 'status', '--porcelain'), '');
    assert.equal(git(repository, 'for-each-ref', '--format=%(refname)'), 'refs/heads/main\n');
    assert.equal(git(repository, 'stash', 'list'), '');
  });
});
