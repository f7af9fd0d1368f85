import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type ConfigSection, formatConfig } from '../git/configFile';
import { defaultConfigFile, expandPath, lastValue, parseBoolean } from '../git/repositoryConfig';
import { exists, readTextIfThere } from './files';
import { allowedFilters } from './filters';
import type { Host } from './host';
import type { UserRepository } from './userRepository';

/** The settings of the user's repository that decide what is recorded and written; everything else of her configuration stays out. */
const CARRIED_CORE = ['autocrlf', 'eol', 'filemode', 'symlinks', 'precomposeunicode', 'longpaths'];

/** How content is converted between work tree and blob, as far as it matters for deciding who does it. */
export interface ConversionRules {
  /** `core.autocrlf` is `true` or `input`. */
  readonly autocrlf: 'true' | 'input' | 'false';
  /** There are attributes outside the work tree. */
  readonly outsideAttributes: boolean;
  /** The user's own files of rules for all her repositories. */
  readonly attributesFile: string | null;
  readonly excludesFile: string | null;
  /** `core.eol` asks for CRLF in text files. */
  readonly eolCrlf: boolean;
  readonly filters: ReadonlySet<string>;
  readonly fileMode: boolean;
  readonly symlinks: boolean;
  /** Whether the disk does not tell capital letters apart, as the configuration has it; the disk itself knows better. */
  readonly ignoreCase: boolean;
  /** Names all of it: two stores with the same one record the same bytes as the same blob. */
  readonly fingerprint: string;
}

interface StoreConfiguration {
  /** Path below the store, and what has to stand there. */
  readonly files: readonly (readonly [string, string])[];
  readonly rules: ConversionRules;
}

/** What the store is configured with, from the user's effective configuration: safe values, and what decides how content is recorded. */
export async function storeConfiguration(host: Host, repository: UserRepository): Promise<StoreConfiguration> {
  const { config } = repository;
  const core: (readonly [string, string])[] = [
    ['repositoryformatversion', repository.format === 'sha1' ? '0' : '1'],
    ['bare', 'true'],
    ['logallrefupdates', 'false'],
    // Names that look like .git elsewhere are refused everywhere: a snapshot may travel to another machine.
    ['protectHFS', 'true'],
    ['protectNTFS', 'true'],
    ['hooksPath', '/dev/null'],
    ['fsmonitor', 'false'],
    ['untrackedCache', 'false'],
  ];
  for (const key of CARRIED_CORE) {
    const value = lastValue(config, `core.${key}`);
    if (value !== undefined) {
      core.push([key, value]);
    }
  }
  const excludesFile = await firstReadable([
    lastValue(config, 'core.excludesfile'),
    defaultConfigFile(host.environment, 'ignore'),
  ]);
  const attributesFile = await firstReadable([
    lastValue(config, 'core.attributesfile'),
    defaultConfigFile(host.environment, 'attributes'),
  ]);
  if (excludesFile !== undefined) {
    core.push(['excludesFile', excludesFile]);
  }
  if (attributesFile !== undefined) {
    core.push(['attributesFile', attributesFile]);
  }
  const filters: ConfigSection[] = allowedFilters(config, host.settings.allowedFilters).map(({ name, entries }) => ({
    section: 'filter',
    subsection: name,
    entries,
  }));
  const sections: ConfigSection[] = [
    { section: 'core', entries: core },
    ...(repository.format === 'sha256'
      ? [{ section: 'extensions', entries: [['objectFormat', 'sha256'] as const] }]
      : []),
    { section: 'gc', entries: [['auto', '0']] },
    // Half the size: the stat caches are the largest thing beside a clone.
    { section: 'index', entries: [['version', '4']] },
    { section: 'maintenance', entries: [['auto', 'false']] },
    { section: 'receive', entries: [['denyNonFastForwards', 'false']] },
    {
      section: 'uploadpack',
      entries: [
        ['allowAnySHA1InWant', 'true'],
        ['hideRefs', 'refs/bulkhead/records'],
      ],
    },
    ...filters,
  ];
  const attributes = await readTextIfThere(join(repository.commonDir, 'info', 'attributes'));
  const exclude = (await readTextIfThere(join(repository.commonDir, 'info', 'exclude'))) ?? '';
  const boolean = (key: string, fallback: boolean): boolean =>
    parseBoolean(lastValue(config, `core.${key}`)) ?? fallback;
  const autocrlf = lastValue(config, 'core.autocrlf') ?? 'false';
  const rules: ConversionRules = {
    autocrlf: autocrlf.toLowerCase() === 'input' ? 'input' : parseBoolean(autocrlf) === true ? 'true' : 'false',
    outsideAttributes: attributesFile !== undefined || (attributes !== undefined && attributes.trim() !== ''),
    attributesFile: attributesFile ?? null,
    excludesFile: excludesFile ?? null,
    eolCrlf: lastValue(config, 'core.eol')?.toLowerCase() === 'crlf',
    filters: new Set(filters.map(({ subsection }) => subsection ?? '')),
    fileMode: boolean('filemode', process.platform !== 'win32'),
    symlinks: boolean('symlinks', true),
    ignoreCase: boolean('ignorecase', false),
    fingerprint: createHash('sha256')
      .update(
        JSON.stringify([
          ['autocrlf', 'eol', 'filemode', 'symlinks'].map((key) => lastValue(config, `core.${key}`) ?? null),
          filters,
          attributes ?? '',
          attributesFile === undefined ? '' : ((await readTextIfThere(attributesFile)) ?? ''),
        ]),
      )
      .digest('hex'),
  };
  return {
    files: [
      ['config', formatConfig(sections)],
      ['info/attributes', attributes ?? ''],
      ['info/exclude', `${exclude.replace(/\n?$/, '\n')}.bulkhead-tmp-*\n`],
    ],
    rules,
  };
}

async function firstReadable(candidates: readonly (string | undefined)[]): Promise<string | undefined> {
  for (const candidate of candidates) {
    if (candidate !== undefined && candidate !== '') {
      const path = expandPath(candidate);
      if (await exists(path)) {
        return path;
      }
    }
  }
  return undefined;
}
