// What the view says where there is nothing to show yet, and what it leaves alone without trust.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startWorkbench, type Workbench } from '../host/workbench.ts';
import { sampleRepository } from '../scripts/sample.ts';
import { git } from './realProject.ts';
import { runCommand } from './support.ts';

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

  it('only looks in a workspace that is not trusted', async () => {
    const folder = sampleRepository(temporary);
    workbench = await startWorkbench({
      folder,
      workspaceTrust: true,
      settings: { 'security.workspace.trust.enabled': true, 'security.workspace.trust.startupPrompt': 'never' },
    });
    await workbench.openViewContainer('Bulkhead');
    const welcome = workbench.page.locator('.part.sidebar .welcome-view-content');
    await welcome.getByText('trust').first().waitFor();
    await workbench.screenshot('welcome-03-untrusted');
    const made = fs.globSync('**/snapshots.git', { cwd: temporary });
    assert.deepEqual(made, []);
  });
});
