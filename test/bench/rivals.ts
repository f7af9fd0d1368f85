// What other products and plain git do for a checkpoint, replayed command by command. Only their git commands are
// replayed: what else they do (walks for nested repositories, metadata, their own start) is left out, in their favour.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { git, gitLine } from '../support/git';

/** The same for everybody: no hooks, no automatic maintenance; `core.fsync` is git's default. */
const ALIKE = ['-c', 'core.hooksPath=/dev/null', '-c', 'gc.auto=0', '-c', 'maintenance.auto=false'];

function run(args: readonly string[], cwd: string, options: { env?: NodeJS.ProcessEnv; input?: string } = {}): string {
  return gitLine([...ALIKE, ...args], cwd, options);
}

export interface Rival {
  readonly name: string;
  /** A whole product's way; the others are yardsticks. */
  readonly product: boolean;
  /** Records the work tree as it is. */
  checkpoint(): void;
}

/** A git directory of its own over somebody's work tree, filled with the objects of a repository, its index warm. */
function shadow(place: string, workTree: string): NodeJS.ProcessEnv {
  run(['clone', '--quiet', '--bare', '--local', workTree, place], workTree);
  git(['config', 'core.bare', 'false'], place);
  const env = { GIT_DIR: place, GIT_WORK_TREE: workTree };
  run(['read-tree', 'HEAD'], workTree, { env });
  run(['add', '.'], workTree, { env });
  run(['commit', '--quiet', '--allow-empty', '--message', 'first'], workTree, { env });
  return env;
}

/** Cline up to 3.89, and Roo Code: everything is added to a shadow repository and committed there. */
function shadowRepository(folder: string, workTree: string): Rival {
  const env = shadow(join(folder, 'shadow-add-commit'), workTree);
  let count = 0;
  return {
    name: 'shadow repository (Cline 3, Roo Code)',
    product: true,
    checkpoint() {
      run(['add', '.', '--ignore-errors'], workTree, { env });
      run(['commit', '--message', `checkpoint ${++count}`, '--allow-empty', '--no-verify'], workTree, { env });
    },
  };
}

/** Gemini CLI: the same with a status in between. */
function geminiCli(folder: string, workTree: string): Rival {
  const env = shadow(join(folder, 'shadow-add-status-commit'), workTree);
  let count = 0;
  return {
    name: 'Gemini CLI',
    product: true,
    checkpoint() {
      run(['add', '.'], workTree, { env });
      run(['status', '--porcelain', '-b', '-u', '--null'], workTree, { env });
      run(['commit', '--message', `checkpoint ${++count}`, '--no-verify'], workTree, { env });
    },
  };
}

/** Cline 4: a stash commit in the user's repository; files that git does not know become a third parent of it. */
function cline4(folder: string, workTree: string, untracked: boolean): Rival {
  const ref = `refs/cline/checkpoints/${untracked ? 'a' : 'b'}`;
  let count = 0;
  return {
    name: untracked ? 'Cline 4' : 'Cline 4, when nothing is untracked',
    product: true,
    checkpoint() {
      const message = `checkpoint ${++count}`;
      let snapshot = run(['stash', 'create', message], workTree);
      const files = run(['ls-files', '--others', '--exclude-standard', '-z'], workTree);
      if (untracked) {
        const temporary = mkdtempSync(join(folder, 'cline-'));
        const pathspec = join(temporary, 'pathspec');
        writeFileSync(pathspec, files);
        const env = { GIT_INDEX_FILE: join(temporary, 'index') };
        run(['add', '--force', '--pathspec-from-file', pathspec, '--pathspec-file-nul'], workTree, { env });
        const tree = run(['write-tree'], workTree, { env });
        const parent = run(['commit-tree', tree, '-m', 'untracked files'], workTree, { env });
        rmSync(temporary, { recursive: true });
        const [whole, base, index] = ['^{tree}', '^1', '^2'].map((suffix) =>
          run(['rev-parse', `${snapshot}${suffix}`], workTree),
        ) as [string, string, string];
        const parents = ['-p', base, '-p', index, '-p', parent];
        snapshot = run(['commit-tree', whole, ...parents, '-m', message], workTree);
      }
      run(['update-ref', `${ref}/${count}`, snapshot], workTree);
    },
  };
}

