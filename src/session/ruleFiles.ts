import { lstatSync } from 'node:fs';
import { BulkheadError, isAbsent } from '../base/errors';
import { baseName, parentPath, type RepoPath, visiblePath } from '../core/repoPath';
import type { WorkTree } from './workTree';

const ABSENT = 'absent';
const PIPE = 'pipe';
const RULE_NAMES = new Set(['.gitignore', '.gitattributes']);

/**
 * Notices when rule files (`.gitignore`, `.gitattributes`) along a path changed since a warm process read them: such a
 * process keeps what it has read. A look costs one `lstat` per folder above the path.
 */
export class RuleFiles {
  readonly #workTree: WorkTree;
  readonly #name: string;
  readonly #outside: readonly string[];
  readonly #seen = new Map<string, string>();

  constructor(workTree: WorkTree, name: '.gitignore' | '.gitattributes', outside: readonly string[]) {
    this.#workTree = workTree;
    this.#name = name;
    this.#outside = outside;
  }

  /**
   * @param looked places that were looked at in the same run of a capture, which need no second look
   * @throws BulkheadError `rule-file-pipe`
   * @returns whether any rule file of the work tree stands above the path, and whether one of them or of those outside is not as it was when last looked at
   */
  look(path: RepoPath, looked = new Set<string>()): { readonly any: boolean; readonly changed: boolean } {
    let any = false;
    let changed = false;
    const check = (key: string, file: string | Buffer, path: RepoPath | null): string => {
      const known = looked.has(key) ? this.#seen.get(key) : undefined;
      if (known !== undefined) {
        return known;
      }
      looked.add(key);
      const now = signature(file);
      if (now === PIPE && path !== null) {
        throw rulePipe(path);
      }
      const before = this.#seen.get(key);
      changed ||= before !== undefined && before !== now;
      this.#seen.set(key, now);
      return now;
    };
    for (const file of this.#outside) {
      check(`\0${file}`, file, null);
    }
    let folder: RepoPath | '' = path;
    do {
      folder = parentPath(folder);
      const file = (folder === '' ? this.#name : `${folder}/${this.#name}`) as RepoPath;
      any = check(folder, this.#workTree.fsPath(file), file) !== ABSENT || any;
    } while (folder !== '');
    return { any, changed };
  }
}

/** Git would wait for ever for somebody to write into it. */
export function rulePipe(path: RepoPath): BulkheadError {
  return new BulkheadError(
    'refused',
    'rule-file-pipe',
    `${visiblePath(path)} is a pipe and no file, so git cannot read its rules. Nothing was recorded or changed; remove it, then try again.`,
    { data: { path: visiblePath(path) } },
  );
}

/** Looks through a work tree for a pipe where git reads rules. */
export async function findRulePipe(workTree: WorkTree, folder: RepoPath | '' = ''): Promise<RepoPath | undefined> {
  // Others get their turn between two folders.
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  for (const { path, kind, isAllowed } of workTree.list(folder)) {
    if (kind === 'special' && RULE_NAMES.has(baseName(path))) {
      return path;
    }
    const below = kind === 'folder' && isAllowed ? await findRulePipe(workTree, path) : undefined;
    if (below !== undefined) {
      return below;
    }
  }
  return undefined;
}

function signature(file: string | Buffer): string {
  try {
    const stats = lstatSync(file, { bigint: true, throwIfNoEntry: false });
    if (stats?.isFIFO() === true) {
      return PIPE;
    }
    return stats === undefined
      ? ABSENT
      : `${String(stats.ino)} ${String(stats.size)} ${String(stats.mtimeNs)} ${String(stats.ctimeNs)}`;
  } catch (error) {
    if (isAbsent(error)) {
      return ABSENT;
    }
    // Unreadable rules are no rules for git either; the difference is noticed when that changes.
    return 'unreadable';
  }
}
