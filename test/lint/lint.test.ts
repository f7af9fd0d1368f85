import assert from 'node:assert/strict';
import { inRoot } from '../scripts/project.ts';
import { run } from '../scripts/run.ts';
import { writeProject } from './project';

interface Sample {
  readonly what: string;
  readonly file: string;
  readonly code: string;
  /** The rule that has to object; without it the sample has to pass. */
  readonly rule?: string;
}

const samples: readonly Sample[] = [
  // What is fine.
  { what: 'core using base', file: 'src/core/a.ts', code: `import { b } from '../base/used';\nexport const a = b;\n` },
  {
    what: 'hashing in core',
    file: 'src/core/b.ts',
    code: `import { createHash } from 'node:crypto';\nexport const b = createHash('sha1');\n`,
  },
  {
    what: 'a process started in git',
    file: 'src/git/a.ts',
    code: `import { spawn } from 'node:child_process';\nexport const a = spawn;\n`,
  },
  {
    what: 'vscode in ui',
    file: 'src/ui/a.ts',
    code: `import * as vscode from 'vscode';\nexport const a = vscode.version;\n`,
  },
  {
    what: 'the real clock in its own file',
    file: 'src/base/clock.ts',
    code: `export const now = (): number => Date.now();\n`,
  },
  // Layers.
  ...(
    [
      ['base', 'core'],
      ['base', 'ui'],
      ['core', 'git'],
      ['core', 'session'],
      ['git', 'session'],
      ['session', 'agents'],
      ['session', 'ui'],
      ['agents', 'cli'],
      ['agents', 'ui'],
      ['cli', 'ui'],
      ['ui', 'cli'],
    ] as const
  ).map(([from, to]) => ({
    what: `${from} using ${to}`,
    file: `src/${from}/uses-${to}.ts`,
    code: `import { b } from '../${to}/used';\nexport const a = b;\n`,
    rule: 'eslint/no-restricted-imports',
  })),
  {
    what: 'a type from a layer above',
    file: 'src/core/typeAbove.ts',
    code: `import type { B } from '../git/used';\nexport type A = B;\n`,
    rule: 'eslint/no-restricted-imports',
  },
  {
    what: 'ui using extension.ts',
    file: 'src/ui/usesExtension.ts',
    code: `import { b } from '../extension';\nexport const a = b;\n`,
    rule: 'eslint/no-restricted-imports',
  },
  {
    what: 'vscode in session',
    file: 'src/session/usesVscode.ts',
    code: `import * as vscode from 'vscode';\nexport const a = vscode.version;\n`,
    rule: 'eslint/no-restricted-imports',
  },
  {
    what: 'a type of vscode in cli',
    file: 'src/cli/usesVscodeType.ts',
    code: `import type { Uri } from 'vscode';\nexport type A = Uri;\n`,
    rule: 'eslint/no-restricted-imports',
  },
  {
    what: 'vscode in a unit test',
    file: 'test/unit/usesVscode.ts',
    code: `import type { Uri } from 'vscode';\nexport type A = Uri;\n`,
    rule: 'eslint/no-restricted-imports',
  },
  {
    what: 'a process started in session',
    file: 'src/session/starts.ts',
    code: `import { spawn } from 'node:child_process';\nexport const a = spawn;\n`,
    rule: 'eslint/no-restricted-imports',
  },
  {
    what: 'a file read in core',
    file: 'src/core/reads.ts',
    code: `import { readFileSync } from 'node:fs';\nexport const a = readFileSync;\n`,
    rule: 'eslint/no-restricted-imports',
  },
  {
    what: 'a built-in without its prefix',
    file: 'src/git/bare.ts',
    code: `import { join } from 'path';\nexport const a = join;\n`,
    rule: 'eslint/no-restricted-imports',
  },
  {
    what: 'random bytes in core',
    file: 'src/core/randomBytes.ts',
    code: `import { randomBytes } from 'node:crypto';\nexport const a = randomBytes;\n`,
    rule: 'eslint/no-restricted-imports',
  },
  {
    what: 'Date.now in core',
    file: 'src/core/now.ts',
    code: `export const a = Date.now();\n`,
    rule: 'eslint/no-restricted-properties',
  },
  {
    what: 'new Date() in core',
    file: 'src/core/date.ts',
    code: `export const a = new Date();\n`,
    rule: 'local/no-restricted-syntax',
  },
  {
    what: 'Math.random in base',
    file: 'src/base/random.ts',
    code: `export const a = Math.random();\n`,
    rule: 'eslint/no-restricted-properties',
  },
  {
    what: 'setTimeout in base',
    file: 'src/base/timer.ts',
    code: `export const a = setTimeout(String, 1);\n`,
    rule: 'eslint/no-restricted-globals',
  },
  {
    what: 'process in core',
    file: 'src/core/env.ts',
    code: `export const a = process.env;\n`,
    rule: 'eslint/no-restricted-globals',
  },
  // Habits.
  {
    what: 'a floating promise',
    file: 'src/session/floating.ts',
    code: `export function a(): void {\n  Promise.resolve(1);\n}\n`,
    rule: 'typescript/no-floating-promises',
  },
  {
    what: 'a misused promise',
    file: 'src/session/misused.ts',
    code: `export function a(): number[] {\n  return [1].filter(async () => Promise.resolve(true));\n}\n`,
    rule: 'typescript/no-misused-promises',
  },
  {
    what: 'a switch that forgets a case',
    file: 'src/session/switch.ts',
    code: `export function a(b: 'x' | 'y'): number {\n  switch (b) {\n    case 'x':\n      return 1;\n  }\n  return 2;\n}\n`,
    rule: 'typescript/switch-exhaustiveness-check',
  },
  {
    what: 'a thrown string',
    file: 'src/session/throws.ts',
    code: `export function a(): never {\n  throw 'no';\n}\n`,
    rule: 'typescript/only-throw-error',
  },
  {
    what: 'a type imported as a value',
    file: 'src/session/typeImport.ts',
    code: `import { B } from '../git/used';\nexport type A = B;\n`,
    rule: 'typescript/consistent-type-imports',
  },
  {
    what: 'a default export',
    file: 'src/session/default.ts',
    code: `export default 1;\n`,
    rule: 'local/no-restricted-syntax',
  },
  {
    what: 'an enum',
    file: 'src/session/enum.ts',
    code: `export enum A {\n  b,\n}\n`,
    rule: 'local/no-restricted-syntax',
  },
];

