// Makes a sample repository: some dozens of files and a few commits, for trying things out.
//
//   node test/scripts/bootstrap.mjs sample [folder] [--fresh]
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { cacheFolder, fromCaller } from './project.ts';

/** Made once, and left as the person has changed it since; `fresh` starts over. */
export function sampleRepository(
  folder = path.join(cacheFolder(), 'sample', 'harbour'),
  options: { readonly fresh?: boolean } = {},
): string {
  if (options.fresh === true) fs.rmSync(folder, { recursive: true, force: true });
  if (fs.existsSync(path.join(folder, '.git'))) return folder;
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  // Made aside and renamed, so that there is never half a sample.
  const aside = fs.mkdtempSync(`${folder}-`);
  let second = 0;
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: aside,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'))),
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_CONFIG_GLOBAL: '/dev/null',
        GIT_AUTHOR_NAME: 'Ada Sample',
        GIT_AUTHOR_EMAIL: 'ada@example.com',
        GIT_AUTHOR_DATE: `${1767254400 + second} +0000`,
        GIT_COMMITTER_NAME: 'Ada Sample',
        GIT_COMMITTER_EMAIL: 'ada@example.com',
        GIT_COMMITTER_DATE: `${1767254400 + second} +0000`,
      },
    });
  const write = (file: string, text: string) => {
    const full = path.join(aside, file);
    fs.mkdirSync(path.dirname(full), { recursive: true });
    fs.writeFileSync(full, text);
  };
  const commit = (message: string) => {
    second += 60;
    git('add', '-A');
    git('commit', '--quiet', '-m', message);
  };

  git('init', '--quiet', '--initial-branch=main');
  git('config', 'user.name', 'Ada Sample');
  git('config', 'user.email', 'ada@example.com');
  git('config', 'commit.gpgsign', 'false');
  write('README.md', '# Harbour\n\nA small program that keeps track of ships and berths.\n');
  write('.gitignore', 'node_modules/\nbuild/\n*.log\n');
  write('package.json', `${JSON.stringify({ name: 'harbour', version: '1.0.0', private: true }, undefined, 2)}\n`);
  for (const part of ['berth', 'cargo', 'crane', 'crew', 'ship', 'tide', 'tug', 'weather']) {
    const name = `${part[0]?.toUpperCase() ?? ''}${part.slice(1)}`;
    write(`src/${part}/${part}.js`, `export class ${name} {\n  constructor(name) {\n    this.name = name;\n  }\n}\n`);
    write(
      `src/${part}/${part}List.js`,
      `import { ${name} } from './${part}.js';\n\nexport const ${part}List = [new ${name}('first')];\n`,
    );
    write(
      `test/${part}.test.js`,
      `import { ${part}List } from '../src/${part}/${part}List.js';\n\nconsole.assert(${part}List.length === 1);\n`,
    );
    write(`docs/${part}.md`, `# ${name}\n\nWhat a ${part} is, and what may happen to it.\n`);
  }
  commit('Start the harbour');
  write(
    'src/main.js',
    "import { shipList } from './ship/shipList.js';\n\nfor (const ship of shipList) console.log(ship.name);\n",
  );
  write('docs/a file with spaces.md', '# Names with spaces are fine\n');
  write('docs/größe.md', '# So are letters from elsewhere\n');
  commit('List the ships');
  write(
    'src/tide/tide.js',
    'export class Tide {\n  constructor(name, height = 0) {\n    this.name = name;\n    this.height = height;\n  }\n}\n',
  );
  commit('Give tides a height');
  try {
    fs.renameSync(aside, folder);
  } catch (error) {
    fs.rmSync(aside, { recursive: true, force: true });
    if (!fs.existsSync(path.join(folder, '.git'))) throw error; // not somebody who was faster
  }
  return folder;
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  const folder = args.find((argument) => !argument.startsWith('--'));
  console.log(
    sampleRepository(folder === undefined ? undefined : fromCaller(folder), {
      fresh: args.includes('--fresh'),
    }),
  );
}
