import fs from 'node:fs';
import path from 'node:path';
import { errors, type Locator } from 'playwright-core';
import type { Workbench, WorkbenchWindow } from '../host/workbench.ts';

/** The folder of a session's clone, found by the end of its name. */
export function cloneFolder(workbench: Workbench, slug: string): string {
  const found = cloneFolders(workbench).find((folder) => folder.endsWith(`-${slug}`));
  if (found === undefined) throw new Error(`No clone ends with -${slug}: ${cloneFolders(workbench).join(', ')}`);
  return found;
}

export function cloneFolders(workbench: Workbench): readonly string[] {
  const storage = path.join(workbench.server.userDataFolder, 'User/workspaceStorage');
  return fs
    .globSync('*/bulkhead.bulkhead/*/sessions/*/*', { cwd: storage })
    .map((folder) => path.join(storage, folder))
    .filter((folder) => fs.existsSync(path.join(folder, '.git')));
}

/** Waits until `check` holds, and says what was seen last when it never does. */
export async function eventually<T>(look: () => T | Promise<T>, check: (seen: T) => boolean): Promise<T> {
  const until = Date.now() + 20_000;
  while (true) {
    const seen = await look();
    if (check(seen)) return seen;
    if (Date.now() > until) throw new Error(`Never as expected; last seen: ${JSON.stringify(seen, undefined, 2)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Unfolds a row of the side bar, or folds it. */
export async function unfold(row: Locator, unfolded = true): Promise<void> {
  await row.waitFor();
  if ((await row.getAttribute('aria-expanded')) !== String(unfolded)) {
    await row.locator('.monaco-tl-twistie').click();
  }
}

/** Opens the context menu of a row and chooses an entry; a menu takes no click in its first moments, so it may need another. */
export async function choose(window: WorkbenchWindow, row: Locator, entry: string): Promise<void> {
  await row.click({ button: 'right' });
  const item = window.page.locator('.monaco-menu .action-item').filter({ hasText: entry }).first();
  await item.waitFor();
  await eventually(
    async () => {
      if (await item.isVisible()) await item.click({ timeout: 1000 }).catch(() => undefined);
      return item.isVisible();
    },
    (visible) => !visible,
  );
}

/** Runs a command from the palette; an editor that is still loading takes the focus when it is done, which closes the palette. */
export async function runCommand(window: WorkbenchWindow, title: string): Promise<void> {
  const widget = window.page.locator('.quick-input-widget');
  const row = widget.locator('.monaco-list-row').filter({ has: window.page.getByText(title, { exact: true }) });
  const attempt = async (): Promise<boolean> => {
    try {
      await window.page.keyboard.press('F1');
      await widget.locator('input').first().fill(`>${title}`, { timeout: 2000 });
      await row.first().click({ timeout: 2000 });
      return true;
    } catch (error) {
      if (!(error instanceof errors.TimeoutError)) throw error;
      await window.page.keyboard.press('Escape');
      return false;
    }
  };
  await eventually(attempt, (done) => done);
}

/** Presses a button of a notification. */
export async function pressInNotification(
  window: WorkbenchWindow,
  text: string | RegExp,
  button: string,
): Promise<void> {
  const notification = window.notification(text);
  await notification.waitFor();
  await notification.hover();
  await notification.locator('.monaco-button').filter({ hasText: button }).first().click();
}

export async function clearNotifications(window: WorkbenchWindow): Promise<void> {
  await runCommand(window, 'Notifications: Clear All Notifications');
}

/** Drags the border between side bar and editors. */
export async function widenSideBar(window: WorkbenchWindow, pixels: number): Promise<void> {
  const box = await window.page.locator('.part.sidebar').boundingBox();
  if (box === null) throw new Error('The side bar is not shown.');
  const [x, y] = [box.x + box.width, box.y + box.height / 2];
  await window.page.mouse.move(x, y);
  await window.page.mouse.down();
  await window.page.mouse.move(x + pixels, y, { steps: 4 });
  await window.page.mouse.up();
}
