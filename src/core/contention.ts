import picomatch from 'picomatch';
import type { Oid } from './objectId';
import { type RepoPath, displayPath } from './repoPath';

export interface Entry {
  readonly mode: string;
  readonly oid: Oid;
}

/** A path before and after; null where it is absent. */
export interface EntryChange {
  readonly old: Entry | null;
  readonly new: Entry | null;
}

export type ChangeMap = ReadonlyMap<RepoPath, EntryChange>;

/** What one session did, seen from its own base. */
export interface SideChanges {
  readonly session: string;
  readonly changes: ChangeMap;
  /**
   * Changes to use instead in the pair with the named session. For the user's checkout: it has no base of its own, so towards each
   * session it counts from that session's base.
   */
  readonly against?: ReadonlyMap<string, ChangeMap>;
}

export interface Contended {
  readonly path: RepoPath;
  readonly sessions: readonly string[];
  readonly pairs: readonly { readonly a: string; readonly b: string }[];
}

export interface ContentionOptions {
  readonly exclude: (path: RepoPath) => boolean;
}

/**
 * The paths to which two sessions gave different contents, each of which is news to the other: both differ from both bases and from
 * each other. So a session that merely started later, or took over the other's content, contends with nobody; a deletion
 * counts as a content. Those with most sessions first, then by path.
 */
export function contendedPaths(sides: readonly SideChanges[], options: ContentionOptions): Contended[] {
  const found = new Map<RepoPath, { a: string; b: string }[]>();
  sides.forEach((a, i) => {
    for (const b of sides.slice(i + 1)) {
      const changesA = a.against?.get(b.session) ?? a.changes;
      const changesB = b.against?.get(a.session) ?? b.changes;
      for (const path of sharedKeys(changesA, changesB)) {
        const changeA = changesA.get(path);
        const changeB = changesB.get(path);
        if (changeA !== undefined && changeB !== undefined && isContended(changeA, changeB)) {
          const pairs = found.get(path) ?? [];
          pairs.push({ a: a.session, b: b.session });
          found.set(path, pairs);
        }
      }
    }
  });
  return [...found]
    .filter(([path]) => !options.exclude(path))
    .map(([path, pairs]) => ({ path, sessions: [...new Set(pairs.flatMap(({ a, b }) => [a, b]))], pairs }))
    .sort((x, y) => y.sessions.length - x.sessions.length || (x.path < y.path ? -1 : 1));
}

/** Lock files and generated files: two sessions nearly always differ there, and a tool makes them again. */
export const DEFAULT_EXCLUDED: readonly string[] = [
  'package-lock.json',
  'npm-shrinkwrap.json',
  'yarn.lock',
  'pnpm-lock.yaml',
  'bun.lock',
  'bun.lockb',
  'deno.lock',
  'Cargo.lock',
  'poetry.lock',
  'uv.lock',
  'pdm.lock',
  'Pipfile.lock',
  'Gemfile.lock',
  'composer.lock',
  'go.sum',
  'go.work.sum',
  'flake.lock',
  'mix.lock',
  'pubspec.lock',
  'Podfile.lock',
  'Package.resolved',
  'packages.lock.json',
  'gradle.lockfile',
  '.terraform.lock.hcl',
  '*.min.js',
  '*.min.css',
  '*.map',
  '*.pyc',
  '*.tsbuildinfo',
  '**/node_modules/**',
  '**/dist/**',
  '**/__pycache__/**',
  '**/.venv/**',
];

/** Globs over whole paths; one without a slash matches at any depth, as in `.gitignore`. */
export function excludedBy(globs: readonly string[]): (path: RepoPath) => boolean {
  const patterns = globs.filter((glob) => glob !== '').map((glob) => (glob.includes('/') ? glob : `**/${glob}`));
  if (patterns.length === 0) {
    return () => false;
  }
  // `windows: false`: our paths have forward slashes everywhere. `nonegate`: a list of exclusions has nothing to negate.
  const compile = (): ((path: string) => boolean) => picomatch(patterns, { dot: true, nonegate: true, windows: false });
  // Most processes never compare anything.
  let matches: ((path: string) => boolean) | undefined;
  return (path) => (matches ??= compile())(displayPath(path));
}

function isContended(a: EntryChange, b: EntryChange): boolean {
  return (
    !isSame(a.new, b.new) &&
    !isSame(a.new, a.old) &&
    !isSame(a.new, b.old) &&
    !isSame(b.new, a.old) &&
    !isSame(b.new, b.old)
  );
}

function isSame(a: Entry | null, b: Entry | null): boolean {
  return a?.oid === b?.oid && a?.mode === b?.mode;
}

function* sharedKeys(a: ChangeMap, b: ChangeMap): Generator<RepoPath> {
  const [few, many] = a.size <= b.size ? [a, b] : [b, a];
  for (const path of few.keys()) {
    if (many.has(path)) {
      yield path;
    }
  }
}
