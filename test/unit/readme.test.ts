import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
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
