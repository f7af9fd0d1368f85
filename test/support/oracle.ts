import { copyFileSync, existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { locate } from './bytePath';
import { git, gitLine, tryGit } from './git';
import { filesOfTree } from './snapshotTree';
import { temporaryFolder } from './temporary';

export interface OracleInput {
  readonly workTree: string;
  /** The tree that the session started from. */
  readonly baseTree: string;
  /** The tree of the clone's HEAD; null before its first commit. */
  readonly headTree: string | null;
  /** The newest snapshot's tree: an untracked file that has grown too large keeps what it has there. */
  readonly previousTree?: string | null;
  /** Bytes; untracked files above are left out. */
  readonly maxFileSize?: number;
}

/** An index of the base tree with the HEAD tree laid over it. */
interface Seed {
  readonly index: string;
  /** The attributes files in it. */
  readonly attributes: readonly string[];
}

/**
 * The tree that a snapshot has to have: a fresh index of the base tree and the HEAD tree over it, then `git add --all` and
 * `git write-tree`, in a scratch repository of its own that borrows the objects of the user's repository and of the clone.
 */
export class Oracle {
  readonly #scratch: string;
  readonly #seeds = new Map<string, Seed>();

  /** `objects`: object folders that hold the trees it is asked about. `exclude`: the user's `info/exclude`. */
  constructor(options: {
    readonly objects: readonly string[];
    readonly format?: 'sha1' | 'sha256';
    readonly exclude?: string;
  }) {
    this.#scratch = join(temporaryFolder('oracle'), 'scratch.git');
    mkdirSync(this.#scratch);
    git(['init', '--quiet', '--bare', `--object-format=${options.format ?? 'sha1'}`], this.#scratch);
    mkdirSync(join(this.#scratch, 'objects', 'info'), { recursive: true });
    writeFileSync(
      join(this.#scratch, 'objects', 'info', 'alternates'),
      options.objects.map((folder) => `${folder}\n`).join(''),
    );
    const exclude = options.exclude !== undefined && existsSync(options.exclude) ? readFileSync(options.exclude) : '';
    mkdirSync(join(this.#scratch, 'info'), { recursive: true });
    writeFileSync(join(this.#scratch, 'info', 'exclude'), exclude);
  }

  /** Readable in `store`. */
  get store(): string {
    return this.#scratch;
  }

  tree(input: OracleInput): string {
    const index = join(this.#scratch, 'index.now');
    const seed = this.#seed(input.baseTree, input.headTree);
    copyFileSync(seed.index, index);
    const env = { GIT_DIR: this.#scratch, GIT_WORK_TREE: input.workTree, GIT_INDEX_FILE: index };
    this.#forgetDeletedAttributes(input, seed, env);
    const large = this.#tooLarge(input, env);
    // A nested repository without a commit cannot be added; git leaves it out and says so with exit 1.
    const added = tryGit(['-c', 'core.safecrlf=false', 'add', '--all', '--ignore-errors', '--', '.'], input.workTree, {
      env,
    });
    if (added.code !== 0 && !added.stderr.includes('does not have a commit checked out')) {
      throw new Error(`git add failed: ${added.stderr}`);
    }
    if (large.length > 0) {
      const previous = input.previousTree ?? null;
      const kept = previous === null ? new Map<string, string>() : filesOfTree(this.#scratch, previous);
      const lines = large.map((path) => {
        const [mode = '', oid = ''] = (kept.get(path) ?? `0 ${'0'.repeat(input.baseTree.length)}`).split(' ');
        return `${mode} ${oid}\t${path}\0`;
      });
      git(['update-index', '-z', '--index-info'], input.workTree, {
        env,
        input: Buffer.from(lines.join(''), 'latin1'),
      });
    }
    return gitLine(['write-tree'], input.workTree, { env });
  }

  #seed(baseTree: string, headTree: string | null): Seed {
    const key = `${baseTree}-${headTree ?? 'none'}`;
    const known = this.#seeds.get(key);
    if (known !== undefined) {
      return known;
    }
    const index = join(this.#scratch, `index.${key}`);
    const env = { GIT_DIR: this.#scratch, GIT_INDEX_FILE: index };
    git(['read-tree', baseTree], this.#scratch, { env });
    if (headTree !== null && headTree !== baseTree) {
      const listing = git(['ls-tree', '-r', '-z', '--full-tree', headTree], this.#scratch);
      git(['update-index', '-z', '--replace', '--index-info'], this.#scratch, {
        env,
        input: listing,
      });
    }
    const attributes = git(['ls-files', '-z', '--cached'], this.#scratch, { env })
      .toString('latin1')
      .split('\0')
      .filter((path) => /(^|\/)\.gitattributes$/.test(path));
    const seed = { index, attributes };
    this.#seeds.set(key, seed);
    return seed;
  }

  /**
   * Where the work tree has no attributes file git falls back to the one in the index, until it comes across its deletion:
   * half of the files would be converted by rules that are gone. Here the disk decides for all of them.
   */
  #forgetDeletedAttributes(input: OracleInput, seed: Seed, env: NodeJS.ProcessEnv): void {
    const gone = seed.attributes.filter((path) => !isFile(input.workTree, path));
    if (gone.length > 0) {
      const lines = gone.map((path) => `0 ${'0'.repeat(input.baseTree.length)}\t${path}\0`);
      git(['update-index', '-z', '--index-info'], input.workTree, {
        env,
        input: Buffer.from(lines.join(''), 'latin1'),
      });
    }
  }

  #tooLarge(input: OracleInput, env: NodeJS.ProcessEnv): string[] {
    const { maxFileSize } = input;
    if (maxFileSize === undefined) {
      return [];
    }
    return git(['ls-files', '--others', '--exclude-standard', '-z'], input.workTree, { env })
      .toString('latin1')
      .split('\0')
      .filter((path) => {
        const stats =
          path === ''
            ? undefined
            : lstatSync(locate(input.workTree, Buffer.from(path, 'latin1')), {
                throwIfNoEntry: false,
              });
        return stats?.isFile() === true && stats.size > maxFileSize;
      });
  }
}

/** False as well when a link stands above it. */
function isFile(workTree: string, path: string): boolean {
  const parts = path.split('/');
  return parts.every((_, index) => {
    const part = Buffer.from(parts.slice(0, index + 1).join('/'), 'latin1');
    const stats = lstatSync(locate(workTree, part), { throwIfNoEntry: false });
    return index === parts.length - 1 ? stats?.isFile() : stats?.isDirectory();
  });
}

/** The tree of a repository's HEAD; null before its first commit. */
export function headTreeOf(repository: string): string | null {
  const run = tryGit(['rev-parse', '--verify', '--quiet', 'HEAD^{tree}'], repository);
  return run.code === 0 ? run.stdout.toString().trim() : null;
}
