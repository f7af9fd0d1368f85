// Drives VS Code's workbench in a headless browser, for tests and screenshots: the server is
// started once, and any number of windows can be opened on it.
import fs from 'node:fs';
import path from 'node:path';
import { errors, type Browser, type FrameLocator, type Locator, type Page } from 'playwright-core';
import { inRoot, root } from '../scripts/project.ts';
import { launchBrowser } from './browser.ts';
import { ensureHost } from './install.ts';
import { startServer, type PageOptions, type Server, type ServerOptions } from './server.ts';

export interface WorkbenchOptions extends Omit<ServerOptions, 'extensions' | 'testDriver'> {
  /** The folder or `.code-workspace` of the first window; without it, an empty window. */
  readonly folder?: string;
  /** An unpacked extension; our own checkout unless `vsix` is given. */
  readonly extensionPath?: string;
  /** An extension to install instead, as people do. */
  readonly vsix?: string;
  readonly payload?: PageOptions['payload'];
  readonly viewport?: { readonly width: number; readonly height: number };
}

export interface Workbench extends WorkbenchWindow {
  readonly server: Server;
  /** A second window on the same server, with an extension host of its own. */
  readonly openWindow: (folder?: string) => Promise<WorkbenchWindow>;
  /** The window that `action` makes VS Code open. */
  readonly windowOpenedBy: (action: () => Promise<void>) => Promise<WorkbenchWindow>;
  readonly dispose: () => Promise<void>;
}

export async function startWorkbench(options: WorkbenchOptions = {}): Promise<Workbench> {
  const host = await ensureHost((line) => console.error(line));
  let server: Server | undefined;
  let browser: Browser | undefined;
  const dispose = async () => {
    await Promise.allSettled([browser?.close(), server?.dispose()]);
  };
  try {
    const extension = options.vsix ?? options.extensionPath ?? root;
    [server, browser] = await Promise.all([
      startServer(host, { ...options, extensions: [extension] }),
      launchBrowser(host),
    ]);
    const context = await browser.newContext({
      viewport: options.viewport ?? { width: 1280, height: 800 },
    });
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const running = server;
    const openWindow = async (folder?: string) => {
      const url = running.url({
        ...(folder === undefined ? {} : { open: folder }),
        ...(options.payload === undefined ? {} : { payload: options.payload }),
      });
      const window = new WorkbenchWindow(await context.newPage(), url);
      await window.page.goto(url);
      await window.ready();
      return window;
    };
    const first = await openWindow(options.folder);
    return Object.assign(first, {
      server,
      openWindow,
      windowOpenedBy: async (action: () => Promise<void>) => {
        const opened = context.waitForEvent('page');
        await action();
        const page = await opened;
        const window = new WorkbenchWindow(page, page.url());
        await window.ready();
        return window;
      },
      dispose,
    });
  } catch (error) {
    const output = server?.output();
    await dispose();
    if (output !== undefined) console.error(`Output of the server:\n${output}`);
    throw error;
  }
}

/** One window. Every method waits for what it names, up to playwright's 30 s. */
export class WorkbenchWindow {
  readonly page: Page;
  readonly url: string;

  constructor(page: Page, url: string) {
    this.page = page;
    this.url = url;
  }

  /** The workbench stands and its extension host answers. */
  async ready(): Promise<void> {
    await this.page.locator('.monaco-workbench .statusbar-item').first().waitFor();
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await this.ready();
  }

  /** Ends the window and its extension host. */
  async close(): Promise<void> {
    await this.page.close();
  }

  /** Writes out/screenshots/<name>.png and returns its path. */
  async screenshot(name: string): Promise<string> {
    const file = inRoot('out/screenshots', `${name}.png`);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    await this.page.screenshot({ path: file });
    return file;
  }

