import { lstatSync } from 'node:fs';
import { isAbsent } from '../base/errors';
import { parentPath, type RepoPath } from '../core/repoPath';
import type { WorkTree } from './workTree';

const ABSENT = 'absent';

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

  /** @returns whether any rule file of the work tree stands above the path, and whether one of them or of those outside is not as it was when last looked at */
  look(path: RepoPath): { readonly any: boolean; readonly changed: boolean } {
    let any = false;
    let changed = false;
    const check = (key: string, file: string | Buffer): string => {
      const now = signature(file);
      const before = this.#seen.get(key);
      changed ||= before !== undefined && before !== now;
      this.#seen.set(key, now);
      return now;
    };
    for (const file of this.#outside) {
      check(`\0${file}`, file);
    }
    let folder: RepoPath | '' = path;
    do {
      folder = parentPath(folder);
      const file = (folder === '' ? this.#name : `${folder}/${this.#name}`) as RepoPath;
      any = check(folder, this.#workTree.fsPath(file)) !== ABSENT || any;
    } while (folder !== '');
    return { any, changed };
  }
}

function signature(file: string | Buffer): string {
  try {
    const stats = lstatSync(file, { bigint: true, throwIfNoEntry: false });
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
