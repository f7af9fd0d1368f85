// package.json and the code say the same, in both directions.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import * as esbuild from 'esbuild';
import type { COMMAND_IDS, WITHOUT_TRUST } from '../../src/ui/commandIds';
import type { SETTING_DEFAULTS } from '../../src/ui/settings';
import { inRoot } from '../scripts/project.ts';

interface MenuItem {
  readonly command?: string;
  readonly submenu?: string;
  readonly when?: string;
  readonly icon?: string;
}
interface Command {
  readonly command: string;
  readonly title: string;
  readonly category?: string;
  readonly icon?: string | { readonly light: string; readonly dark: string };
  readonly enablement?: string;
}
interface Setting {
  readonly default?: unknown;
  readonly description?: string;
  readonly markdownDescription?: string;
}
interface View {
  readonly id: string;
  readonly name: string;
  readonly when?: string;
  readonly icon?: string;
}
interface Configuration {
  readonly properties?: Readonly<Record<string, Setting>>;
}
interface Manifest {
  readonly capabilities?: {
    readonly untrustedWorkspaces?: { readonly supported: string; readonly restrictedConfigurations: readonly string[] };
  };
  readonly name: string;
  readonly version: string;
  readonly main: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly engines: { readonly vscode: string };
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly activationEvents?: readonly string[];
  readonly contributes: {
    readonly commands?: readonly Command[];
    readonly menus?: Readonly<Record<string, readonly MenuItem[]>>;
    readonly submenus?: readonly { readonly id: string; readonly label: string }[];
    readonly keybindings?: readonly { readonly command: string; readonly when?: string }[];
    readonly configuration?: Configuration | readonly Configuration[];
    readonly views?: Readonly<Record<string, readonly View[]>>;
    readonly viewsWelcome?: readonly { readonly view: string; readonly contents: string; readonly when?: string }[];
    readonly viewsContainers?: Readonly<Record<string, readonly { readonly id: string; readonly icon: string }[]>>;
  };
}

interface Code {
  readonly COMMAND_IDS: typeof COMMAND_IDS;
  readonly WITHOUT_TRUST: typeof WITHOUT_TRUST;
  readonly SETTING_DEFAULTS: typeof SETTING_DEFAULTS;
}

const manifest = JSON.parse(fs.readFileSync(inRoot('package.json'), 'utf8')) as Manifest;
const { contributes } = manifest;
const commands = contributes.commands ?? [];
const views = Object.values(contributes.views ?? {}).flat();
const settings: Readonly<Record<string, Setting>> = Object.assign(
  {},
  ...[contributes.configuration ?? []].flat().map(({ properties }) => properties ?? {}),
) as Record<string, Setting>;
const menuItems = Object.entries(contributes.menus ?? {}).flatMap(([menu, items]) =>
  items.map((item) => ({ menu, ...item })),
);
const nlsFile = inRoot('package.nls.json');
const texts = (fs.existsSync(nlsFile) ? JSON.parse(fs.readFileSync(nlsFile, 'utf8')) : {}) as Record<string, string>;
/** A `%key%` stands for its English text. */
const text = (value: string) => value.replace(/^%(.+)%$/, (whole, key: string) => texts[key] ?? whole);

/** The declarations of src/ui, which are read without a VS Code around them. */
async function loadCode(): Promise<Code> {
  const outfile = inRoot('out/lint/declarations.cjs');
  await esbuild.build({
    stdin: {
      contents: `export * from './src/ui/commandIds'; export * from './src/ui/settings';`,
      resolveDir: inRoot(),
    },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'silent',
    plugins: [
      {
        name: 'no-vscode',
        setup: (build) => {
          build.onResolve({ filter: /^vscode$/ }, () => ({ path: 'vscode', namespace: 'none' }));
          build.onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: 'module.exports = {};' }));
        },
      },
    ],
  });
  return createRequire(outfile)(outfile) as Code;
}

