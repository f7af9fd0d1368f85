// Takes the place of desktop VS Code's executable for @vscode/test-electron: understands the same
// arguments, runs the suite in code-server with a headless browser, and exits with its result.
import fs from 'node:fs';
import path from 'node:path';
import type { Browser } from 'playwright-core';
import { onEndSignal } from '../scripts/run.ts';
import { launchBrowser } from './browser.ts';
import { ensureHost } from './install.ts';
import { startServer, type Server } from './server.ts';

interface Arguments {
  readonly extensionPath: string;
  readonly testsPath: string;
  readonly open: string | undefined;
  readonly userDataFolder: string | undefined;
}

/** Desktop VS Code knows hundreds of options; those that mean nothing here are passed over. */
function readArguments(argv: readonly string[]): Arguments {
  const named = new Map<string, string>();
  let open: string | undefined;
  const withValue = new Set(['extensionDevelopmentPath', 'extensionTestsPath', 'user-data-dir', 'extensions-dir']);
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index]!;
    const option = /^--([\w-]+)(?:=(.*))?$/s.exec(argument);
    if (option === null) {
      open ??= path.resolve(argument);
    } else {
      const [, name = '', value] = option;
      if (value !== undefined) named.set(name, value);
      else if (withValue.has(name)) named.set(name, argv[++index] ?? '');
    }
  }
  const extensionPath = named.get('extensionDevelopmentPath');
  const testsPath = named.get('extensionTestsPath');
  if (extensionPath === undefined || testsPath === undefined) {
    throw new Error('--extensionDevelopmentPath and --extensionTestsPath are needed');
  }
  return { extensionPath, testsPath, open, userDataFolder: named.get('user-data-dir') };
}

let server: Server | undefined;
let browser: Browser | undefined;

const state = { finishing: false };

/** The first result counts: what fails because we take everything down is no result. */
async function finish(code: number): Promise<void> {
  if (state.finishing) return;
  state.finishing = true;
  await Promise.allSettled([browser?.close(), server?.dispose()]);
  process.exit(code);
}

async function main(): Promise<number> {
  const args = readArguments(process.argv.slice(2));
  if (!['', '.js', '/index.js'].some((end) => fs.existsSync(`${args.testsPath}${end}`))) {
    throw new Error(`the suite ${args.testsPath} does not exist`);
  }
  const timeoutMs = Number(process.env['BULKHEAD_HOST_TIMEOUT_MS'] ?? 5 * 60_000);
  const host = await ensureHost((line) => console.error(line));
  [server, browser] = await Promise.all([
    startServer(host, {
      testDriver: true,
      ...(args.userDataFolder === undefined ? {} : { settings: settingsIn(args.userDataFolder) }),
    }),
    launchBrowser(host),
  ]);
  const page = await browser.newPage({
    viewport: { width: 1280, height: 800 },
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const log: string[] = [];
  const result = Promise.withResolvers<number>();
  await page.exposeFunction('codeAutomationLog', (_type: string, lines: unknown[]) => {
    log.push(lines.map(String).join(' '));
  });
  await page.exposeFunction('codeAutomationExit', (code: number) => result.resolve(code));
  page.on('crash', () => result.reject(new Error('the page crashed')));
  void server.ended.then(() => result.reject(new Error(`the server ended:\n${server?.output() ?? ''}`)));
  const timer = setTimeout(() => {
    result.reject(
      new Error(`no result within ${timeoutMs} ms. Last lines of the workbench:\n${log.slice(-40).join('\n')}`),
    );
  }, timeoutMs);
  try {
    await page.goto(
      server.url({
        extensionPath: args.extensionPath,
        testsPath: args.testsPath,
        ...(args.open === undefined ? {} : { open: args.open }),
      }),
    );
    const code = await result.promise;
    if (code !== 0)
      console.error(
        log
          .filter((line) => /error|fail/i.test(line))
          .slice(-20)
          .join('\n'),
      );
    return code === 0 ? 0 : 1;
  } finally {
    clearTimeout(timer);
  }
}

/** A prepared user data folder brings settings; the rest of it belongs to another kind of VS Code. */
function settingsIn(userDataFolder: string): Record<string, unknown> {
  const file = path.join(userDataFolder, 'User/settings.json');
  return fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, unknown>) : {};
}

onEndSignal((signal) => void finish(signal === 'SIGINT' ? 130 : 143));
try {
  await finish(await main());
} catch (error) {
  if (!state.finishing) console.error(`launcher: ${error instanceof Error ? error.message : String(error)}`);
  await finish(1);
}
