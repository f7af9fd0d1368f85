// Several windows at once on one session, and one on the repository that it came from: each with an extension host of its
// own, and all saving in the same moment.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startWorkbench, type Workbench, type WorkbenchWindow } from '../host/workbench.ts';
import { sampleRepository } from '../scripts/sample.ts';
import { git } from './realProject.ts';
import { cloneFolder, eventually, runCommand } from './support.ts';

const rounds = 4;

describe('several windows', () => {
  let temporary: string;
  let workbench: Workbench;

  before(async () => {
    temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'bh-windows-'));
    workbench = await startWorkbench({
      folder: sampleRepository(path.join(temporary, 'harbour')),
      settings: { 'files.autoSave': 'off' },
    });
  });

  after(async () => {
    await workbench.dispose();
    fs.rmSync(temporary, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });

  it('record every save once, and every write from outside once', async function () {
    this.timeout(300_000);
    await workbench.openViewContainer('Bulkhead');
    await runCommand(workbench, 'Bulkhead: New Session');
    await workbench.answer('Shared');
    await workbench.pick('the last commit');
    await workbench.treeRow('Shared').waitFor();
    const clone = cloneFolder(workbench, 'shared');
    const windows = [
      { window: await workbench.openWindow(clone), file: 'src/berth/berth.js' },
      { window: await workbench.openWindow(clone), file: 'src/cargo/cargo.js' },
      { window: workbench, file: 'src/crane/crane.js' },
    ];
    for (const { window, file } of windows) {
      // Its own host runs once the status bar names the session (git's item names the branch, in small letters), or the view
      // shows the checkout.
      await (window === workbench ? workbench.treeRow('This workspace') : window.statusBarItem(/Shared/)).waitFor();
      await window.openFile(file);
    }
    const store = path.join(path.dirname(path.dirname(path.dirname(clone))), 'snapshots.git');
    const session = path.basename(path.dirname(clone));
    const snapshots = (ref: string): Snapshot[] => snapshotsIn(store, ref);
    const textOf = (round: number, name: string): string => `// round ${round} of ${name}\n`;

    for (let round = 1; round <= rounds; round++) {
      await Promise.all(windows.map(({ window, file }) => type(window, textOf(round, file))));
      fs.writeFileSync(path.join(clone, 'from-outside.txt'), textOf(round, 'outside'));
      await Promise.all(windows.map(({ window }) => window.page.keyboard.press('Control+S')));
      await Promise.all(windows.map(({ window }) => window.page.locator('.tab.active:not(.dirty)').first().waitFor()));
      await eventually(
        () => [
          ...snapshots(`refs/bulkhead/sessions/${session}`).flatMap(({ paths }) => paths),
          ...snapshots('refs/bulkhead/workspace').flatMap(({ paths }) => paths),
        ],
        (seen) =>
          [...windows.map(({ file }) => file), 'from-outside.txt'].every(
            (wanted) => seen.filter((file) => file === wanted).length >= round,
          ),
      );
    }

    const shared = snapshots(`refs/bulkhead/sessions/${session}`);
    const told = JSON.stringify(shared, undefined, 2);
    for (const { file } of windows.slice(0, 2)) {
      const saves = shared.filter(({ paths }) => paths.includes(file));
      assert.equal(saves.length, rounds, told);
      assert.deepEqual(
        new Set(saves.map(({ trigger, agent }) => `${trigger} by ${agent}`)),
        new Set(['save by user']),
        told,
      );
    }
    const outside = shared.filter(({ paths }) => paths.includes('from-outside.txt'));
    assert.equal(outside.length, rounds, told);
    assert.deepEqual(new Set(outside.map(({ trigger }) => trigger)), new Set(['external']), told);
    const checkout = snapshots('refs/bulkhead/workspace').filter(({ trigger }) => trigger === 'save');
    assert.equal(checkout.length, rounds, JSON.stringify(checkout));
    for (const { file } of windows.slice(0, 2)) {
      const recorded = git(store, 'cat-file', 'blob', `refs/bulkhead/sessions/${session}:${file}`);
      assert.equal(recorded, fs.readFileSync(path.join(clone, file), 'utf8'));
    }
    git(store, 'fsck', '--strict', '--no-dangling');
  });
});

interface Snapshot {
  readonly trigger: string;
  readonly agent: string;
  readonly paths: readonly string[];
}

function snapshotsIn(store: string, ref: string): Snapshot[] {
  const marked = git(store, 'log', '--first-parent', '--name-only', '--format=%x00%B%x01', ref);
  return marked
    .split('\0')
    .slice(1)
    .map((entry) => {
      const [message = '', names = ''] = entry.split('\u0001');
      const trailer = (key: string): string => new RegExp(`^Bulkhead-${key}: (.*)$`, 'm').exec(message)?.[1] ?? '';
      return {
        trigger: trailer('Trigger'),
        agent: trailer('Agent'),
        paths: trailer('Trigger') === 'start' ? [] : names.split('\n').filter((name) => name !== ''),
      };
    });
}

async function type(window: WorkbenchWindow, text: string): Promise<void> {
  await window.page.locator('.editor-group-container.active .monaco-editor').first().click();
  await window.page.keyboard.press('Control+Home');
  await window.page.keyboard.type(text);
}