function stashCreate(workTree: string): Rival {
  return {
    name: 'git stash create',
    product: false,
    checkpoint() {
      run(['stash', 'create'], workTree);
    },
  };
}

/** The capture at the end of one turn; the start of a turn and the lists of changes cost as much again. */
function agentHost(folder: string, workTree: string): Rival {
  const ref = (turn: number): string => `refs/agents/bench/checkpoints/turn/${turn}`;
  run(['update-ref', ref(0), 'HEAD'], workTree);
  let turn = 0;
  return {
    name: 'VS Code agent host, end of a turn',
    product: true,
    checkpoint() {
      run(['rev-parse', '--verify', ref(0)], workTree);
      const parent = run(['rev-parse', '--verify', ref(turn)], workTree);
      const changed = run(['status', '--porcelain=v1', '-z', '--untracked-files=all'], workTree);
      const temporary = mkdtempSync(join(folder, 'host-'));
      const env = { GIT_INDEX_FILE: join(temporary, 'index') };
      run(['read-tree', 'HEAD'], workTree, { env });
      const pathspec = join(temporary, 'pathspec');
      const paths = changed.split('\0').filter((entry) => entry !== '');
      writeFileSync(pathspec, paths.map((entry) => `${entry.slice(3)}\0`).join(''));
      run(['add', '-A', `--pathspec-from-file=${pathspec}`, '--pathspec-file-nul'], workTree, {
        env: { ...env, GIT_LITERAL_PATHSPECS: '1' },
      });
      const tree = run(['write-tree'], workTree, { env });
      rmSync(temporary, { recursive: true });
      const commit = run(['commit-tree', tree, '-p', parent, '-m', `turn ${++turn}`], workTree);
      run(['update-ref', ref(turn), commit], workTree);
    },
  };
}

/** All that look at the whole work tree. */
export function scanningRivals(folder: string, workTree: string): Rival[] {
  mkdirSync(folder, { recursive: true });
  return [
    shadowRepository(folder, workTree),
    geminiCli(folder, workTree),
    cline4(folder, workTree, true),
    cline4(folder, workTree, false),
    stashCreate(workTree),
    agentHost(folder, workTree),
  ];
}

/** After a round: the edits become a commit, so that everybody finds only the edits of the next one. */
export function commitAll(workTree: string): void {
  run(['commit', '--quiet', '--all', '--allow-empty', '--message', 'edits'], workTree);
}

/** A git directory of its own whose index is kept warm, and which is told what changed: four processes. */
export class PrivateIndex {
  static readonly title = 'warm private index, four processes';
  readonly #workTree: string;
  readonly #env: NodeJS.ProcessEnv;
  #commit: string;

  constructor(folder: string, workTree: string) {
    this.#workTree = workTree;
    this.#env = shadow(join(folder, 'private-index'), workTree);
    this.#commit = run(['rev-parse', 'HEAD'], workTree, { env: this.#env });
  }

  checkpoint(paths: readonly string[]): void {
    const [cwd, env] = [this.#workTree, this.#env];
    run(['update-index', '--add', '--remove', '-z', '--stdin'], cwd, { env, input: paths.join('\0') });
    const tree = run(['write-tree'], cwd, { env });
    const commit = run(['commit-tree', tree, '-p', this.#commit, '-m', 'checkpoint'], cwd, { env });
    run(['update-ref', 'refs/checkpoints/newest', commit, this.#previous], cwd, { env });
    this.#commit = commit;
    this.#previous = commit;
  }

  #previous = '0'.repeat(40);

  /** The slow and certain way, with the same warm index. */
  addAll(): void {
    run(['add', '--all'], this.#workTree, { env: this.#env });
  }
}

/** Where a person would look whether anything changed. */
export function status(workTree: string): void {
  run(['status', '--porcelain'], workTree);
}

/** Every file of the work tree is made equal to HEAD again. */
export function readTreeReset(workTree: string): void {
  run(['read-tree', '-u', '--reset', 'HEAD'], workTree);
}

export function addToIndex(workTree: string, path: string): void {
  run(['add', path], workTree);
}

export function cloneLocal(source: string, target: string): void {
  run(['clone', '--quiet', '--local', source, target], source);
}

export function addWorktree(source: string, target: string, branch: string): void {
  run(['worktree', 'add', '--quiet', '-b', branch, target], source);
}
