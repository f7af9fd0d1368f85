// Installs a real VS Code where the desktop one cannot be downloaded: code-server from npm, a Node
// for it, and a headless Chromium. Not devDependencies, because code-server's own install script
// refuses other Nodes and takes the whole install down. Everything goes into a cache folder named
// after the lock file beside this module; the marker is written last.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { promisify } from 'node:util';
import { acquireProcessLock, cacheFolder, inRoot } from '../scripts/project.ts';
import { run } from '../scripts/run.ts';

export interface Host {
  /** The Node that code-server wants. */
  readonly node: string;
  /** The script that starts the server. */
  readonly server: string;
  readonly browser: string;
  readonly browserEnvironment: Readonly<Record<string, string>>;
}

/** Raise when the steps below change, so that older installations are not taken for finished. */
const format = 2;

type Say = (line: string) => void;

/** About a minute from empty caches, nothing after that. */
export async function ensureHost(say: Say = console.log): Promise<Host> {
  const lockFile = fs.readFileSync(inRoot('test/host/installation/package-lock.json'));
  const key = createHash('sha256')
    .update(lockFile)
    .update(`${process.platform} ${process.arch} ${format}`)
    .digest('hex')
    .slice(0, 12);
  const folder = path.join(cacheFolder(), `host-${key}`);
  const marker = path.join(folder, 'installed');
  if (!fs.existsSync(marker)) {
    const release = await acquireProcessLock(`${folder}.lock`, (waited) =>
      say(`VS Code host: another process installs it; waiting, ${waited} s …`),
    );
    try {
      if (!fs.existsSync(marker)) await install(folder, marker, say);
    } finally {
      release();
    }
  }
  return {
    node: nodeIn(folder),
    server: path.join(folder, 'node_modules/code-server/out/node/entry.js'),
    ...(await findBrowser(folder, say)),
  };
}

async function install(folder: string, marker: string, say: Say): Promise<void> {
  const started = Date.now();
  const step = async (what: string, work: () => Promise<void>) => {
    say(`VS Code host: ${what} …`);
    const from = Date.now();
    const ticker = setInterval(
      () => say(`VS Code host: ${what}, ${Math.round((Date.now() - from) / 1000)} s …`),
      10_000,
    );
    try {
      await work();
    } finally {
      clearInterval(ticker);
    }
  };
  say(`VS Code host: installing code-server and a browser into ${folder} (once)`);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  for (const file of ['package.json', 'package-lock.json', '.npmrc']) {
    fs.copyFileSync(inRoot('test/host/installation', file), path.join(folder, file));
  }
  await step('downloading code-server', () => npm(folder, folder, ['ci', '--ignore-scripts']));

  const vscode = path.join(folder, 'node_modules/code-server/lib/vscode');
  const unpacking = unpackBrowser(folder);
  // Awaited at the end; until then a failure of it must not count as nobody's.
  unpacking.catch(() => undefined);
  await step('its dependencies', async () => {
    const args = ['ci', '--omit=dev', '--ignore-scripts'];
    await npm(folder, vscode, [...args, '--legacy-peer-deps']);
    await npm(folder, path.join(vscode, 'extensions'), args);
  });
  if (await hasCompiler()) {
    await step('its native modules', async () => {
      try {
        await npm(folder, vscode, ['rebuild', '@vscode/spdlog', '@vscode/native-watchdog']);
      } catch {
        // Without them only log files and log channels are missing.
        say('VS Code host: native modules could not be built; going on without log files');
      }
    });
  } else {
    say('VS Code host: no C++ compiler; going on without native modules (no log files)');
  }
  await step('the browser', () => unpacking);

  for (const unused of ['extensions/copilot', 'node_modules/@github']) {
    fs.rmSync(path.join(vscode, unused), { recursive: true, force: true });
  }
  fs.writeFileSync(marker, `${new Date().toISOString()}\n`);
  say(`VS Code host: installed in ${Math.round((Date.now() - started) / 1000)} s`);
}

