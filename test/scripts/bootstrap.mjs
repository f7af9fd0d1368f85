// The way in for every npm script, so that a fresh clone needs nothing but git and npm.
// Runs on any Node from 18 on and uses no package: it sees to node_modules, and then runs
// the real script with the Node that the project pins (the npm package `node`).
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { acquireProcessLock, cacheFolder } from './processLock.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const modules = path.join(root, 'node_modules');
const marker = path.join(modules, '.bulkhead-installed');
const projectNode = path.join(modules, 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

/** Script names, and what Node runs for each. */
const scripts = {
  start: ['test/scripts/start.ts'],
  test: ['test/scripts/test.ts'],
  check: ['test/scripts/check.ts'],
  package: ['test/scripts/package.ts'],
  bench: ['test/scripts/bench.ts'],
  coverage: ['test/scripts/coverage.ts'],
  soak: ['test/scripts/soak.ts'],
  sample: ['test/scripts/sample.ts'],
  build: ['esbuild.mjs', '--production'],
  'build-development': ['esbuild.mjs'],
  'build-tests': ['esbuild.mjs', '--tests'],
  watch: ['esbuild.mjs', '--watch', '--tests'],
  format: ['node_modules/prettier/bin/prettier.cjs', '--write', '.'],
};

const [name = '', ...rest] = process.argv.slice(2);
const script = Object.hasOwn(scripts, name) ? scripts[/** @type {keyof typeof scripts} */ (name)] : undefined;
if (script === undefined) {
  console.error(`bootstrap: unknown script "${name}". Known: ${Object.keys(scripts).join(', ')}`);
  process.exit(2);
}
await install();
run(script, rest);

/** Names everything that decides what `npm ci` installs. */
function wanted() {
  const hash = createHash('sha256');
  hash.update(fs.readFileSync(path.join(root, 'package-lock.json')));
  const { dependencies, devDependencies, overrides } = readManifest();
  hash.update(JSON.stringify([dependencies, devDependencies, overrides]));
  hash.update(`${process.platform} ${process.arch}`);
  return hash.digest('hex');
}

function readManifest() {
  return JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
}

function isInstalled() {
  try {
    if (fs.readFileSync(marker, 'utf8').trim() !== wanted()) return false;
    // Somebody may have removed a part since.
    const { dependencies, devDependencies } = readManifest();
    return (
      fs.existsSync(projectNode) &&
      Object.keys({ ...dependencies, ...devDependencies }).every((name) =>
        fs.existsSync(path.join(modules, name, 'package.json')),
      )
    );
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return false;
    throw error;
  }
}

async function install() {
  if (isInstalled()) return;
  const release = await acquireProcessLock(
    path.join(cacheFolder(), `install-${createHash('sha256').update(root).digest('hex').slice(0, 12)}.lock`),
    (waited) => console.log(`Another process installs dependencies here; waiting, ${waited} s …`),
  );
  try {
    if (isInstalled()) return; // somebody else did it while we waited
    const half = fs.existsSync(modules) && !fs.existsSync(marker);
    console.log(
      half ? 'Dependencies are only half installed; running npm ci again …' : 'Installing dependencies (npm ci) …',
    );
    const started = Date.now();
    // Gone first: until the new one is written, nobody may believe in this folder.
    fs.rmSync(marker, { force: true });
    let ok = await npmCi(started);
    if (!ok) {
      console.log('npm ci failed; removing node_modules and trying once more …');
      fs.rmSync(modules, { recursive: true, force: true, maxRetries: 5 });
      ok = await npmCi(started);
    }
    if (!ok) fail('npm ci failed twice; its output is above.');
    if (!nodeWorks()) {
      // A user's `ignore-scripts`, or a newer npm's allow list, keeps the package's own script from running.
      spawnSync(process.execPath, ['installArchSpecificPackage.js'], {
        cwd: path.join(modules, 'node'),
        stdio: 'inherit',
      });
    }
    if (!nodeWorks()) fail(`${path.relative(root, projectNode)} is missing or does not start after npm ci.`);
    fs.writeFileSync(marker, `${wanted()}\n`);
    console.log(`Dependencies installed in ${seconds(started)} s.`);
  } finally {
    release();
  }
}

function nodeWorks() {
  return spawnSync(projectNode, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** @param {number} started @returns {Promise<boolean>} */
function npmCi(started) {
  const npm = process.env.npm_execpath;
  const args = [
    'ci',
    '--include=dev',
    '--include=optional',
    '--ignore-scripts=false',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ];
  const viaNode = npm !== undefined && /\.c?js$/.test(npm);
  return new Promise((resolve) => {
    const child = spawn(viaNode ? process.execPath : 'npm', viaNode ? [npm, ...args] : args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      // A group of its own, because install scripts start further programs.
      detached: process.platform !== 'win32',
      shell: !viaNode && process.platform === 'win32',
    });
    // An install that nobody waits for would run into the next one.
    const stop = () => {
      if (process.platform === 'win32') child.kill();
      else if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    };
    process.once('exit', stop);
    const progress = setInterval(() => console.log(`  npm ci, ${seconds(started)} s …`), 5000);
    child.on('error', (error) => {
      clearInterval(progress);
      fail(`npm could not be started: ${error.message}`);
    });
    child.on('close', (code) => {
      clearInterval(progress);
      process.removeListener('exit', stop);
      resolve(code === 0);
    });
  });
}

/** @param {string[]} target @param {string[]} args */
function run(target, args) {
  const bin = path.dirname(projectNode);
  const pathName = Object.keys(process.env).find((key) => key.toUpperCase() === 'PATH') ?? 'PATH';
  const child = spawn(
    projectNode,
    // The scripts are TypeScript modules in a package without a "type", which Node remarks on.
    ['--disable-warning=MODULE_TYPELESS_PACKAGE_JSON', ...target, ...args],
    {
      cwd: root,
      stdio: 'inherit',
      env: {
        ...process.env,
        [pathName]: [bin, process.env[pathName]].join(path.delimiter),
        // Where the person stood, for relative arguments.
        BULKHEAD_CALLED_FROM: process.env.INIT_CWD || process.cwd(),
      },
    },
  );
  // Ctrl-C reaches the child by itself; this process only has to outlive it and pass on the rest.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail(error.message));
  child.on('close', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1);
  });
}

/** @param {number} started */
function seconds(started) {
  return Math.round((Date.now() - started) / 1000);
}

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(`bootstrap: ${message}`);
  process.exit(1);
}
