// The packaged extension, installed as people install it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startWorkbench, type Workbench } from '../host/workbench.ts';
import { inRoot, root } from '../scripts/project.ts';
import { realProject } from './realProject.ts';
import { cloneFolder, runCommand, unfold } from './support.ts';

describe('the packaged extension', () => {
  let temporary: string;
  let workbench: Workbench;

  before(async () => {
    const [vsix, ...others] = fs.globSync('*.vsix', { cwd: root });
    assert.ok(vsix !== undefined && others.length === 0, 'there has to be exactly one .vsix');
    temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'bh-vsix-'));
    workbench = await startWorkbench({
      folder: realProject(temporary),
      vsix: inRoot(vsix),
    });
  });

  afterEach(async function () {
    if (this.currentTest?.state === 'failed') await workbench.screenshot('failed-vsix');
  });

  after(async () => {
    await workbench.dispose();
    fs.rmSync(temporary, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });

  it('records a save in the checkout', async () => {
    await workbench.openViewContainer('Bulkhead');
    await unfold(workbench.treeRow('This workspace'));
    await workbench.openFile('src/internal/operators/map.ts');
    await workbench.typeAndSave('// Mapped.\n');
    await workbench.treeRow('Edit …/map.ts').waitFor();
    await workbench.screenshot('vsix-01-saved');
  });

  it('makes a session and records what is written in it', async () => {
    await runCommand(workbench, 'Bulkhead: New Session');
    await workbench.answer('Deeper map');
    await workbench.pick('the last commit');
    await unfold(workbench.treeRow('Deeper map'));
    fs.writeFileSync(path.join(cloneFolder(workbench, 'deeper-map'), 'depth.txt'), '12\n');
    await workbench.treeRow('Add depth.txt').waitFor();
    await workbench.screenshot('vsix-02-session');
  });

  it('shows the last session and its snapshots again after a reload', async () => {
    await workbench.reload();
    await workbench.openViewContainer('Bulkhead');
    await unfold(workbench.treeRow('Deeper map'));
    await workbench.treeRow('Add depth.txt').waitFor();
  });
});
