import { isAbsolute, resolve, sep } from 'node:path';
import { type ConfigSection, formatConfig } from '../git/configFile';
import { type EffectiveConfig, lastValue } from '../git/repositoryConfig';
import type { UserRepository } from './userRepository';

/** Where the user's branches stand in clones. */
export const LOCAL_REMOTE = 'local';

/** Settings of the user's repository that a clone gets: what decides about content, and who commits. Nothing that starts a program. */
const CARRIED = [
  'core.autocrlf',
  'core.eol',
  'core.filemode',
  'core.symlinks',
  'core.longpaths',
  'core.safecrlf',
  'core.quotepath',
  'user.name',
  'user.email',
  'push.default',
  'push.autosetupremote',
  'pull.rebase',
  'pull.ff',
  'merge.conflictstyle',
  'init.defaultbranch',
  'remote.pushdefault',
];

const CARRIED_WHEN_SPARSE = ['core.sparsecheckout', 'core.sparsecheckoutcone', 'index.sparse'];

/** The clone may lie on another disk than the user's checkout, or her configuration may come from another machine: git's own look counts. */
const OF_THE_DISK = ['ignorecase', 'precomposeunicode'];

/** What a clone's configuration is made from: the user's repository, or a submodule of it. */
export type ConfigSource = Pick<UserRepository, 'root' | 'gitDir' | 'commonDir' | 'format' | 'config'>;

/**
 * The clone's configuration, written by us from an allow-list. No remote names the user's repository, the donor or the store.
 * @param options.fresh what git wrote when it made the clone: it has looked at this very disk
 * @param options.workTree of a submodule, relative to its git folder
 * @param options.isSparse the clone has the user's sparse patterns
 */
export function cloneConfig(
  repository: ConfigSource,
  options: { readonly fresh: string; readonly workTree?: string; readonly isSparse: boolean },
): string {
  const { config } = repository;
  const bySection = new Map<string, [string, string][]>();
  const add = (section: string, key: string, value: string): void => {
    const entries = bySection.get(section);
    if (entries === undefined) {
      bySection.set(section, [[key, value]]);
    } else {
      entries.push([key, value]);
    }
  };
  add('core', 'repositoryformatversion', repository.format === 'sha1' ? '0' : '1');
  add('core', 'bare', 'false');
  add('core', 'logallrefupdates', 'true');
  if (options.workTree !== undefined) {
    add('core', 'worktree', options.workTree);
  }
  for (const key of OF_THE_DISK) {
    const value = new RegExp(`^\\s*${key} = (true|false)$`, 'm').exec(options.fresh)?.[1];
    if (value !== undefined) {
      add('core', key, value);
    }
  }
  for (const key of options.isSparse ? [...CARRIED, ...CARRIED_WHEN_SPARSE] : CARRIED) {
    const value = lastValue(config, key);
    if (value !== undefined) {
      const dot = key.indexOf('.');
      add(key.slice(0, dot), key.slice(dot + 1), value);
    }
  }
  if (lastValue(config, 'push.autosetupremote') === undefined) {
    // The session's branch has no upstream yet: a plain `git push` then makes one of the same name.
    add('push', 'autoSetupRemote', 'true');
  }
  const sections: ConfigSection[] = [...bySection].map(([section, entries]) => ({ section, entries }));
  if (repository.format === 'sha256') {
    sections.push({ section: 'extensions', entries: [['objectFormat', 'sha256']] });
  }
  return formatConfig([...sections, ...remoteSections(repository), ...branchSections(config)]);
}

function remoteSections(repository: ConfigSource): ConfigSection[] {
  const { config } = repository;
  const names = new Set(
    [...config.keys()].map((key) => /^remote\.(.+)\.url$/s.exec(key)?.[1]).filter((name) => name !== undefined),
  );
  return [...names].flatMap((name): ConfigSection[] => {
    const urls = (config.get(`remote.${name}.url`) ?? []).map((url) => absoluteUrl(repository, url));
    if (name === LOCAL_REMOTE || urls.some((url) => namesRepository(repository, url))) {
      return [];
    }
    const entries: [string, string][] = urls.map((url) => ['url', url]);
    for (const url of config.get(`remote.${name}.pushurl`) ?? []) {
      entries.push(['pushurl', absoluteUrl(repository, url)]);
    }
    for (const refspec of config.get(`remote.${name}.fetch`) ?? []) {
      entries.push(['fetch', refspec]);
    }
    return [{ section: 'remote', subsection: name, entries }];
  });
}

/** A relative path as remote is relative to the user's work tree, not to the clone. */
function absoluteUrl(repository: ConfigSource, url: string): string {
  const isPath = !/^[a-z][a-z0-9+.-]*:/i.test(url) && !/^[^/]+:/.test(url);
  return isPath && !isAbsolute(url) ? resolve(repository.root, url) : url;
}

/** Whether a remote's address is the user's repository, or a place inside it such as one of its submodules. */
export function namesRepository(repository: ConfigSource, url: string): boolean {
  const path = url.startsWith('file://') ? url.slice('file://'.length) : url;
  return [repository.root, repository.gitDir, repository.commonDir].some(
    (own) => path === own || path.startsWith(own + sep),
  );
}

function branchSections(config: EffectiveConfig): ConfigSection[] {
  const names = new Set(
    [...config.keys()]
      .map((key) => /^branch\.(.+)\.(?:remote|merge)$/s.exec(key)?.[1])
      .filter((name) => name !== undefined),
  );
  return [...names].map((name) => ({
    section: 'branch',
    subsection: name,
    entries: ['remote', 'merge', 'pushremote', 'rebase'].flatMap((key) => {
      const value = lastValue(config, `branch.${name}.${key}`);
      return value === undefined ? [] : [[key, value] as const];
    }),
  }));
}
