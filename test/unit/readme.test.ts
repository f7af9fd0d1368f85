import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { inRoot } from '../scripts/project';

interface Manifest {
  readonly contributes: {
    readonly commands: readonly { readonly title: string }[];
    readonly configuration: { readonly properties: Readonly<Record<string, unknown>> };
  };
}

describe('the README', () => {
  const readme = readFileSync(inRoot('README.md'), 'utf8');
  const manifest = JSON.parse(readFileSync(inRoot('package.json'), 'utf8')) as Manifest;

  it('names every command', () => {
    const missing = manifest.contributes.commands.map(({ title }) => title).filter((title) => !readme.includes(title));
    assert.deepEqual(missing, []);
  });

  it('names every setting', () => {
    const settings = Object.keys(manifest.contributes.configuration.properties);
    const missing = settings.filter((setting) => !readme.includes(`\`${setting}\``));
    assert.deepEqual(missing, []);
  });

  it('names no setting that does not exist', () => {
    const named = [...readme.matchAll(/`(bulkhead\.[a-zA-Z.]+)`/g)].map(([, setting]) => setting ?? '');
    assert.deepEqual(
      named.filter((setting) => !Object.hasOwn(manifest.contributes.configuration.properties, setting)),
      [],
    );
  });
});

describe('ARCHITECTURE.md', () => {
  const [, onDisk = ''] = readFileSync(inRoot('ARCHITECTURE.md'), 'utf8').split('## On disk');
  const inSource = (pattern: RegExp): string[] => [
    ...new Set(
      globSync('src/**/*.ts', { cwd: inRoot('.') }).flatMap((file) =>
        [...readFileSync(inRoot(file), 'utf8').matchAll(pattern)].map(([, name = '']) => name),
      ),
    ),
  ];

  it('lists every kind of ref that is kept', () => {
    const kinds = inSource(/(?:refs\/bulkhead|\$\{ROOT\})\/([a-z]+)/g);
    assert.ok(kinds.length > 10, kinds.join());
    assert.deepEqual(
      kinds.filter((kind) => !new RegExp(`^ +refs/bulkhead/${kind}[/ ]`, 'm').test(onDisk)),
      [],
    );
  });

  it('lists every file that is kept', () => {
    const files = inSource(/_FILE = '([^']+)'/g);
    assert.ok(files.includes('storage.json') && files.length > 5, files.join());
    assert.deepEqual(
      files.filter((file) => !new RegExp(`[ /\`]${file.replaceAll('.', '\\.')}[ ,\`]`).test(onDisk)),
      [],
    );
  });
});
