import { homedir } from 'node:os';
import { join } from 'node:path';
import { splitNul } from '../base/bytes';
import type { Git } from './git';

/** The configuration that counts in a repository, as the user's own git sees it: key (section and name lower-case) to its values in order. */
export type EffectiveConfig = ReadonlyMap<string, readonly string[]>;

/** Parses `git config --list -z`. A key without a value means `true`. */
export function parseConfigList(bytes: Buffer): EffectiveConfig {
  const result = new Map<string, string[]>();
  for (const record of splitNul(bytes)) {
    const text = record.toString('utf8');
    const lineFeed = text.indexOf('\n');
    const key = lineFeed === -1 ? text : text.slice(0, lineFeed);
    const value = lineFeed === -1 ? 'true' : text.slice(lineFeed + 1);
    const values = result.get(key);
    if (values === undefined) {
      result.set(key, [value]);
    } else {
      values.push(value);
    }
  }
  return result;
}

/** Reads the effective configuration with the user's own environment; starts nothing that it names. */
export async function readEffectiveConfig(git: Git, folder: string): Promise<EffectiveConfig> {
  return parseConfigList((await git.run(['config', '--list', '-z'], { cwd: folder, asUser: true })).stdout);
}

/** Whether a setting comes from the repository's own configuration and not from the user's or the system's. */
export async function scopeOf(git: Git, gitDir: string, key: string): Promise<{ readonly isOwn: boolean }> {
  const answer = await git.run([`--git-dir=${gitDir}`, 'config', '--show-scope', '-z', '--get', key], {
    asUser: true,
    expect: [0, 1],
  });
  return { isOwn: /^(local|worktree)\0/.test(answer.stdout.toString('utf8')) };
}

export function lastValue(config: EffectiveConfig, key: string): string | undefined {
  return config.get(key)?.at(-1);
}

/** Git's words for a boolean; undefined when it is none. */
export function parseBoolean(value: string | undefined): boolean | undefined {
  if (value === undefined) {
    return undefined;
  }
  if (/^(true|yes|on|1)$/i.test(value)) {
    return true;
  }
  return /^(false|no|off|0|)$/i.test(value) ? false : undefined;
}

/** Expands `~/` as git does for settings that are paths. */
export function expandPath(value: string): string {
  return value === '~' || value.startsWith('~/') ? join(homedir(), value.slice(1)) : value;
}

/** Where git looks for a file such as `ignore` when the setting is absent. */
export function defaultConfigFile(environment: Readonly<NodeJS.ProcessEnv>, name: 'ignore' | 'attributes'): string {
  const folder = environment['XDG_CONFIG_HOME'];
  return folder === undefined || folder === '' ? join(homedir(), '.config', 'git', name) : join(folder, 'git', name);
}
