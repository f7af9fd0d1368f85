// Typed lint. test/lint/lint.test.ts proves with sample violations that the rules bite.
import eslint from '@eslint/js';
import prettier from 'eslint-config-prettier';
import { defineConfig } from 'eslint/config';
import { builtinModules } from 'node:module';
import tseslint from 'typescript-eslint';

/** From left to right; a layer may use those to its left, not its neighbours in the same group. */
const order = [['base'], ['core'], ['git'], ['session'], ['agents'], ['cli', 'ui']];

const bareBuiltins = {
  regex: `^(${builtinModules.filter((name) => !name.startsWith('_')).join('|')})(/|$)`,
  message: 'Write node: before the name of a built-in module.',
};
const vscode = {
  name: 'vscode',
  message: 'Only src/ui, src/extension.ts and test/host/suite may know vscode, types included.',
};
const childProcess = {
  name: 'node:child_process',
  message: 'Processes are started only in src/git and src/agents.',
};
const reasonPure = 'src/base and src/core do no I/O: pass it in.';

/** The import rules of one layer. @param {string} layer @param {number} index */
function imports(layer, index) {
  const allowed = order.slice(0, index).flat();
  const above = order.flat().filter((other) => other !== layer && !allowed.includes(other));
  const pure = layer === 'base' || layer === 'core';
  return {
    paths: [
      ...(layer === 'ui' ? [] : [vscode]),
      ...(layer === 'git' || layer === 'agents' ? [] : [childProcess]),
      ...(pure ? [{ name: 'node:crypto', allowImportNames: ['createHash', 'Hash'], message: reasonPure }] : []),
    ],
    patterns: [
      bareBuiltins,
      {
        regex: `^(\\.\\./)+(${above.join('|')})/|^(\\.\\./)+extension$`,
        message: `src/${layer} may use only: ${allowed.join(', ') || 'nothing of ours'}.`,
      },
      { regex: '^(\\.\\./)+(test|out|dist)/', message: 'Source does not use tests or output.' },
      ...(pure
        ? [
            {
              regex: '^node:(?!(buffer|path/posix|crypto|zlib)$)',
              message: reasonPure,
            },
          ]
        : []),
    ],
  };
}

const noDefaultExport = {
  selector: 'ExportDefaultDeclaration, ExportSpecifier[exported.name="default"]',
  message: 'Named exports only.',
};
const syntax = [
  noDefaultExport,
  { selector: 'TSEnumDeclaration', message: 'A union of strings instead of an enum.' },
  { selector: 'TSModuleDeclaration[kind="namespace"]', message: 'Modules, not namespaces.' },
  { selector: 'Decorator', message: 'No decorators.' },
];
const clockSyntax = [
  {
    selector: 'NewExpression[callee.name="Date"][arguments.length=0]',
    message: 'Time is a parameter: take a clock.',
  },
];
const clockProperties = [
  { object: 'Date', property: 'now', message: 'Time is a parameter: take a clock.' },
  { object: 'Math', property: 'random', message: 'Randomness is a parameter.' },
  { object: 'AbortSignal', property: 'timeout', message: 'Time is a parameter: take a clock.' },
];
const clockGlobals = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'performance',
].map((name) => ({ name, message: 'Time is a parameter: take a clock.' }));
const ioGlobals = ['process', 'fetch', 'console', 'crypto', 'require', 'WebSocket'].map((name) => ({
  name,
  message: reasonPure,
}));

export default defineConfig(
  { ignores: ['node_modules/', 'dist/', 'out/', 'coverage/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      'no-restricted-syntax': ['error', ...syntax],
      'no-restricted-imports': ['error', { paths: [vscode], patterns: [bareBuiltins] }],
      eqeqeq: 'error',
      // git separates with NUL and other control characters, and names may hold them.
      'no-control-regex': 'off',
      // A number in a message is what it looks like; everything else still has to be spelled out.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // `() => emitter.fire()` reads well, and its result is used nowhere.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // An async method without await is how a synchronous answer meets an asynchronous interface.
      '@typescript-eslint/require-await': 'off',
      // There are no enums here, and these two took a third of the whole lint's time.
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      // `while (true)` is the plain way to write a loop that a return ends.
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      // A leading underscore says that a parameter is there for the signature only.
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
    },
  },
  ...order.flatMap((group, index) =>
    group.map((layer) => ({
      files: [`src/${layer}/**/*.ts`],
      rules: { 'no-restricted-imports': ['error', imports(layer, index)] },
    })),
  ),
  {
    files: ['src/extension.ts'],
    rules: {
      'no-restricted-imports': ['error', { paths: [childProcess], patterns: [bareBuiltins] }],
    },
  },
  {
    files: ['src/base/**/*.ts', 'src/core/**/*.ts'],
    ignores: ['src/base/clock.ts'],
    rules: {
      'no-restricted-globals': ['error', ...ioGlobals, ...clockGlobals],
      'no-restricted-properties': ['error', ...clockProperties],
      'no-restricted-syntax': ['error', ...syntax, ...clockSyntax],
    },
  },
  {
    files: ['src/base/clock.ts'],
    rules: { 'no-restricted-globals': ['error', ...ioGlobals] },
  },
  {
    files: ['test/host/suite/**/*.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: [bareBuiltins] }] },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // In a test a wrong `!` fails the test, which is what it is for.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // A recorder or a fake implements only what the test needs.
      '@typescript-eslint/no-empty-function': 'off',
    },
  },
  {
    files: ['**/*.{mjs,cjs}'],
    languageOptions: {
      globals: { process: 'readonly', console: 'readonly', module: 'writable' },
    },
  },
  {
    files: ['test/**/*.mjs'],
    languageOptions: { globals: { setTimeout: 'readonly', setInterval: 'readonly', clearInterval: 'readonly' } },
    rules: { 'no-restricted-syntax': ['error', noDefaultExport] },
  },
  prettier,
);
