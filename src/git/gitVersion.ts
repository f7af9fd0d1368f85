export interface GitVersion {
  readonly major: number;
  readonly minor: number;
  readonly text: string;
}

/** Ubuntu 22.04's. Older ones lack `GIT_CONFIG_COUNT` in all places that we need and fixes of `update-ref --stdin`. */
export const OLDEST_GIT: GitVersion = { major: 2, minor: 34, text: '2.34' };

/** What a newer git can do, asked for by name. */
export const FEATURES = {
  /** `repack --cruft`: a full repack that keeps what is fresh though nothing leads to it. */
  cruft: { major: 2, minor: 37 },
  /** Reads refs that are kept in tables. */
  tables: { major: 2, minor: 45 },
} as const;

export type Feature = keyof typeof FEATURES;

/** Parses the answer of `git --version`, also Apple's and Windows' with their additions; undefined when it is none. */
export function parseGitVersion(text: string): GitVersion | undefined {
  const match = /^git version (\d+)\.(\d+)(\S*)/.exec(text.trim());
  const [, major, minor, rest] = match ?? [];
  if (major === undefined || minor === undefined) {
    return undefined;
  }
  return { major: Number(major), minor: Number(minor), text: `${major}.${minor}${rest ?? ''}` };
}

export function isAtLeast(version: GitVersion, wanted: { readonly major: number; readonly minor: number }): boolean {
  return version.major > wanted.major || (version.major === wanted.major && version.minor >= wanted.minor);
}