interface Report {
  readonly number_of_files: number;
  readonly diagnostics: readonly { readonly filename: string; readonly code?: string; readonly message: string }[];
}

describe('the lint rules', () => {
  const found = new Map<string, string[]>();

  before(async () => {
    const used = `export const b = 1;\nexport type B = string;\n`;
    const sources: Readonly<Record<string, string>> = {
      ...Object.fromEntries(samples.map(({ file, code }) => [file, code])),
      ...Object.fromEntries(
        ['base', 'core', 'git', 'session', 'agents', 'cli', 'ui'].map((layer) => [`src/${layer}/used.ts`, used]),
      ),
      'src/extension.ts': used,
    };
    const folder = writeProject('oxlint', {
      ...sources,
      // In its place among the samples, since its paths are relative to it.
      'oxlint.config.mts': `export { default } from '../../../oxlint.config.mts';\n`,
    });
    const files = Object.keys(sources);
    const result = await run(
      process.execPath,
      // File by file: a folder that git ignores is not searched.
      [inRoot('node_modules/oxlint/bin/oxlint'), '--format', 'json', ...files],
      { cwd: folder },
    );
    const report = JSON.parse(result.output) as Report;
    // It names only files that it objects to, so that one that it passed over would look fine.
    assert.equal(report.number_of_files, files.length);
    for (const file of files) found.set(file, []);
    for (const { filename, code, message } of report.diagnostics) {
      found.get(filename.replaceAll('\\', '/'))?.push(code?.replace(/^(.*)\((.*)\)$/, '$1/$2') ?? message);
    }
  });

  for (const { what, file, rule } of samples) {
    it(rule === undefined ? `allow ${what}` : `refuse ${what}`, () => {
      const rules = found.get(file);
      assert.ok(rules, `${file} was not looked at`);
      if (rule === undefined) assert.deepEqual(rules, []);
      else assert.ok(rules.includes(rule), `${file}: expected ${rule}, found: ${rules.join(', ')}`);
    });
  }
});
