// One code-server with folders of its own: VS Code's server, extension host and workbench.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { endGroup, run, spawnGroup } from '../scripts/run.ts';
import { inRoot } from '../scripts/project.ts';
import type { Host } from './install.ts';

export interface ServerOptions {
  /** User settings, on top of those that keep the workbench quiet. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Added to the environment of the server and so of the extension host. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ask whether a folder is to be trusted, as VS Code does by default. */
  readonly workspaceTrust?: boolean;
  /** Extensions to install before the start: `.vsix` files, or folders that are used in place. */
  readonly extensions?: readonly string[];
  /**
   * Lets a page name an extension and a suite under test. Not for people or UI tests: with it the
   * workbench shows no notifications.
   */
  readonly testDriver?: boolean;
  /** Kept from one start to the next; without it, it is a temporary folder. */
  readonly userDataFolder?: string;
  readonly port?: number;
  readonly startTimeoutMs?: number;
}

export interface PageOptions {
  /** A folder or a `.code-workspace` file. */
  readonly open?: string;
  readonly extensionPath?: string;
  readonly testsPath?: string;
  /** Further pairs of the workbench's payload. */
  readonly payload?: readonly (readonly [string, string])[];
}

export interface Server {
  readonly port: number;
  readonly url: (page: PageOptions) => string;
  readonly userDataFolder: string;
  /** What the server has written so far. */
  readonly output: () => string;
  /** Resolves when the server is gone, wanted or not. */
  readonly ended: Promise<void>;
  readonly dispose: () => Promise<void>;
}

const quietSettings = {
  'workbench.startupEditor': 'none',
  'chat.disableAIFeatures': true,
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'telemetry.telemetryLevel': 'off',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.tips.enabled': false,
  'terminal.integrated.gpuAcceleration': 'off',
  'git.autofetch': false,
  'git.openRepositoryInParentFolders': 'never',
  'security.workspace.trust.enabled': false,
  // No `npm install` of types behind a test's back, and no analysis of whole projects: it took a core for each window. Each under
  // its former and its present name.
  'typescript.disableAutomaticTypeAcquisition': true,
  'js/ts.tsserver.automaticTypeAcquisition.enabled': false,
  'typescript.tsserver.useSyntaxServer': 'always',
  'js/ts.tsserver.useSyntaxServer': 'always',
};

export async function startServer(host: Host, options: ServerOptions = {}): Promise<Server> {
  // Short, because unix sockets below it may have no more than 107 characters.
  const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'bh-'));
  const removeTemporary = () => fs.rmSync(temporary, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  try {
    return await start(host, options, temporary, removeTemporary);
  } catch (error) {
    removeTemporary();
    throw error;
  }
}

async function start(
  host: Host,
  options: ServerOptions,
  temporary: string,
  removeTemporary: () => void,
): Promise<Server> {
  const userDataFolder = options.userDataFolder ?? path.join(temporary, 'data');
  const settingsFile = path.join(userDataFolder, 'User/settings.json');
  fs.mkdirSync(path.dirname(settingsFile), { recursive: true });
  // A kept folder keeps what the person has set there.
  if (!fs.existsSync(settingsFile)) {
    fs.writeFileSync(settingsFile, JSON.stringify({ ...quietSettings, ...options.settings }, undefined, 2));
  }
  const config = path.join(temporary, 'config.yaml');
  fs.writeFileSync(config, '{}\n');
  const env = serverEnvironment(temporary, options.env ?? {});
  const folders = [
    '--config',
    config,
    '--user-data-dir',
    userDataFolder,
    '--extensions-dir',
    path.join(userDataFolder, 'extensions'),
  ];
  for (const extension of options.extensions ?? []) {
    if (extension.endsWith('.vsix')) {
      const args = [host.server, ...folders, '--install-extension', extension];
      const result = await run(host.node, args, { cwd: temporary, env, timeoutMs: 60_000 });
      if (result.code !== 0) throw new Error(`Installing ${extension} failed:\n${result.output}`);
    } else {
      linkExtension(extension, path.join(userDataFolder, 'extensions'));
    }
  }

  const child = spawnGroup(
    process.execPath,
    [
      '--disable-warning=MODULE_TYPELESS_PACKAGE_JSON',
      inRoot('test/host/guard.ts'),
      temporary,
      host.node,
      host.server,
      ...folders,
      '--bind-addr',
      `127.0.0.1:${options.port ?? 0}`,
      '--auth',
      'none',
      '--disable-telemetry',
      '--disable-update-check',
      ...(options.workspaceTrust === true ? [] : ['--disable-workspace-trust']),
      '--disable-getting-started-override',
      '--ignore-last-opened',
      // Without it the payload below is ignored silently, and tests never start.
      ...(options.testDriver === true ? ['--vscode-option', 'enable-smoke-test-driver'] : []),
    ],
    { cwd: temporary, env, stdio: ['pipe', 'pipe', 'pipe'] },
  );
  let output = '';
  const listening = Promise.withResolvers<number>();
  const collect = (chunk: string) => {
    output += chunk;
    const match = /HTTP server listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(output);
    if (match !== null) listening.resolve(Number(match[1]));
  };
  child.stdin?.on('error', () => undefined); // the guard may be gone before us
  child.stdout?.setEncoding('utf8').on('data', collect);
  child.stderr?.setEncoding('utf8').on('data', collect);
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', (error) => {
      listening.reject(error);
      resolve();
    });
  });
  void ended.then(() => listening.reject(new Error(`The server ended:\n${output}`)));
  const timer = setTimeout(
    () => listening.reject(new Error(`The server does not listen:\n${output}`)),
    options.startTimeoutMs ?? 60_000,
  );
  const dispose = async () => {
    await endGroup(child);
    removeTemporary();
  };
  let port: number;
  try {
    port = await listening.promise;
  } catch (error) {
    await endGroup(child);
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return {
    port,
    url: (page) => pageUrl(port, page),
    userDataFolder,
    output: () => output,
    ended,
    dispose,
  };
}

