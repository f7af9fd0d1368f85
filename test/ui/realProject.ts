// A project that people know, of more than 2,000 files, as a new git repository.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { cacheFolder } from '../scripts/project.ts';

const packageName = 'rxjs';
const version = '7.8.2';
const fewestFiles = 2000;

/** Fetched once into the cache folder; unpacked anew for each caller. Returns the folder of the repository. */
export function realProject(parent: string): string {
  const folder = path.join(parent, packageName);
  fs.mkdirSync(folder, { recursive: true });
  execFileSync('tar', ['-xzf', archive(), '-C', folder, '--strip-components=1']);
  git(folder, 'init', '--quiet', '--initial-branch=main');
  for (const [key, value] of [
    ['user.name', 'Ada Sample'],
    ['user.email', 'ada@example.com'],
    ['commit.gpgsign', 'false'],
    ['gc.auto', '0'],
  ] as const) {
    git(folder, 'config', key, value);
  }
  git(folder, 'add', '--all');
  git(folder, 'commit', '--quiet', '--message', `${packageName} ${version}`);
  const count = git(folder, 'ls-files').split('\n').length - 1;
  if (count < fewestFiles) throw new Error(`${packageName} ${version} has only ${count} files`);
  return folder;
}

function archive(): string {
  const folder = path.join(cacheFolder(), 'projects');
  const file = path.join(folder, `${packageName}-${version}.tgz`);
  if (!fs.existsSync(file)) {
    // Fetched aside and renamed, so that there is never half an archive.
    fs.mkdirSync(folder, { recursive: true });
    const aside = fs.mkdtempSync(path.join(folder, 'fetch-'));
    try {
      npm('pack', `${packageName}@${version}`, '--pack-destination', aside, '--ignore-scripts', '--silent');
      fs.renameSync(path.join(aside, path.basename(file)), file);
    } finally {
      fs.rmSync(aside, { recursive: true, force: true });
    }
  }
  return file;
}

function npm(...args: readonly string[]): void {
  const execPath = process.env['npm_execpath'];
  const viaNode = execPath !== undefined && /\.c?js$/.test(execPath);
  execFileSync(viaNode ? process.execPath : 'npm', [...(viaNode ? [execPath] : []), ...args], { stdio: 'pipe' });
}

export function git(folder: string, ...args: readonly string[]): string {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_')));
  return execFileSync('git', args, {
    cwd: folder,
    env: { ...env, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' },
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
}
