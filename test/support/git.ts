import { spawnSync } from 'node:child_process';
import { cleanEnvironment } from './environment';

export interface GitOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string | Buffer;
}

export interface GitRun {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Seconds since 1970 of the first commit that a test makes: 2024-01-01 00:00:00 UTC. */
export const FIRST_COMMIT = 1_704_067_200;

const IDENTITY = {
  GIT_AUTHOR_NAME: 'Tess Example',
  GIT_AUTHOR_EMAIL: 'tess@example.com',
  GIT_COMMITTER_NAME: 'Tess Example',
  GIT_COMMITTER_EMAIL: 'tess@example.com',
};

/** Given by hand on every call, so that no configuration file is needed in a test's home. */
const CONFIGURATION = {
  'init.defaultBranch': 'main',
  // Nobody types a passphrase in a test.
  'commit.gpgSign': 'false',
  'tag.gpgSign': 'false',
  // Both kinds of automatic maintenance start background processes that outlive a test's folder.
  'gc.auto': '0',
  'maintenance.auto': 'false',
  'advice.detachedHead': 'false',
  'advice.addEmbeddedRepo': 'false',
  // Submodules of the tests come from folders.
  'protocol.file.allow': 'always',
};

function gitEnvironment(overrides: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const entries = Object.entries(CONFIGURATION);
  const configuration = Object.fromEntries(
    entries.flatMap(([key, value], index) => [
      [`GIT_CONFIG_KEY_${String(index)}`, key],
      [`GIT_CONFIG_VALUE_${String(index)}`, value],
    ]),
  );
  const date = `${String(FIRST_COMMIT)} +0000`;
  return cleanEnvironment({
    ...IDENTITY,
    GIT_AUTHOR_DATE: date,
    GIT_COMMITTER_DATE: date,
    GIT_CONFIG_COUNT: String(entries.length),
    ...configuration,
    ...overrides,
  });
}

/** Runs the user's git, or an agent's; any exit is a result. */
export function tryGit(args: readonly string[], cwd: string, options: GitOptions = {}): GitRun {
  const run = spawnSync('git', args, {
    cwd,
    env: gitEnvironment(options.env ?? {}),
    maxBuffer: 256 * 1024 * 1024,
    ...(options.input === undefined ? {} : { input: options.input }),
  });
  if (run.error !== undefined) {
    throw run.error;
  }
  return { code: run.status, stdout: run.stdout, stderr: run.stderr.toString() };
}

/** The bytes of stdout; throws with the whole story when git fails. */
export function git(args: readonly string[], cwd: string, options: GitOptions = {}): Buffer {
  const run = tryGit(args, cwd, options);
  if (run.code !== 0) {
    throw new Error(`git ${args.join(' ')} in ${cwd} exited with ${String(run.code)}: ${run.stderr}`);
  }
  return run.stdout;
}

/** For output of one line. */
export function gitLine(args: readonly string[], cwd: string, options: GitOptions = {}): string {
  return git(args, cwd, options).toString().trimEnd();
}