/** Enters an unpacked extension as an installed one, so that every window has it, without a copy. */
function linkExtension(extension: string, extensionsFolder: string): void {
  const { publisher, name, version } = JSON.parse(fs.readFileSync(path.join(extension, 'package.json'), 'utf8')) as {
    readonly publisher: string;
    readonly name: string;
    readonly version: string;
  };
  const id = `${publisher}.${name}`;
  const link = path.join(extensionsFolder, `${id}-${version}`);
  fs.mkdirSync(extensionsFolder, { recursive: true });
  fs.rmSync(link, { recursive: true, force: true });
  fs.symlinkSync(extension, link, 'junction');
  const list = path.join(extensionsFolder, 'extensions.json');
  const entries = (
    fs.existsSync(list) ? (JSON.parse(fs.readFileSync(list, 'utf8')) as { identifier: { id: string } }[]) : []
  ).filter((entry) => entry.identifier.id !== id);
  const location = { $mid: 1, path: link, scheme: 'file' };
  fs.writeFileSync(
    list,
    JSON.stringify([...entries, { identifier: { id }, version, location, relativeLocation: path.basename(link) }]),
  );
}

function pageUrl(port: number, page: PageOptions): string {
  const authority = `127.0.0.1:${port}`;
  const remote = (file: string) => `vscode-remote://${authority}${encodeURI(file)}`;
  const query = [
    page.open === undefined
      ? 'ew=true' // otherwise the server opens what was open last
      : `${page.open.endsWith('.code-workspace') ? 'workspace' : 'folder'}=${encodeQuery(page.open)}`,
  ];
  const payload = [
    ...(page.extensionPath === undefined ? [] : [['extensionDevelopmentPath', remote(page.extensionPath)] as const]),
    ...(page.testsPath === undefined ? [] : [['extensionTestsPath', remote(page.testsPath)] as const]),
    ...(page.payload ?? []),
  ];
  if (payload.length > 0) query.push(`payload=${encodeQuery(JSON.stringify(payload))}`);
  return `http://${authority}/?${query.join('&')}`;
}

/** Slashes stay: the address is printed for people. */
function encodeQuery(value: string): string {
  return encodeURIComponent(value).replaceAll('%2F', '/');
}

/** Nothing of an outer VS Code or npm gets in, and nothing of ours gets into the person's folders. */
function serverEnvironment(temporary: string, added: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!/^(VSCODE_|ELECTRON_|npm_|NODE_OPTIONS$|PORT$|PASSWORD$|CODE_SERVER_)/i.test(name)) {
      env[name] = value;
    }
  }
  for (const name of ['CONFIG_HOME', 'DATA_HOME', 'STATE_HOME', 'CACHE_HOME', 'RUNTIME_DIR']) {
    const folder = path.join(temporary, `x${name.slice(0, 2).toLowerCase()}`);
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    env[`XDG_${name}`] = folder;
  }
  // No gallery: the workbench would ask it about the extension under test.
  return { ...env, EXTENSIONS_GALLERY: '{}', ...added };
}