  /** Runs a command by its title in the palette, such as "Bulkhead: New Session". */
  async runCommand(title: string): Promise<void> {
    const widget = this.page.locator('.quick-input-widget');
    const row = this.page
      .locator('.quick-input-list .monaco-list-row')
      .filter({ has: this.page.getByText(title, { exact: true }) })
      .first();
    // A palette that was opened before an extension is known does not learn of it: open it again.
    const until = Date.now() + 30_000;
    for (;;) {
      await this.page.keyboard.press('F1');
      const input = widget.locator('input').first();
      await input.waitFor();
      await input.fill(`>${title}`);
      try {
        await row.click({ timeout: 1500 });
        return;
      } catch (error) {
        if (Date.now() > until) throw error;
        await this.page.keyboard.press('Escape');
        await widget.waitFor({ state: 'hidden' });
      }
    }
  }

  /** Types into the open input box or pick, and accepts. */
  async answer(text: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget:not([style*="display: none"]) input').first();
    await input.waitFor();
    await input.fill(text);
    await this.page.keyboard.press('Enter');
  }

  /** Chooses the row of an open pick whose label contains the text. */
  async pick(label: string | RegExp): Promise<void> {
    await this.quickPickRow(label).click();
  }

  quickPickRow(label: string | RegExp): Locator {
    return this.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: label }).first();
  }

  /** Presses a button of the open modal dialog. */
  async dialog(button: string): Promise<void> {
    await this.page
      .locator('.monaco-dialog-box .monaco-button, .monaco-dialog-box button')
      .filter({ hasText: button })
      .first()
      .click();
  }

  dialogText(): Locator {
    return this.page.locator('.monaco-dialog-box .dialog-message-container');
  }

  /** Opens a view container by the title in the activity bar. */
  async openViewContainer(title: string): Promise<void> {
    const item = this.page.locator(`.activitybar .action-item:has(a[aria-label^="${title}"])`).first();
    await item.waitFor();
    if ((await item.getAttribute('class'))?.includes('checked') !== true) await item.click();
  }

  /** A row of any tree in the side bar. */
  treeRow(label: string | RegExp): Locator {
    return this.page.locator('.part.sidebar .monaco-list-row').filter({ hasText: label }).first();
  }

  /** The accessible names of all visible rows of the side bar, in order. */
  async treeRows(): Promise<string[]> {
    const rows = this.page.locator('.part.sidebar .monaco-list-row');
    return rows.evaluateAll((all) =>
      (all as unknown as { getAttribute: (name: string) => string | null }[]).map(
        (row) => row.getAttribute('aria-label') ?? '',
      ),
    );
  }

  /** Opens the context menu of a row and chooses an entry. */
  async contextMenu(row: Locator, entry: string): Promise<void> {
    await row.click({ button: 'right' });
    await this.page
      .locator('.context-view .action-item, .monaco-menu .action-item')
      .filter({ hasText: entry })
      .first()
      .click();
  }

  statusBarItem(text: string | RegExp): Locator {
    return this.page.locator('.statusbar-item').filter({ hasText: text }).first();
  }

  notification(text: string | RegExp): Locator {
    return this.page.locator('.notification-list-item').filter({ hasText: text }).first();
  }

  tab(name: string | RegExp): Locator {
    return this.page.locator('.tab').filter({ hasText: name }).first();
  }

  terminal(): Locator {
    return this.page.locator('.terminal-wrapper .xterm-screen').first();
  }

  webview(): FrameLocator {
    return this.page.frameLocator('iframe.webview').frameLocator('#active-frame');
  }

  /** Opens a file of the workspace by its name; an editor that reloads its file takes the focus, which closes the picker. */
  async openFile(name: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input').first();
    for (let attempt = 1; ; attempt++) {
      try {
        await this.page.keyboard.press('Control+P');
        await input.fill(name, { timeout: 3000 });
        await this.quickPickRow(path.basename(name)).click({ timeout: 10_000 });
        break;
      } catch (error) {
        if (!(error instanceof errors.TimeoutError) || attempt === 5) throw error;
        await this.page.keyboard.press('Escape');
      }
    }
    await this.tab(path.basename(name)).waitFor();
  }

  /** Types at the start of the active editor, and saves. */
  async typeAndSave(text: string): Promise<void> {
    await this.page.locator('.editor-group-container.active .monaco-editor').first().click();
    await this.page.keyboard.press('Control+Home');
    await this.page.keyboard.type(text);
    await this.page.keyboard.press('Control+S');
    await this.page.locator('.tab.active:not(.dirty)').first().waitFor();
  }
}
