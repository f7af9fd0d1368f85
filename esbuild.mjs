// Builds the bundles.
//
//   node esbuild.mjs               dist/extension.js and dist/cli.js, for development
//   node esbuild.mjs --production  the same, minified, held against the size budget
//   node esbuild.mjs --tests       tests, workers, bench and the host suite into out/
//   node esbuild.mjs --watch       the first, with --tests the tests as well; builds again on changes
import { chmodSync, globSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as esbuild from 'esbuild';

const root = import.meta.dirname;
const flags = new Set(process.argv.slice(2));
for (const flag of flags) {
  if (!['--production', '--tests', '--watch'].includes(flag)) {
    console.error(`esbuild.mjs: unknown option ${flag}`);
    process.exit(2);
  }
}
const production = flags.has('--production');

/** What a bundle may weigh, minified. A hook pays for every byte of the command line at each call. */
const budgets = { 'dist/extension.js': 500_000, 'dist/cli.js': 440_000 };

/** @type {esbuild.BuildOptions} */
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  // The Node inside the oldest supported VS Code (engines.vscode).
  target: 'node22',
  format: 'cjs',
  logLevel: 'warning',
  charset: 'utf8',
};

/** @type {esbuild.BuildOptions} */
const product = {
  ...common,
  minify: production,
  // The .vsix holds no maps, so the shipped bundle must not point to one.
  sourcemap: production ? 'external' : 'linked',
  metafile: true,
};

/** @type {esbuild.BuildOptions[]} */
const productBuilds = [
  {
    ...product,
    entryPoints: { extension: 'src/extension.ts' },
    outdir: 'dist',
    external: ['vscode'],
  },
  {
    ...product,
    entryPoints: { cli: 'src/cli/main.ts' },
    outdir: 'dist',
    // `vscode` is not external here: a value import of it must break the build.
    banner: { js: '#!/usr/bin/env node' },
    plugins: [executable('dist/cli.js')],
  },
];

/** @type {esbuild.BuildOptions} */
const test = {
  ...common,
  target: 'node24',
  outdir: 'out',
  outbase: '.',
  packages: 'external',
  // Each test file is a bundle of its own, and a process that starts thousands of gits pays at each start for what it
  // holds in memory: no map is read before a stack is shown, and text in ASCII takes one byte per character.
  sourcemap: 'linked',
  sourcesContent: false,
  charset: 'ascii',
  define: { 'import.meta.dirname': '__dirname' },
};

const testBuilds = () => [
  {
    ...test,
    entryPoints: find([
      'test/**/*.test.ts',
      'test/**/*.worker.ts',
      'test/bench/*.ts',
      'test/ui/*.ts',
      'test/scripts/countingReporter.ts',
    ]).filter((file) => !file.startsWith('test/host/suite/')),
    plugins: [refuseVscode()],
  },
  // Runs inside the extension host, whose Node is that of the bundles.
  { ...test, target: 'node22', entryPoints: find(['test/host/suite/*.ts']) },
];

/** @param {string[]} patterns */
function find(patterns) {
  return globSync(patterns, { cwd: root })
    .map((file) => file.split(path.sep).join('/'))
    .sort();
}

/** @param {string} file @returns {esbuild.Plugin} */
function executable(file) {
  return {
    name: 'executable',
    setup: (build) =>
      build.onEnd((result) => {
        if (result.errors.length === 0) chmodSync(path.join(root, file), 0o755);
      }),
  };
}

/** With `packages: 'external'` esbuild would let a value import of `vscode` pass. @returns {esbuild.Plugin} */
function refuseVscode() {
  return {
    name: 'refuse-vscode',
    setup: (build) =>
      build.onResolve({ filter: /^vscode$/ }, () => ({
        errors: [{ text: 'only src/ui, src/extension.ts and test/host/suite may import vscode' }],
      })),
  };
}

/** @param {esbuild.BuildResult[]} results */
function checkBudgets(results) {
  let over = false;
  for (const result of results) {
    for (const [file, output] of Object.entries(result.metafile?.outputs ?? {})) {
      const budget = budgets[/** @type {keyof typeof budgets} */ (file)];
      if (budget === undefined) continue;
      const largest = Object.entries(output.inputs)
        .sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput)
        .slice(0, 5);
      if (output.bytes <= budget) {
        console.log(`${file}: ${kilobytes(output.bytes)} of ${kilobytes(budget)}`);
      } else {
        over = true;
        console.error(
          `${file} is ${kilobytes(output.bytes)}, over its budget of ${kilobytes(budget)} (esbuild.mjs). Largest inputs:`,
        );
        for (const [input, { bytesInOutput }] of largest) {
          console.error(`  ${kilobytes(bytesInOutput).padStart(8)}  ${input}`);
        }
      }
    }
  }
  if (over) process.exit(1);
}

/** @param {number} bytes */
function kilobytes(bytes) {
  return `${(bytes / 1000).toFixed(1)} kB`;
}

if (flags.has('--watch')) {
  const builds = flags.has('--tests') ? [...productBuilds, ...testBuilds()] : productBuilds;
  const report = {
    name: 'report',
    /** @param {esbuild.PluginBuild} build */
    setup(build) {
      // These two lines are what the problem matcher of .vscode/tasks.json looks for.
      build.onStart(() => console.log('[watch] build started'));
      build.onEnd((result) => {
        for (const { text, location } of result.errors) {
          const place = location ? `${location.file}:${location.line}:${location.column}: ` : '';
          console.error(`> ${place}error: ${text}`);
        }
        console.log('[watch] build finished');
      });
    },
  };
  for (const options of builds) {
    const context = await esbuild.context({
      ...options,
      plugins: [...(options.plugins ?? []), report],
      logLevel: 'silent',
    });
    await context.watch();
  }
} else {
  try {
    if (flags.has('--tests')) {
      // A test whose source is gone must not run again.
      rmSync(path.join(root, 'out/test'), { recursive: true, force: true });
      await Promise.all(
        testBuilds()
          .filter((options) => options.entryPoints.length > 0)
          .map((options) => esbuild.build(options)),
      );
    } else {
      const results = await Promise.all(productBuilds.map((options) => esbuild.build(options)));
      mkdirSync(path.join(root, 'out'), { recursive: true });
      writeFileSync(path.join(root, 'out/metafile.json'), JSON.stringify(results.map((result) => result.metafile)));
      if (production) checkBudgets(results);
    }
  } catch (error) {
    // esbuild has printed its own messages already.
    if (!(error instanceof Error && 'errors' in error)) throw error;
    process.exit(1);
  }
}
