// `npm start [-- FOLDER] [--port N] [--fresh]`: builds the extension and opens a VS Code with it.
import fs from 'node:fs';
import path from 'node:path';
import { ensureHost } from '../host/install.ts';
import { startServer } from '../host/server.ts';
import { cacheFolder, fromCaller, root } from './project.ts';
import { endGroup, onEndSignal, run, spawnGroup } from './run.ts';
import { sampleRepository } from './sample.ts';

interface Options {
  readonly folder: string;
  readonly port: number;
}

function readOptions(argv: readonly string[]): Options {
  let folder: string | undefined;
  let port = 0;
  let fresh = false;
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? '';
    if (argument === '--port') {
      port = Number(argv[++index]);
      if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error('--port wants a port number');
    } else if (argument === '--fresh') {
      fresh = true;
    } else if (argument.startsWith('-')) {
      throw new Error(`unknown option ${argument}`);
    } else if (folder === undefined) {
      folder = fromCaller(argument);
    } else {
      throw new Error('only one folder can be opened');
    }
  }
  if (folder === undefined) return { folder: sampleRepository(undefined, { fresh }), port };
  const stat = fs.statSync(folder, { throwIfNoEntry: false });
  if (stat === undefined) throw new Error(`${folder} does not exist`);
  if (!stat.isDirectory() && !folder.endsWith('.code-workspace')) {
    throw new Error(`${folder} is not a folder`);
  }
  return { folder, port };
}

/** Desktop VS Code, if it is installed and could show a window. */
async function findDesktop(): Promise<string | undefined> {
  // Inside a remote terminal `code` only talks to the window around it.
  if (process.env['VSCODE_IPC_HOOK_CLI'] !== undefined) return undefined;
  if (process.platform === 'linux' && !(process.env['DISPLAY'] ?? process.env['WAYLAND_DISPLAY'] ?? '')) {
    return undefined;
  }
  try {
    const code = process.platform === 'win32' ? 'code.cmd' : 'code';
    const { code: exit } = await run(code, ['--version'], { cwd: root, timeoutMs: 15_000 });
    return exit === 0 ? code : undefined;
  } catch {
    return undefined; // not on the PATH
  }
}

async function main(): Promise<void> {
  const { folder, port } = readOptions(process.argv.slice(2));
  const build = await run(process.execPath, ['esbuild.mjs'], { cwd: root });
  if (build.code !== 0) throw new Error(`the build failed:\n${build.output}`);

  const desktop = await findDesktop();
  if (desktop === undefined) await startInBrowser(folder, port);
  else await startDesktop(desktop, folder);
}

async function startDesktop(code: string, folder: string): Promise<void> {
  console.log(`Opening ${folder} in desktop VS Code, with settings of its own.`);
  console.log('Close the window or press Ctrl-C to end.');
  const data = path.join(cacheFolder(), 'desktop-start');
  const child = spawnGroup(
    code,
    [
      '--new-window',
      '--wait',
      `--extensionDevelopmentPath=${root}`,
      `--user-data-dir=${path.join(data, 'data')}`,
      `--extensions-dir=${path.join(data, 'extensions')}`,
      folder,
    ],
    { cwd: root, stdio: 'inherit' },
  );
  onEndSignal(() => {
    process.exitCode = 130;
    void endGroup(child);
  });
  await new Promise<void>((resolve, reject) => {
    child.once('close', () => resolve());
    child.once('error', reject);
  });
}

async function startInBrowser(folder: string, port: number): Promise<void> {
  console.log('Desktop VS Code is not here (no `code` or no display): using code-server.');
  const host = await ensureHost();
  // Kept between starts: what a person sets up here stays.
  const server = await startServer(host, {
    userDataFolder: path.join(cacheFolder(), 'start-data'),
    port,
    extensions: [root],
    settings: { 'chat.disableAIFeatures': false },
  });
  const state = { stopped: false };
  onEndSignal((signal) => {
    state.stopped = true;
    console.log('\nStopping …');
    process.exitCode = signal === 'SIGINT' ? 0 : 143;
    void server.dispose();
  });
  console.log(`\nBulkhead in VS Code, with ${folder}:\n`);
  console.log(`  ${server.url({ open: folder })}\n`);
  console.log('Open this address in a browser. Ctrl-C ends it.');
  await server.ended;
  if (!state.stopped) throw new Error(`the server ended by itself:\n${server.output()}`);
}

try {
  await main();
} catch (error) {
  console.error(`npm start: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