function nodeIn(folder: string): string {
  const own = path.join(folder, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
  // Elsewhere than on Linux the project's Node, which runs this script, is of the same version.
  return fs.existsSync(own) ? own : process.execPath;
}

async function npm(folder: string, cwd: string, args: readonly string[]): Promise<void> {
  const node = nodeIn(folder);
  const environment: NodeJS.ProcessEnv = { ...process.env };
  // An outer npm passes its own command's settings down; only where to install from may stay.
  for (const name of Object.keys(environment)) {
    if (
      /^npm_/i.test(name) &&
      !/^npm_(execpath|config_(.*registry|cache|.*proxy|cafile|userconfig|globalconfig|.*auth.*|strict_ssl))$/i.test(
        name,
      )
    ) {
      // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a copy, about to be passed on
      delete environment[name];
    }
  }
  environment['npm_config_nodedir'] = path.resolve(path.dirname(node), '..');
  environment['PATH'] = [path.dirname(node), process.env['PATH']].join(path.delimiter);
  const execPath = process.env['npm_execpath'];
  const viaNode = execPath !== undefined && /\.c?js$/.test(execPath);
  const result = await run(
    viaNode ? node : 'npm',
    [...(viaNode ? [execPath] : []), ...args, '--no-audit', '--no-fund', '--loglevel=error'],
    { cwd, env: environment, timeoutMs: 10 * 60_000 },
  );
  if (result.code !== 0) {
    throw new Error(`npm ${args.join(' ')} in ${cwd} ended with ${result.code ?? result.signal}:\n${result.output}`);
  }
}

async function hasCompiler(): Promise<boolean> {
  for (const tool of ['g++', 'make', 'python3']) {
    if (!(await works(tool, {}))) return false;
  }
  return true;
}

async function works(program: string, env: Readonly<Record<string, string>>): Promise<boolean> {
  try {
    const result = await run(program, ['--version'], {
      cwd: '/',
      env: { ...process.env, ...env },
      timeoutMs: 20_000,
    });
    return result.code === 0;
  } catch {
    return false; // not on the PATH
  }
}

/** The package carries archives made for a machine that has nothing: the browser and the libraries it wants. */
async function unpackBrowser(folder: string): Promise<void> {
  const archives = path.join(folder, 'node_modules/@sparticuz/chromium/bin');
  const target = path.join(folder, 'browser');
  fs.mkdirSync(target, { recursive: true });
  const decompress = promisify(zlib.brotliDecompress);
  for (const name of ['al2023.tar', 'swiftshader.tar', 'chromium']) {
    const source = path.join(archives, `${name}.br`);
    const file = path.join(target, name);
    fs.writeFileSync(file, await decompress(fs.readFileSync(source)), { mode: 0o755 });
    if (name.endsWith('.tar')) {
      const result = await run('tar', ['-xf', file, '-C', target], { cwd: target });
      if (result.code !== 0) throw new Error(`tar -xf ${file}: ${result.output}`);
      fs.rmSync(file);
    }
  }
  // The archives are 70 MB that nobody needs again.
  fs.rmSync(archives, { recursive: true, force: true });
  // Bare machines have no fonts at all, and an editor wants a monospaced one.
  fs.writeFileSync(
    path.join(target, 'fonts.conf'),
    `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${path.join(folder, 'node_modules/dejavu-fonts-ttf/ttf')}</dir>
  <selectfont><rejectfont><glob>*Serif*</glob><glob>*Condensed*</glob><glob>*TeX*</glob></rejectfont></selectfont>
  <cachedir>${path.join(target, 'fonts-cache')}</cachedir>
  <alias binding="strong"><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
  <alias binding="strong"><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias binding="strong"><family>system-ui</family><prefer><family>DejaVu Sans</family></prefer></alias>
</fontconfig>
`,
  );
}

async function findBrowser(folder: string, say: Say): Promise<Pick<Host, 'browser' | 'browserEnvironment'>> {
  const named = process.env['BULKHEAD_TEST_BROWSER'];
  if (named !== undefined) return { browser: named, browserEnvironment: {} };

  const unpacked = path.join(folder, 'browser');
  const bundled = {
    browser: path.join(unpacked, 'chromium'),
    browserEnvironment: {
      // The system's own libraries first, ours for those that are missing.
      LD_LIBRARY_PATH: ['/lib64', '/usr/lib64', path.join(unpacked, 'lib')].join(':'),
      FONTCONFIG_FILE: path.join(unpacked, 'fonts.conf'),
    },
  };
  if (process.platform === 'linux' && (await works(bundled.browser, bundled.browserEnvironment))) {
    return bundled;
  }
  const candidates = [
    'chromium',
    'chromium-browser',
    'google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  ];
  const find = async () => {
    for (const browser of candidates) {
      if (await works(browser, {})) return { browser: await resolveProgram(browser), browserEnvironment: {} };
    }
    return undefined;
  };
  const found = await find();
  if (found !== undefined) return found;
  if (process.getuid?.() === 0 && (await works('apt-get', {}))) {
    say('VS Code host: the bundled browser does not start; apt-get install chromium …');
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const options = { cwd: '/', env, timeoutMs: 5 * 60_000 };
    await run('apt-get', ['update'], options);
    await run('apt-get', ['install', '-y', '--no-install-recommends', 'chromium'], options);
    const installed = await find();
    if (installed !== undefined) return installed;
  }
  throw new Error(
    'No browser for the VS Code host: install Chromium (Debian: apt-get install chromium), or name one in BULKHEAD_TEST_BROWSER.',
  );
}

async function resolveProgram(program: string): Promise<string> {
  if (path.isAbsolute(program)) return program;
  const result = await run('sh', ['-c', `command -v ${program}`], { cwd: '/' });
  return result.output.trim();
}
