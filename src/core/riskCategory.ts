import { type RepoPath, displayPath } from './repoPath';

/**
 * How much harm a wrong restore of a path can do: `system` holds secrets and what runs on the machine, `platform` tells agents and
 * services what to do, `temp` can be made again, `user` is everything else.
 */
export type RiskCategory = 'system' | 'platform' | 'temp' | 'user';

const SYSTEM_NAMES: readonly RegExp[] = [
  /^\.env(?:\..*)?$/,
  /^(?:secrets|credentials)(?:\..*)?$/,
  /^docker-compose(?:[._-].*)?\.ya?ml$/,
  /^compose(?:[._-].*)?\.ya?ml$/,
  /^id_(?:rsa|dsa|ecdsa|ed25519)(?:[._-].*)?(?<!\.pub)$/,
  /\.(?:pem|key)$/,
  /^\.(?:npmrc|netrc)$/,
];
const SYSTEM_FOLDERS: ReadonlySet<string> = new Set(['secrets', '.secrets']);

const TEMP_NAMES: readonly RegExp[] = [/\.log$/];
const TEMP_SEGMENTS: ReadonlySet<string> = new Set(['.cache', 'logs', '__pycache__', 'node_modules', 'tmp', '.tmp']);

const PLATFORM_NAMES: readonly RegExp[] = [
  /^(?:agents|claude|gemini)\.md$/,
  /\.(?:prompt|instructions)\.md$/,
  /^\.(?:cursorrules|mcp\.json)$/,
];
const PLATFORM_SEGMENTS: ReadonlySet<string> = new Set([
  '.claude',
  '.cursor',
  '.github',
  '.codex',
  '.gemini',
  '.vscode',
  'prompts',
  'agents',
  'skills',
]);

/**
 * By whole parts of the path, never by text anywhere in it: `config.json` must not find `tsconfig.json`, nor `log` a folder named
 * `dialogs`. Case is ignored because some file systems do. The first that fits wins: system, temp, platform.
 */
export function riskOf(path: RepoPath): RiskCategory {
  const segments = displayPath(path).toLowerCase().split('/');
  const name = segments.at(-1) ?? '';
  const isOneOf = (names: readonly RegExp[]): boolean => names.some((pattern) => pattern.test(name));
  const isBelow = (folders: ReadonlySet<string>): boolean => segments.some((segment) => folders.has(segment));
  const isEditorSettings = name === 'settings.json' && segments.at(-2) === '.vscode';

  if (isEditorSettings || isOneOf(SYSTEM_NAMES) || isBelow(SYSTEM_FOLDERS)) {
    return 'system';
  }
  if (isOneOf(TEMP_NAMES) || isBelow(TEMP_SEGMENTS)) {
    return 'temp';
  }
  if (isOneOf(PLATFORM_NAMES) || isBelow(PLATFORM_SEGMENTS)) {
    return 'platform';
  }
  return 'user';
}
