/** Variables that git or the system libraries below it need; everything else stays outside. */
const PASSED = [
  'PATH',
  'TMPDIR',
  'TEMP',
  'TMP',
  'LANG',
  'LC_CTYPE',
  'SYSTEMROOT',
  'SYSTEMDRIVE',
  'WINDIR',
  'COMSPEC',
  'PATHEXT',
  'LD_LIBRARY_PATH',
  'DYLD_LIBRARY_PATH',
];

const SETTINGS: readonly (readonly [string, string])[] = [
  // A hook of anybody's could veto or change what we write.
  ['core.hooksPath', '/dev/null'],
  // It names a program.
  ['core.fsmonitor', 'false'],
  // Maintenance is ours, bounded and under a claim.
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  // A local path may never turn into a program.
  ['protocol.ext.allow', 'never'],
  ['core.protectHFS', 'true'],
  ['core.protectNTFS', 'true'],
  // Our log format must not depend on what somebody likes to see.
  ['log.showSignature', 'false'],
  ['log.showRoot', 'false'],
  ['diff.renames', 'true'],
  ['commit.gpgSign', 'false'],
  ['tag.gpgSign', 'false'],
  ['advice.detachedHead', 'false'],
  ['submodule.recurse', 'false'],
  ['fetch.recurseSubmodules', 'false'],
];

export type Environment = Readonly<Record<string, string>>;

function pick(source: Readonly<NodeJS.ProcessEnv>, names: readonly string[]): Record<string, string> {
  // Names of variables have no case on Windows.
  const wanted = new Set(names);
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(source)) {
    if (value !== undefined && (wanted.has(name) || (process.platform === 'win32' && wanted.has(name.toUpperCase())))) {
      result[name] = value;
    }
  }
  return result;
}

/**
 * The environment of our own git: built from an allow-list, without system, global or inherited configuration.
 * @param options.safeDirectories folders that the user's own git has accepted; git would refuse them when another user owns them
 * @param options.fsync objects and refs reach the disk before git goes on (git before 2.36 does not know that for refs)
 */
export function ownEnvironment(
  source: Readonly<NodeJS.ProcessEnv>,
  options: { readonly safeDirectories?: readonly string[]; readonly fsync?: boolean } = {},
): Environment {
  const settings = [
    ...SETTINGS,
    ...(options.fsync === true ? [['core.fsync', 'committed'] as const] : []),
    ...(options.safeDirectories ?? []).map((folder) => ['safe.directory', folder] as const),
  ];
  const environment = pick(source, PASSED);
  Object.assign(environment, {
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    // A status of ours must never make the user's `git commit` fail on `index.lock`.
    GIT_OPTIONAL_LOCKS: '0',
    GIT_TERMINAL_PROMPT: '0',
    // A partial clone would start a transport that its configuration names.
    GIT_NO_LAZY_FETCH: '1',
    // The refs of what we make are files, whatever a newer git would choose: a copied configuration names no other kind.
    GIT_DEFAULT_REF_FORMAT: 'files',
    // A replaced object is not the object that we recorded.
    GIT_NO_REPLACE_OBJECTS: '1',
    // English messages; the character set stays as it is.
    LC_MESSAGES: 'C',
    GIT_CONFIG_COUNT: String(settings.length),
  });
  settings.forEach(([key, value], index) => {
    environment[`GIT_CONFIG_KEY_${String(index)}`] = key;
    environment[`GIT_CONFIG_VALUE_${String(index)}`] = value;
  });
  return environment;
}

/** The user's environment, for the few questions whose answer depends on her own configuration; only inherited git variables are taken out. */
export function userEnvironment(source: Readonly<NodeJS.ProcessEnv>): Environment {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(source)) {
    const upper = name.toUpperCase();
    const isPlace =
      /^GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|NAMESPACE|PREFIX|CONFIG_PARAMETERS|CONFIG|TRACE.*)$/.test(
        upper,
      );
    if (value !== undefined && !isPlace && upper !== 'LC_ALL' && upper !== 'LANGUAGE') {
      environment[name] = value;
    }
  }
  environment['GIT_OPTIONAL_LOCKS'] = '0';
  environment['GIT_TERMINAL_PROMPT'] = '0';
  environment['LC_MESSAGES'] = 'C';
  return environment;
}