describe('the manifest', () => {
  let code: Code;
  before(async () => {
    code = await loadCode();
  });

  it('contributes exactly the commands of the code', () => {
    assert.deepEqual(commands.map(({ command }) => command).sort(), [...code.COMMAND_IDS].sort());
  });

  it('offers without trust only what lists and views, and the code refuses the same commands as the menus', () => {
    const open = commands.filter(({ enablement }) => !(enablement ?? '').split(' && ').includes('isWorkspaceTrusted'));
    assert.deepEqual(open.map(({ command }) => command).sort(), [...code.WITHOUT_TRUST].sort());
    const writing = /new|checkpoint|restore|undo|redo|apply|rename|delete|terminal|worktree/i;
    assert.deepEqual(
      [...code.WITHOUT_TRUST].filter((id) => writing.test(id)),
      ['bulkhead.openSessionInNewWindow'],
    );
    const { supported, restrictedConfigurations } = manifest.capabilities?.untrustedWorkspaces ?? {};
    assert.equal(supported, 'limited');
    // What names programs and places, or brings files along, is not read from an untrusted folder.
    assert.deepEqual(restrictedConfigurations, [
      'bulkhead.git.path',
      'bulkhead.sessions.root',
      'bulkhead.clone.objects',
      'bulkhead.filters.allowed',
      'bulkhead.include.files',
    ]);
  });

  it('contributes exactly the settings of the code, with the same defaults', () => {
    const inCode = Object.entries(code.SETTING_DEFAULTS).map(([name, value]) => [`bulkhead.${name}`, value] as const);
    const inManifest = Object.entries(settings).map(([name, setting]) => [name, setting.default] as const);
    const byName = (a: readonly [string, unknown], b: readonly [string, unknown]) => (a[0] < b[0] ? -1 : 1);
    assert.deepEqual([...inManifest].sort(byName), inCode.sort(byName));
  });

  it('describes every setting', () => {
    const bare = Object.entries(settings).filter(
      ([, { description, markdownDescription }]) => text(description ?? markdownDescription ?? '').trim() === '',
    );
    assert.deepEqual(
      bare.map(([name]) => name),
      [],
    );
  });

  it('names only known commands and submenus in menus, keys and welcome texts', () => {
    const known = new Set([
      ...commands.map(({ command }) => command),
      ...(contributes.submenus ?? []).map(({ id }) => id),
    ]);
    const named = [
      ...menuItems.map(({ command, submenu }) => command ?? submenu ?? ''),
      ...(contributes.keybindings ?? []).map(({ command }) => command),
      ...(contributes.viewsWelcome ?? []).flatMap(({ contents }) =>
        [...text(contents).matchAll(/\(command:([\w.]+)/g)].map((match) => match[1] ?? ''),
      ),
    ].filter((name) => name.startsWith('bulkhead'));
    assert.deepEqual(
      named.filter((name) => !known.has(name)),
      [],
    );
  });

  it('names only known context keys and views in conditions', () => {
    const keys = new Set(
      [...fs.readFileSync(inRoot('src/ui/contextKeys.ts'), 'utf8').matchAll(/'(bulkhead\.[\w.]+)'/g)].map(
        (match) => match[1],
      ),
    );
    const conditions = [
      ...menuItems.map(({ when }) => when),
      ...commands.map(({ enablement }) => enablement),
      ...views.map(({ when }) => when),
      ...(contributes.viewsWelcome ?? []).map(({ when }) => when),
      ...(contributes.keybindings ?? []).map(({ when }) => when),
    ].filter((when) => when !== undefined);
    const viewIds = new Set(views.map(({ id }) => id));
    const wrong: string[] = [];
    for (const when of conditions) {
      for (const [, view = ''] of when.matchAll(/\bview\s*==\s*'?([\w.-]+)'?/g)) {
        if (!viewIds.has(view)) wrong.push(`view ${view}`);
      }
      for (const [key] of when.matchAll(/(?<![\w.'])(?:config\.)?bulkhead\.[\w.]+/g)) {
        const known = key.startsWith('config.')
          ? key.slice('config.'.length) in settings
          : keys.has(key) || viewIds.has(key);
        if (!known) wrong.push(key);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('writes the titles of commands in title case, under one category', () => {
    const small = /^(a|an|and|as|at|by|for|from|in|of|on|or|the|this|to|with)$/;
    const wrong = commands
      .map(({ title }) => text(title))
      .filter((title) =>
        title.split(/[\s/]+/).some((word, index) => /^[a-z]/.test(word) && (index === 0 || !small.test(word))),
      );
    assert.deepEqual(wrong, []);
    const categories = new Set(commands.map(({ category }) => text(category ?? 'none')));
    assert.ok(categories.size <= 1, [...categories].join(', '));
  });

  it('hides from the palette the commands that menus of rows alone can feed', () => {
    const hidden = new Set(
      menuItems.filter(({ menu, when }) => menu === 'commandPalette' && when === 'false').map(({ command }) => command),
    );
    const elsewhere = new Set(menuItems.filter(({ menu }) => menu !== 'commandPalette').map(({ command }) => command));
    // Out of the palette and in no menu: nobody could ever call it.
    assert.deepEqual(
      [...hidden].filter((command) => !elsewhere.has(command)),
      [],
    );
  });

  it('uses only icons that exist', () => {
    const icons = [
      ...commands.flatMap(({ icon }) => (typeof icon === 'object' ? [icon.light, icon.dark] : [icon])),
      ...views.map(({ icon }) => icon),
      ...Object.values(contributes.viewsContainers ?? {})
        .flat()
        .map(({ icon }) => icon),
    ].filter((icon) => icon !== undefined);
    assert.deepEqual(
      icons.filter((icon) => !/^\$\([\w~-]+\)$/.test(icon) && !fs.existsSync(inRoot(icon))),
      [],
    );
  });

  it('has a text for every key', () => {
    const used = new Set(
      [...fs.readFileSync(inRoot('package.json'), 'utf8').matchAll(/"%([\w.-]+)%"/g)].map((m) => m[1] ?? ''),
    );
    assert.deepEqual([...used].filter((key) => !(key in texts)).sort(), [], 'without a text');
    assert.deepEqual(
      Object.keys(texts).filter((key) => !used.has(key)),
      [],
      'without a use',
    );
  });

  it('lists no activation event that VS Code derives by itself', () => {
    const redundant = (manifest.activationEvents ?? []).filter((event) => {
      const [kind, id = ''] = event.split(':');
      return (
        (kind === 'onCommand' && commands.some(({ command }) => command === id)) ||
        (kind === 'onView' && views.some((view) => view.id === id)) ||
        event === '*'
      );
    });
    assert.deepEqual(redundant, []);
  });

  it('is typed by the API of the oldest VS Code that it supports', () => {
    const oldest = manifest.engines.vscode.replace('^', '');
    assert.equal(manifest.devDependencies['@types/vscode'], oldest);
  });

  it('points to what the build makes', () => {
    assert.equal(manifest.main, './dist/extension.js');
    assert.deepEqual(manifest.bin, { bulkhead: 'dist/cli.js' });
  });

  it('agrees with the lock file', () => {
    const lock = JSON.parse(fs.readFileSync(inRoot('package-lock.json'), 'utf8')) as {
      name: string;
      version: string;
      packages: Record<string, { resolved?: string }>;
    };
    assert.deepEqual([lock.name, lock.version], [manifest.name, manifest.version]);
    const addresses = Object.values(lock.packages).filter(({ resolved }) => resolved !== undefined);
    assert.equal(addresses.length, 0, 'the lock file records download addresses');
  });
});
