import { isOid, type Oid } from '../core/objectId';
import type { Git } from './git';
import { GitError } from './gitError';

const FORMAT = '--format=%(objectname) %(refname)';

/** Parses what `for-each-ref` prints in the format of `listRefs`: oids by full name of the ref, in git's order. */
export function parseRefs(text: string): Map<string, Oid> {
  const refs = new Map<string, Oid>();
  for (const line of text.split('\n')) {
    if (line === '') {
      continue;
    }
    // No ref has a space in its name (git-check-ref-format).
    const [oid = '', ref = '', ...rest] = line.split(' ');
    if (!isOid(oid) || !ref.startsWith('refs/') || rest.length > 0) {
      throw new GitError('git-output-invalid', `git for-each-ref gave an unexpected answer: ${line.slice(0, 200)}`);
    }
    refs.set(ref, oid);
  }
  return refs;
}

/**
 * Refs below some folders, or of some names.
 * @throws GitError `git-output-invalid`, and what a run of git throws
 */
export async function listRefs(git: Git, gitDir: string, places: readonly string[]): Promise<Map<string, Oid>> {
  return (await listReadableRefs(git, gitDir, places)).refs;
}

/** As `listRefs`, with the names of those that git cannot read. */
export async function listReadableRefs(
  git: Git,
  gitDir: string,
  places: readonly string[],
): Promise<{ readonly refs: Map<string, Oid>; readonly broken: readonly string[] }> {
  const { stdout, stderr } = await git.run([`--git-dir=${gitDir}`, 'for-each-ref', FORMAT, ...places]);
  const broken = [...stderr.matchAll(/ignoring broken ref (refs\/\S+)/g)].map(([, ref]) => ref ?? '');
  return { refs: parseRefs(stdout.toString('utf8')), broken };
}
