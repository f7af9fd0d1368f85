// Typed lint: the strict set of typescript-eslint and the recommended one of ESLint, as oxlint has them.
// test/lint/lint.test.ts proves with sample violations that the rules bite.
import { builtinModules } from 'node:module';
import { fileURLToPath } from 'node:url';
import { defineConfig, type OxlintOverride } from 'oxlint';

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

const pureBuiltins = ['buffer', 'path/posix', 'crypto', 'zlib'];
// One by one: oxlint's regular expressions cannot look ahead.
const impureBuiltins = builtinModules
  .map((name) => name.replace(/^node:/, ''))
  .filter((name) => !pureBuiltins.includes(name));

/** The import rules of one layer. */
function imports(layer: string, index: number) {
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
              regex: `^node:(${impureBuiltins.join('|')})$`,
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

export default defineConfig({
  // Rules are named one by one, so that a new version of oxlint neither brings nor drops any unasked.
  categories: { correctness: 'off' },
  plugins: ['typescript'],
  jsPlugins: [{ name: 'local', specifier: fileURLToPath(new URL('test/lint/syntaxRule.mjs', import.meta.url)) }],
  options: { typeAware: true, denyWarnings: true, reportUnusedDisableDirectives: 'error' },
  ignorePatterns: ['node_modules/', 'dist/', 'out/', 'coverage/'],
  rules: {
    'for-direction': 'error',
    'no-async-promise-executor': 'error',
    'no-case-declarations': 'error',
    'no-compare-neg-zero': 'error',
    'no-cond-assign': 'error',
    'no-constant-binary-expression': 'error',
    // `while (true)` is the plain way to write a loop that a return ends.
    'no-constant-condition': ['error', { checkLoops: 'allExceptWhileTrue' }],
    'no-debugger': 'error',
    'no-delete-var': 'error',
    'no-dupe-else-if': 'error',
    'no-duplicate-case': 'error',
    'no-empty': 'error',
    'no-empty-character-class': 'error',
    'no-empty-pattern': 'error',
    'no-empty-static-block': 'error',
    'no-ex-assign': 'error',
    'no-extra-boolean-cast': 'error',
    'no-fallthrough': 'error',
    'no-global-assign': 'error',
    'no-invalid-regexp': 'error',
    'no-irregular-whitespace': 'error',
    'no-loss-of-precision': 'error',
    'no-misleading-character-class': 'error',
    'no-nonoctal-decimal-escape': 'error',
    'no-prototype-builtins': 'error',
    'no-regex-spaces': 'error',
    'no-self-assign': 'error',
    'no-shadow-restricted-names': 'error',
    'no-sparse-arrays': 'error',
    'no-unassigned-vars': 'error',
    'no-unsafe-finally': 'error',
    'no-unsafe-optional-chaining': 'error',
    'no-unused-labels': 'error',
    'no-unused-private-class-members': 'error',
    // With an empty object, because without one oxlint lets a leading underscore pass.
    'no-unused-vars': ['error', {}],
    'no-useless-assignment': 'error',
    'no-useless-backreference': 'error',
    'no-useless-catch': 'error',
    'no-useless-escape': 'error',
    'preserve-caught-error': 'error',
    'require-yield': 'error',
    'use-isnan': 'error',
    'valid-typeof': 'error',
  },
  overrides: [
    {
      files: ['**/*.{ts,mts}'],
      rules: {
        'no-array-constructor': 'error',
        'no-unused-expressions': 'error',
        'no-useless-constructor': 'error',
        eqeqeq: 'error',
        'no-var': 'error',
        'prefer-const': 'error',
        'prefer-rest-params': 'error',
        'prefer-spread': 'error',
        'typescript/await-thenable': 'error',
        'typescript/ban-ts-comment': ['error', { minimumDescriptionLength: 10 }],
        'typescript/consistent-type-imports': 'error',
        'typescript/no-array-delete': 'error',
        'typescript/no-base-to-string': 'error',
        // `() => emitter.fire()` reads well, and its result is used nowhere.
        'typescript/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
        'typescript/no-deprecated': 'error',
        'typescript/no-duplicate-enum-values': 'error',
        'typescript/no-duplicate-type-constituents': 'error',
        'typescript/no-dynamic-delete': 'error',
        'typescript/no-empty-object-type': 'error',
        'typescript/no-explicit-any': 'error',
        'typescript/no-extra-non-null-assertion': 'error',
        'typescript/no-extraneous-class': 'error',
        'typescript/no-floating-promises': 'error',
        'typescript/no-for-in-array': 'error',
        'typescript/no-generated-empty-object-type': 'error',
        'typescript/no-implied-eval': 'error',
        'typescript/no-invalid-void-type': 'error',
        'typescript/no-meaningless-void-operator': 'error',
        'typescript/no-misused-new': 'error',
        'typescript/no-misused-promises': 'error',
        'typescript/no-misused-spread': 'error',
        'typescript/no-mixed-enums': 'error',
        'typescript/no-namespace': 'error',
        'typescript/no-non-null-asserted-nullish-coalescing': 'error',
        'typescript/no-non-null-asserted-optional-chain': 'error',
        'typescript/no-non-null-assertion': 'error',
        'typescript/no-redundant-type-constituents': 'error',
        'typescript/no-require-imports': 'error',
        'typescript/no-this-alias': 'error',
        'typescript/no-unnecessary-boolean-literal-compare': 'error',
        'typescript/no-unnecessary-condition': ['error', { allowConstantLoopConditions: 'only-allowed-literals' }],
        'typescript/no-unnecessary-template-expression': 'error',
        'typescript/no-unnecessary-type-arguments': 'error',
        'typescript/no-unnecessary-type-assertion': 'error',
        'typescript/no-unnecessary-type-constraint': 'error',
        'typescript/no-unnecessary-type-conversion': 'error',
        'typescript/no-unnecessary-type-parameters': 'error',
        'typescript/no-unsafe-argument': 'error',
        'typescript/no-unsafe-assignment': 'error',
        'typescript/no-unsafe-call': 'error',
        'typescript/no-unsafe-declaration-merging': 'error',
        'typescript/no-unsafe-enum-comparison': 'error',
        'typescript/no-unsafe-function-type': 'error',
        'typescript/no-unsafe-member-access': 'error',
        'typescript/no-unsafe-return': 'error',
        'typescript/no-unsafe-unary-minus': 'error',
        // A leading underscore says that a parameter is there for the signature only.
        'no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
        'typescript/no-useless-default-assignment': 'error',
        'typescript/no-wrapper-object-types': 'error',
        'typescript/only-throw-error': 'error',
        'typescript/prefer-as-const': 'error',
        'typescript/prefer-literal-enum-member': 'error',
        'typescript/prefer-namespace-keyword': 'error',
        'typescript/prefer-promise-reject-errors': 'error',
        'typescript/prefer-reduce-type-parameter': 'error',
        'typescript/prefer-return-this-type': 'error',
        'typescript/related-getter-setter-pairs': 'error',
        'typescript/restrict-plus-operands': [
          'error',
          {
            allowAny: false,
            allowBoolean: false,
            allowNullish: false,
            allowNumberAndString: false,
            allowRegExp: false,
          },
        ],
        // A number in a message is what it looks like; everything else still has to be spelled out.
        'typescript/restrict-template-expressions': ['error', { allowNumber: true }],
        'typescript/return-await': ['error', 'error-handling-correctness-only'],
        'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
        'typescript/triple-slash-reference': 'error',
        'typescript/unbound-method': 'error',
        'typescript/unified-signatures': 'error',
        'typescript/use-unknown-in-catch-callback-variable': 'error',
        'no-restricted-imports': ['error', { paths: [vscode], patterns: [bareBuiltins] }],
        'local/no-restricted-syntax': ['error', ...syntax],
      },
    },
    ...order.flatMap((group, index) =>
      group.map((layer): OxlintOverride => ({
        files: [`src/${layer}/**/*.ts`],
        rules: { 'no-restricted-imports': ['error', imports(layer, index)] },
      })),
    ),
    {
      files: ['src/extension.ts'],
      rules: { 'no-restricted-imports': ['error', { paths: [childProcess], patterns: [bareBuiltins] }] },
    },
    {
      files: ['src/base/**/*.ts', 'src/core/**/*.ts'],
      excludeFiles: ['src/base/clock.ts'],
      rules: {
        'no-restricted-globals': ['error', ...ioGlobals, ...clockGlobals],
        'no-restricted-properties': ['error', ...clockProperties],
        'local/no-restricted-syntax': ['error', ...syntax, ...clockSyntax],
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
        'typescript/no-non-null-assertion': 'off',
      },
    },
    {
      // What in TypeScript is the compiler's business.
      files: ['**/*.{mjs,cjs}'],
      globals: { process: 'readonly', console: 'readonly' },
      rules: {
        'constructor-super': 'error',
        'getter-return': 'error',
        'no-class-assign': 'error',
        'no-const-assign': 'error',
        'no-control-regex': 'error',
        'no-dupe-class-members': 'error',
        'no-dupe-keys': 'error',
        'no-func-assign': 'error',
        'no-import-assign': 'error',
        'no-new-native-nonconstructor': 'error',
        'no-obj-calls': 'error',
        'no-redeclare': 'error',
        'no-setter-return': 'error',
        'no-this-before-super': 'error',
        'no-undef': 'error',
        'no-unreachable': 'error',
        'no-unsafe-negation': 'error',
        'no-with': 'error',
      },
    },
    {
      files: ['**/*.cjs'],
      globals: { module: 'writable', require: 'readonly' },
    },
    {
      files: ['test/**/*.mjs'],
      globals: { setTimeout: 'readonly', setInterval: 'readonly', clearInterval: 'readonly' },
      rules: { 'local/no-restricted-syntax': ['error', noDefaultExport] },
    },
    {
      // oxlint wants both so.
      files: ['oxlint.config.mts', 'test/lint/syntaxRule.mjs'],
      rules: { 'local/no-restricted-syntax': 'off' },
    },
  ],
});
