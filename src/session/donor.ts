import { readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { wait } from '../base/clock';
import { BulkheadError, errnoOf, ioError, isAbsent } from '../base/errors';
import { isOid, type ObjectFormat, type Oid } from '../core/objectId';
import { formatConfig } from '../git/configFile';
import { CancelledError } from '../git/gitError';
import { hasReftable } from '../git/headFile';
import { cloneRepository, fetchInto } from '../git/porcelain';
import { changedInDonor, readSeal } from './donorSeal';
import { exists, makeFolder, writeFileAtomic } from './files';
import type { Host } from './host';
import { ownedName } from './ownedNames';
import type { Storage } from './storage';
import type { UserRepository } from './userRepository';

const DONOR_TRIES = 5;
/** So many loose objects are worth a pack; a fetch of more becomes one too. */
const LOOSE_ENOUGH = 20;
/** What clones get of the user's refs. */
const CARRIED_REFS = ['refs/heads/', 'refs/tags/', 'refs/remotes/'];

/** One real copy of a repository's objects: of the user's own, or of one of its submodules. */
export interface Donor {
  readonly gitDir: string;
  /** The git folder that it is a copy of. */
  readonly source: string;
  readonly format: ObjectFormat;
  /** Where it is made, on the same file system. */
  readonly creating: string;
}

export function donorOf(storage: Storage, repository: UserRepository): Donor {
  return {
    gitDir: storage.donor,
    source: repository.commonDir,
    format: repository.format,
    creating: join(storage.root, 'creating'),
  };
}

/** Below the donor of the repository that the submodule belongs to, as git keeps a submodule's own folder. */
export function donorOfSubmodule(parent: Donor, name: string, source: string, format: ObjectFormat): Donor {
  return { gitDir: join(parent.gitDir, 'modules', name), source, format, creating: parent.creating };
}

/**
 * Makes sure that the donor is there and has the user's newest branches: one real copy of her objects that clones may
 * hard-link to, so that bytes patched in a clone's pack reach neither her repository nor the snapshot store.
 * @throws BulkheadError `donor-newer` before anything is written there
 */
export async function refreshDonor(
  host: Host,
  donor: Donor,
  options: {
    readonly onProgress?: ((step: string, share: number | null) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const progress = options.onProgress === undefined ? {} : { onProgress: options.onProgress };
  await readSeal(donor.gitDir);
  // Its folder alone says nothing: a rival that makes the donor of a submodule makes the folders above.
  if (!(await exists(join(donor.gitDir, 'HEAD')))) {
    const temporary = join(donor.creating, await ownedName('donor'));
    await makeFolder(donor.creating);
    await makeFolder(dirname(donor.gitDir));
    try {
      await cloneRepository(
        host.git,
        { source: donor.source, target: temporary, bare: true, copyObjects: true, extra: ['--dissociate'] },
        { cwd: donor.creating, signal: options.signal, ...progress },
      );
      await writeFileAtomic(join(temporary, 'config'), donorConfig(donor.format));
      await packLooseObjects(host, temporary, options.signal);
      if (!hasReftable(temporary)) {
        // Clones make a branch of the one that HEAD names: theirs is to be another one.
        await writeFileAtomic(join(temporary, 'HEAD'), 'ref: refs/heads/bulkhead/none\n');
      }
      if ((await exists(donor.gitDir)) && !(await exists(join(donor.gitDir, 'HEAD')))) {
        await remove(donor);
      }
      await rename(temporary, donor.gitDir);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      // A rival made it first.
      if (!(await exists(join(donor.gitDir, 'HEAD')))) {
        throw errnoOf(error) === undefined ? error : ioError('copy the objects to', donor.gitDir, error);
      }
    }
  }
  for (let attempt = 1; ; attempt++) {
    try {
      if (await hasAllRefs(host, donor)) {
        return;
      }
      await fetchInto(
        host.git,
        {
          gitDir: donor.gitDir,
          source: donor.source,
          refspecs: CARRIED_REFS.map((folder) => `+${folder}*:${folder}*`),
          prune: true,
        },
        { signal: options.signal },
      );
      return;
    } catch (error) {
      if (attempt === DONOR_TRIES || error instanceof CancelledError) {
        throw error;
      }
      if (await dropChangedDonor(host, donor)) {
        await refreshDonor(host, donor, options);
        return;
      }
      // Two sessions that are made at once fetch the same branches, and git lets one of them fail.
      await wait(host.clock, host.random.fraction() * 50 * attempt);
    }
  }
}

/**
 * Puts loose objects into one pack, each as it is: every clone links every file, and every file is compared with its seal before.
 * Only while the donor is being made: later, bytes that an agent patched would get a pack that is sealed as good.
 */
async function packLooseObjects(host: Host, gitDir: string, signal: AbortSignal | undefined): Promise<void> {
  const objects = join(gitDir, 'objects');
  const oids: string[] = [];
  for (const folder of (await readdir(objects)).filter((name) => /^[0-9a-f]{2}$/.test(name))) {
    oids.push(...(await readdir(join(objects, folder))).map((name) => folder + name).filter((oid) => isOid(oid)));
  }
  if (oids.length < LOOSE_ENOUGH) {
    return;
  }
  const pack = ['pack-objects', '--quiet', '--window=0', join(objects, 'pack', 'pack')];
  await host.git.run([`--git-dir=${gitDir}`, ...pack], { input: `${oids.join('\n')}\n`, signal });
  await host.git.run([`--git-dir=${gitDir}`, 'prune-packed', '--quiet'], { signal });
}

/** Whether there is nothing to fetch: two looks at refs cost a tenth of a fetch that finds nothing. */
async function hasAllRefs(host: Host, { gitDir, source }: Donor): Promise<boolean> {
  const [hers, ours] = await Promise.all(
    [source, gitDir].map((folder) =>
      host.git.text([`--git-dir=${folder}`, 'for-each-ref', '--format=%(objectname) %(refname)', ...CARRIED_REFS]),
    ),
  );
  return hers === ours;
}

function donorConfig(format: ObjectFormat): string {
  return formatConfig([
    {
      section: 'core',
      entries: [
        ['repositoryformatversion', format === 'sha1' ? '0' : '1'],
        ['bare', 'true'],
      ],
    },
    ...(format === 'sha256' ? [{ section: 'extensions', entries: [['objectFormat', 'sha256'] as const] }] : []),
    { section: 'gc', entries: [['auto', '0']] },
    { section: 'fetch', entries: [['unpackLimit', String(LOOSE_ENOUGH)]] },
    // Clones may start from any commit of hers, also one that no branch names.
    { section: 'uploadpack', entries: [['allowAnySHA1InWant', 'true']] },
  ]);
}

/**
 * Brings the commit that a clone starts from into the donor. What a new clone is checked out from is the user's, and not what
 * an agent put in its place.
 * @param start.sources git folders that may have the commit
 * @throws BulkheadError `donor-changed` when it is patched faster than it can be copied, `donor-newer`
 */
export async function prepareDonor(
  host: Host,
  donor: Donor,
  start: { readonly commit: Oid | null; readonly sources: readonly string[] },
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let attempt = 1; attempt <= DONOR_TRIES; attempt++) {
    if (start.commit !== null) {
      await bringCommit(host, donor.gitDir, start.sources, start.commit);
    }
    if (!(await dropChangedDonor(host, donor))) {
      return;
    }
    await refreshDonor(host, donor, { signal });
  }
  throw new BulkheadError(
    'damaged',
    'donor-changed',
    'The objects that sessions share are being changed by one of them. Nothing was made from them. Stop the agents that run, or set bulkhead.clone.objects to "copy", then try again.',
  );
}

/** Looks whether an agent patched an object file that its clone shares with the donor; if so the donor goes, to be copied anew. */
async function dropChangedDonor(host: Host, donor: Donor): Promise<boolean> {
  const changed = await changedInDonor(host, donor.gitDir, donor.format);
  if (changed.length === 0) {
    return false;
  }
  host.log.warn(
    `objects that sessions share were changed in place and are copied anew from ${donor.source}; sessions made before see the change: ${changed.join(', ')}`,
  );
  await remove(donor);
  return true;
}

/** Takes it out of the way in one step, with the donors of its submodules. */
async function remove(donor: Donor): Promise<void> {
  const aside = join(donor.creating, await ownedName('changed'));
  try {
    await rename(donor.gitDir, aside);
  } catch (error) {
    // Another process noticed as well.
    if (!isAbsent(error)) {
      throw ioError('put aside', donor.gitDir, error);
    }
  }
  await rm(aside, { recursive: true, force: true });
}

/** Brings one commit into the donor when its branches do not reach it: a detached HEAD, or the commit of a deleted branch. */
async function bringCommit(host: Host, donor: string, sources: readonly string[], commit: Oid): Promise<void> {
  const has = async (): Promise<boolean> =>
    (await host.git.run([`--git-dir=${donor}`, 'cat-file', '-e', `${commit}^{tree}`], { expect: [0, 1, 128] })).code ===
    0;
  for (const source of sources) {
    if (await has()) {
      return;
    }
    try {
      await fetchInto(host.git, {
        gitDir: donor,
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
