// Layers, cycles and orphans. test/lint/layers.test.ts proves that each rule bites.

/** From left to right; a layer may use those to its left, not its neighbours in the same group. */
const order = [['base'], ['core'], ['git'], ['session'], ['agents'], ['cli', 'ui']];

const layerRules = order.flatMap((group, index) =>
  group.map((layer) => {
    const allowed = order.slice(0, index).flat();
    const above = order
      .flat()
      .filter((other) => other !== layer && !allowed.includes(other))
      .concat('extension\\.ts$');
    return {
      name: `layer-${layer}`,
      comment: `src/${layer} may use only ${allowed.join(', ') || 'nothing of ours'}.`,
      severity: 'error',
      from: { path: `^src/${layer}/` },
      to: { path: `^src/(${above.join('|')})(/|$)` },
    };
  }),
);

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: 'vscode-only-in-ui',
      comment:
        'With @types/vscode installed, the bare name resolves into node_modules: both are matched. A type is a dependency too.',
      severity: 'error',
      from: { path: '^(src|test)/', pathNot: '^(src/ui/|src/extension\\.ts$|test/host/suite/)' },
      to: { path: '(^|/)node_modules/@types/vscode/|^vscode$' },
    },
    {
      name: 'pure-layers',
      comment: 'src/base and src/core touch no file, process, clock or network.',
      severity: 'error',
      from: { path: '^src/(base|core)/' },
      to: {
        dependencyTypes: ['core'],
        pathNot: '^(node:)?(buffer|path/posix|crypto|zlib)$',
      },
    },
    {
      name: 'pure-layers-no-packages',
      comment: 'A package could do what the layer must not; picomatch only compares strings.',
      severity: 'error',
      from: { path: '^src/(base|core)/' },
      to: { dependencyTypes: ['npm', 'npm-dev'], pathNot: '(^|/)node_modules/(@types/node|(@types/)?picomatch)/' },
    },
    {
      name: 'processes-only-in-git-and-agents',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(git|agents)/' },
      to: { path: '^(node:)?child_process$' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: {
        orphan: true,
        path: '^src/',
        pathNot: '^src/(extension|cli/main)\\.ts$',
      },
      to: {},
    },
    {
      name: 'not-reached',
      comment: 'Source that neither bundle nor a test uses.',
      severity: 'error',
      from: { path: '^(src/(extension|cli/main)\\.ts|test/.*)$' },
      to: { path: '^src/', reachable: false, pathNot: '^src/(extension|cli/main)\\.ts$' },
    },
    {
      name: 'source-uses-no-test',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|out|dist)/' },
    },
    {
      name: 'source-uses-no-dev-dependency',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], pathNot: '/@types/' },
    },
    {
      name: 'not-resolvable',
      severity: 'error',
      // It loads what the build makes.
      from: { pathNot: '^test/scripts/reporter\\.cjs$' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    // The package `esbuild` would be taken for this file, which is no source.
    exclude: { path: '^esbuild\\.mjs$' },
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.mjs', '.js', '.d.ts'] },
  },
};
