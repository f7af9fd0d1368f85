import { rename, rm } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { wait } from '../base/clock';
import { BulkheadError, errnoOf, ioError, isAbsent } from '../base/errors';
import type { Oid } from '../core/objectId';
import { type ConfigSection, formatConfig } from '../git/configFile';
import { CancelledError } from '../git/gitError';
import { cloneRepository, fetchInto } from '../git/porcelain';
import { type EffectiveConfig, lastValue } from '../git/repositoryConfig';
import { changedInDonor } from './donorSeal';
import { exists, makeFolder, readTextIfThere, writeFileAtomic } from './files';
import type { Host } from './host';
import { ownedName } from './ownedNames';
import type { Storage } from './storage';
import type { UserRepository } from './userRepository';

const DONOR_TRIES = 5;

/** Where the user's branches stand in the donor and, from there, in clones. */
const LOCAL_REMOTE = 'local';

/** Settings of the user's repository that a clone gets: what decides about content, and who commits. Nothing that starts a program. */
const CARRIED = [
  'core.autocrlf',
  'core.eol',
  'core.filemode',
  'core.symlinks',
  'core.ignorecase',
  'core.precomposeunicode',
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

/**
 * Makes sure that the donor is there and has the user's newest branches: one real copy of her objects that clones may
 * hard-link to, so that bytes patched in a clone's pack reach neither her repository nor the snapshot store.
 */
export async function refreshDonor(
  host: Host,
  storage: Storage,
  repository: UserRepository,
  options: {
    readonly onProgress?: ((step: string, share: number | null) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const progress = options.onProgress === undefined ? {} : { onProgress: options.onProgress };
  if (!(await exists(storage.donor))) {
    const temporary = join(storage.root, 'creating', await ownedName('donor'));
    await makeFolder(join(storage.root, 'creating'));
    try {
      await cloneRepository(
        host.git,
        { source: repository.commonDir, target: temporary, bare: true, copyObjects: true, extra: ['--dissociate'] },
        { cwd: storage.root, signal: options.signal, ...progress },
      );
      await writeFileAtomic(join(temporary, 'config'), donorConfig(repository));
      await rename(temporary, storage.donor);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      // A rival made it first.
      if (!(await exists(join(storage.donor, 'HEAD')))) {
        throw errnoOf(error) === undefined ? error : ioError('copy the objects to', storage.donor, error);
      }
    }
  }
  for (let attempt = 1; ; attempt++) {
    try {
      await fetchInto(
        host.git,
        {
          gitDir: storage.donor,
          source: repository.commonDir,
          refspecs: ['+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*', '+refs/remotes/*:refs/remotes/*'],
          prune: true,
        },
        { signal: options.signal },
      );
      return;
    } catch (error) {
      if (attempt === DONOR_TRIES || error instanceof CancelledError) {
        throw error;
      }
      if (await dropChangedDonor(host, storage, repository)) {
        await refreshDonor(host, storage, repository, options);
        return;
      }
      // Two sessions that are made at once fetch the same branches, and git lets one of them fail.
      await wait(host.clock, host.random.fraction() * 50 * attempt);
    }
  }
}

function donorConfig(repository: UserRepository): string {
  return formatConfig([
    {
      section: 'core',
      entries: [
        ['repositoryformatversion', repository.format === 'sha1' ? '0' : '1'],
        ['bare', 'true'],
      ],
    },
    ...(repository.format === 'sha256'
      ? [{ section: 'extensions', entries: [['objectFormat', 'sha256'] as const] }]
      : []),
    { section: 'gc', entries: [['auto', '0']] },
    // Clones may start from any commit of hers, also one that no branch names.
    { section: 'uploadpack', entries: [['allowAnySHA1InWant', 'true']] },
  ]);
}

/** Brings one commit into the donor when its branches do not reach it: a detached HEAD, or the commit of a deleted branch. */
async function bringCommit(host: Host, storage: Storage, sources: readonly string[], commit: Oid): Promise<void> {
  const has = async (): Promise<boolean> =>
    (await host.git.run([`--git-dir=${storage.donor}`, 'cat-file', '-e', `${commit}^{tree}`], { expect: [0, 1, 128] }))
      .code === 0;
  for (const source of sources) {
    if (await has()) {
      return;
    }
    try {
      await fetchInto(host.git, {
        gitDir: storage.donor,
        source,
        refspecs: [`${commit}:refs/bulkhead/start/${commit}`],
      });
    } catch (error) {
      host.log.debug(`${commit} is not in ${source}: ${String(error)}`);
    }
  }
  if (!(await has())) {
    throw new BulkheadError(
      'notFound',
      'revision-not-found',
      `The commit ${commit} is in neither your repository nor the snapshot store.`,
      { data: { commit } },
    );
  }
}

export interface CloneRequest {
  /** Where the clone is made; its parent exists. */
  readonly target: string;
  /** Null before the first commit. */
  readonly commit: Oid | null;
  readonly branch: string;
  readonly onProgress?: ((step: string, share: number | null) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Makes a clone and checks the commit out on a new branch. Runs before an agent had the folder, so git may use the clone's own git directory. */
export async function makeClone(
  host: Host,
  storage: Storage,
  repository: UserRepository,
  request: CloneRequest,
): Promise<void> {
  const { target, commit, signal } = request;
  const gitDir = join(target, '.git');
  await prepareDonor(host, storage, repository, commit, signal);
  await cloneRepository(
    host.git,
    {
      source: storage.donor,
      target,
      bare: false,
      copyObjects: host.settings.cloneObjects === 'copy',
      origin: LOCAL_REMOTE,
    },
    { cwd: storage.root, signal },
  );
  const remoteBranches = await host.git.text([
    `--git-dir=${storage.donor}`,
    'for-each-ref',
    '--count=1',
    '--format=%(refname)',
    'refs/remotes',
  ]);
  if (remoteBranches !== '') {
    await fetchInto(
      host.git,
      { gitDir, source: storage.donor, refspecs: ['+refs/remotes/*:refs/remotes/*'] },
      { signal },
    );
  }
  await writeFileAtomic(join(gitDir, 'config'), cloneConfig(repository), 0o644);
  await carryInfo(repository, gitDir);
  // The branch that a plain clone starts on is the user's; hers stand under refs/remotes/local.
  await dropLocalBranches(host, gitDir);
  // They say where the clone came from, which is nobody's business inside it.
  await rm(join(gitDir, 'logs'), { recursive: true, force: true });
  if (commit === null) {
    await host.git.run([`--git-dir=${gitDir}`, 'symbolic-ref', 'HEAD', `refs/heads/${request.branch}`]);
  } else {
    request.onProgress?.('Checking out files', null);
    await host.git.run(
      [
        ...filterArguments(repository.config, host.settings.allowedFilters),
        '-c',
        'checkout.workers=0',
        'checkout',
        '--quiet',
        '--force',
        '--no-track',
        '-B',
        request.branch,
        commit,
      ],
      {
        cwd: target,
        env: { GIT_DIR: gitDir, GIT_WORK_TREE: target },
        signal,
      },
    );
  }
}

/**
 * Brings the commit that a clone starts from into the donor. What a new clone is checked out from is the user's, and not what
 * an agent put in its place.
 * @throws BulkheadError `donor-changed` when it is patched faster than it can be copied
 */
async function prepareDonor(
  host: Host,
  storage: Storage,
  repository: UserRepository,
  commit: Oid | null,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let attempt = 1; attempt <= DONOR_TRIES; attempt++) {
    if (commit !== null) {
      await bringCommit(host, storage, [repository.commonDir, storage.store], commit);
    }
    if (!(await dropChangedDonor(host, storage, repository))) {
      return;
    }
    await refreshDonor(host, storage, repository, { signal });
  }
  throw new BulkheadError(
    'damaged',
    'donor-changed',
    'The objects that sessions share are being changed by one of them. No session was made. Stop the agents that run, or set bulkhead.clone.objects to "copy", then try again.',
  );
}

/** Looks whether an agent patched an object file that its clone shares with the donor; if so the donor goes, to be copied anew. */
async function dropChangedDonor(host: Host, storage: Storage, repository: UserRepository): Promise<boolean> {
  const changed = await changedInDonor(host, storage.donor, repository.format);
  if (changed.length === 0) {
    return false;
  }
  host.log.warn(
    `objects that sessions share were changed in place and are copied anew from the repository; sessions made before see the change: ${changed.join(', ')}`,
  );
  const aside = join(storage.root, 'creating', `donor-changed-${String(process.pid)}-${String(host.clock.now())}`);
  try {
    await rename(storage.donor, aside);
  } catch (error) {
    // Another process noticed as well.
    if (!isAbsent(error)) {
      throw ioError('put aside', storage.donor, error);
    }
  }
  await rm(aside, { recursive: true, force: true });
  return true;
}

async function dropLocalBranches(host: Host, gitDir: string): Promise<void> {
  const branches = await host.git.text([
    `--git-dir=${gitDir}`,
    'for-each-ref',
    '--format=delete %(refname)',
    'refs/heads',
  ]);
  if (branches !== '') {
    await host.git.run([`--git-dir=${gitDir}`, 'update-ref', '--no-deref', '--stdin'], { input: `${branches}\n` });
  }
}

/** Checked-out content passes through the filters that the user allowed, as in her own checkout. */
function filterArguments(config: EffectiveConfig, allowed: readonly string[]): string[] {
  return allowed.flatMap((name) =>
    ['clean', 'smudge', 'process', 'required'].flatMap((key) => {
      const value = lastValue(config, `filter.${name}.${key}`);
      return value === undefined ? [] : ['-c', `filter.${name}.${key}=${value}`];
    }),
  );
}

/** The clone's configuration, written by us from an allow-list. No remote names the user's repository, the donor or the store. */
function cloneConfig(repository: UserRepository): string {
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
  for (const key of CARRIED) {
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

function remoteSections(repository: UserRepository): ConfigSection[] {
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
function absoluteUrl(repository: UserRepository, url: string): string {
  const isPath = !/^[a-z][a-z0-9+.-]*:/i.test(url) && !/^[^/]+:/.test(url);
  return isPath && !isAbsolute(url) ? resolve(repository.root, url) : url;
}

function namesRepository(repository: UserRepository, url: string): boolean {
  const path = url.startsWith('file://') ? url.slice('file://'.length) : url;
  return [repository.root, repository.gitDir, repository.commonDir].some((own) => path === own || path === `${own}/`);
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

/** Excludes and attributes of the user's repository are no part of its commits and would be missing. */
async function carryInfo(repository: UserRepository, gitDir: string): Promise<void> {
  await makeFolder(join(gitDir, 'info'));
  for (const name of ['exclude', 'attributes']) {
    const text = await readTextIfThere(join(repository.commonDir, 'info', name));
    if (text !== undefined) {
      await writeFileAtomic(join(gitDir, 'info', name), text, 0o644);
    }
  }
}
