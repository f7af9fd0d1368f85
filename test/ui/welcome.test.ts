// What the view says where there is nothing to show yet, and what it leaves alone without trust.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startWorkbench, type Workbench, type WorkbenchWindow } from '../host/workbench.ts';
import { inRoot } from '../scripts/project.ts';
import { sampleRepository } from '../scripts/sample.ts';
import { git } from './realProject.ts';
import { cloneFolder, runCommand, unfold } from './support.ts';

describe('the view without sessions', () => {
  let temporary: string;
  let workbench: Workbench | undefined;

  beforeEach(() => {
    temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'bh-welcome-'));
  });

  afterEach(async function () {
    if (this.currentTest?.state === 'failed') await workbench?.screenshot('failed-welcome');
    await workbench?.dispose();
    workbench = undefined;
    fs.rmSync(temporary, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });

  it('asks for a repository in a folder that is none, and starts a session before the first commit', async () => {
    const folder = path.join(temporary, 'empty');
    fs.mkdirSync(folder);
    workbench = await startWorkbench({ folder });
    await workbench.openViewContainer('Bulkhead');
    const welcome = workbench.page.locator('.part.sidebar .welcome-view-content');
    await welcome.getByText('repository').first().waitFor();
    await workbench.screenshot('welcome-01-no-repository');
    git(folder, 'init', '--quiet');
    await runCommand(workbench, 'Bulkhead: Refresh');
    await workbench.treeRow('This workspace').waitFor();
    await runCommand(workbench, 'Bulkhead: New Session');
    await workbench.answer('First steps');
    await workbench.page.locator('.quick-input-list .monaco-list-row').first().click();
    await workbench.treeRow('First steps').waitFor();
    await workbench.screenshot('welcome-02-before-the-first-commit');
  });

  it('only looks in a workspace that is not trusted', async function () {
    this.timeout(180_000);
    const folder = sampleRepository(path.join(temporary, 'harbour'));
    // Folders of this test's own, so that the command line and the extension have the same list of storages.
    const env = Object.fromEntries(
      ['STATE', 'DATA', 'CONFIG'].map((name) => [`XDG_${name}_HOME`, path.join(temporary, name.toLowerCase())]),
    );
    workbench = await startWorkbench({
      folder,
      env,
      workspaceTrust: true,
      settings: {
        'security.workspace.trust.enabled': true,
        'security.workspace.trust.startupPrompt': 'never',
        'files.autoSave': 'off',
      },
    });
    await workbench.openViewContainer('Bulkhead');
    const welcome = workbench.page.locator('.part.sidebar .welcome-view-content');
    await welcome.getByText('trust').first().waitFor();
    await workbench.screenshot('welcome-03-untrusted');
    const places = [temporary, workbench.server.userDataFolder];
    assert.deepEqual(
      places.flatMap((place) => fs.globSync('**/snapshots.git', { cwd: place })),
      [],
      'nothing is made before she asks for it',
    );

    // What somebody made while it was trusted.
    const storage = path.join(
      workbench.server.userDataFolder,
      'User/workspaceStorage/made-before/bulkhead.bulkhead/harbour',
    );
    const bulkhead = (cwd: string, ...args: readonly string[]): void => {
      execFileSync(process.execPath, [inRoot('dist/cli.js'), ...args], { cwd, env: { ...process.env, ...env } });
    };
    bulkhead(folder, 'session', 'new', '--name', 'Made before', '--storage', storage);
    const clone = cloneFolder(workbench, 'made-before');
    fs.appendFileSync(path.join(clone, 'README.md'), 'Changed by an agent.\n');
    bulkhead(clone, 'checkpoint', '--message', 'Recorded before');
    fs.appendFileSync(path.join(folder, 'README.md'), 'Changed by her.\n');
    bulkhead(folder, 'checkpoint');
    // An operation that was cut off: a window with trust would see to it.
    const session = path.basename(path.dirname(clone));
    fs.writeFileSync(path.join(storage, 'journal', `${session}.json`), 'half of an int');
    const before = filesOf(storage);
    assert.ok(Object.keys(before).includes('snapshots.git/refs/bulkhead/workspace'));

    await workbench.reload();
    await unfold(workbench.treeRow('Made before'));
    await workbench.treeRow('Recorded before').waitFor();
    await workbench.openFile('src/main.js');
    await workbench.typeAndSave('// saved without trust\n');
    assert.match(fs.readFileSync(path.join(folder, 'src/main.js'), 'utf8'), /saved without trust/);
    for (const place of [folder, clone]) {
      fs.writeFileSync(path.join(place, 'from-outside.txt'), 'written without trust\n');
    }
    await workbench.screenshot('welcome-04-untrusted-with-sessions');
    assert.deepEqual(filesOf(storage), before, 'no ref, journal entry or lock');
    // The end of the extension's host, which writes what is pending, and a start that finds the changes.
    await reloadWindow(workbench);
    await unfold(workbench.treeRow('Made before'));
    await workbench.treeRow('Recorded before').waitFor();
    assert.deepEqual(filesOf(storage), before, 'no ref, journal entry or lock after that window');
  });
});

/** A sum of each file of a storage by its path, without the clones. */
function filesOf(storage: string): Record<string, string> {
  return Object.fromEntries(
    fs
      .readdirSync(storage, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name))
      .map((file) => [path.relative(storage, file), sumOf(file)] as const)
      .filter(([file]) => !/^sessions\/[^/]+\/[^/]+\//.test(file)),
  );
}

function sumOf(file: string): string {
  return createHash('sha256').update(fs.readFileSync(file)).digest('hex');
}

/** As a person does it: the extension's host has time to end. */
async function reloadWindow(window: WorkbenchWindow): Promise<void> {
  const loaded = window.page.waitForEvent('load');
  await runCommand(window, 'Developer: Reload Window');
  await loaded;
  await window.ready();
}
