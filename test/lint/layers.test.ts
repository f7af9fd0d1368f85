import assert from 'node:assert/strict';
import { inRoot } from '../scripts/project.ts';
import { run } from '../scripts/run.ts';
import { writeProject } from './project';

const use = (path: string) => `import { b } from '${path}';\nexport const a = b;\nexport const b2 = b;\n`;
const useType = (path: string, name = 'B') => `import type { ${name} } from '${path}';\nexport type A = ${name};\n`;
const used = `export const b = 1;\nexport type B = string;\n`;

/** A rule, and a file that has to break it. */
const violations: readonly (readonly [rule: string, file: string, code: string])[] = [
  ['layer-base', 'src/base/up.ts', use('../core/used')],
  ['layer-core', 'src/core/up.ts', useType('../git/used')],
  ['layer-git', 'src/git/up.ts', use('../session/used')],
  ['layer-session', 'src/session/up.ts', use('../agents/used')],
  ['layer-agents', 'src/agents/up.ts', use('../ui/used')],
  ['layer-cli', 'src/cli/sideways.ts', use('../ui/used')],
  ['layer-ui', 'src/ui/sideways.ts', use('../cli/used')],
  ['layer-ui', 'src/ui/up.ts', use('../extension')],
  ['vscode-only-in-ui', 'src/session/shell.ts', useType('vscode', 'Uri')],
  ['vscode-only-in-ui', 'test/unit/shell.test.ts', `import { version } from 'vscode';\nexport const a = version;\n`],
  ['pure-layers', 'src/core/reads.ts', `import { readFileSync } from 'node:fs';\nexport const a = readFileSync;\n`],
  [
    'pure-layers-no-packages',
    'src/core/package.ts',
    `import { simpleGit } from 'simple-git';\nexport const a = simpleGit;\n`,
  ],
  [
    'processes-only-in-git-and-agents',
    'src/session/starts.ts',
    `import { spawn } from 'node:child_process';\nexport const a = spawn;\n`,
  ],
  ['no-cycles', 'src/session/one.ts', `import { two } from './two';\nexport const one = (): unknown => two;\n`],
  ['no-orphans', 'src/session/orphan.ts', used],
  ['not-reached', 'src/session/one.ts', ''],
  ['source-uses-no-test', 'src/session/test.ts', use('../../test/unit/used')],
  [
    'source-uses-no-dev-dependency',
    'src/session/dev.ts',
    `import { chromium } from 'playwright-core';\nexport const a = chromium;\n`,
  ],
  ['not-resolvable', 'src/session/nowhere.ts', use('./missing')],
];

const fine: Readonly<Record<string, string>> = {
  'src/extension.ts': `import { a } from './ui/fine';\nexport const b = a;\nexport const main = a;\n`,
  'src/ui/fine.ts': `import { version } from 'vscode';\nimport { a as inner } from '../session/fine';\nexport const a = [version, inner];\n`,
  'src/session/fine.ts': `import { simpleGit } from 'simple-git';\nimport { a as inner } from '../git/fine';\nexport const a = [simpleGit, inner];\n`,
  'src/git/fine.ts': `import { spawn } from 'node:child_process';\nimport { a as inner } from '../core/fine';\nexport const a = [spawn, inner];\n`,
  'src/core/fine.ts': `import { createHash } from 'node:crypto';\nexport const a = createHash;\n`,
};

interface Report {
  readonly summary: {
    readonly violations: readonly {
      readonly from: string;
      readonly to: string;
      readonly rule: { readonly name: string };
    }[];
  };
}

describe('the layer rules', () => {
  let report: Report;

  before(async () => {
    const folder = writeProject('layers', {
      ...Object.fromEntries(
        ['base', 'core', 'git', 'session', 'agents', 'cli', 'ui'].map((layer) => [`src/${layer}/used.ts`, used]),
      ),
      'src/session/two.ts': `import { one } from './one';\nexport const two = (): unknown => one;\n`,
      'test/unit/used.ts': used,
      'package.json': JSON.stringify({
        name: 'sample',
        dependencies: { 'simple-git': '*' },
        devDependencies: { 'playwright-core': '*', '@types/vscode': '*' },
      }),
      ...fine,
      ...Object.fromEntries(violations.filter(([, , code]) => code !== '').map(([, file, code]) => [file, code])),
    });
    const result = await run(
      process.execPath,
      [
        inRoot('node_modules/dependency-cruiser/bin/dependency-cruiser.mjs'),
        '--config',
        inRoot('.dependency-cruiser.cjs'),
        '--output-type',
        'json',
        'src',
        'test',
      ],
      { cwd: folder },
    );
    report = JSON.parse(result.output) as Report;
  });

  for (const [rule, file] of violations) {
    it(`${rule} refuses ${file}`, () => {
      const rules = report.summary.violations
        .filter((violation) => violation.from === file || violation.to === file)
        .map((violation) => violation.rule.name);
      assert.ok(rules.includes(rule), `found: ${rules.join(', ')}`);
    });
  }

  it('leaves alone what is fine', () => {
    const files = Object.keys(fine);
    const wrong = report.summary.violations.filter(({ from }) => files.includes(from));
    assert.deepEqual(wrong, []);
  });
});
