import {
  appendFileSync,
  chmodSync,
  existsSync,
  type Dirent,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { locate } from './bytePath';
import { git, tryGit } from './git';
import { SeededRandom } from './seededRandom';
import { temporaryFolder } from './temporary';

/** One thing that happened to the work tree. */
export interface Edit {
  /** For the story of a failed run. */
  readonly what: string;
  /** Binary strings relative to the work tree, as a watcher would report them; a folder means all below it. */
  readonly touched: readonly string[];
}

export interface EditScriptOptions {
  readonly seed: number;
  /** Untracked files above this size are written now and then. */
  readonly largeFileSize?: number;
  /** Commits, branches and resets through git in the work tree; default true. */
  readonly throughGit?: boolean;
}

interface Node {
  /** Binary string. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link' | 'nested';
}

type Step = (script: EditScript) => Edit | undefined;

const PLAIN_NAMES = [
  'a',
  'b.txt',
  'c.ts',
  'd.md',
  'e.txt',
  'f.bin',
  'g.log',
  'h.tmp',
  'index',
  'lib',
  'src',
  'docs',
  'build',
  'Data',
  'data',
];
const ODD_NAMES = [
  'with space',
  ' leading',
  'trailing ',
  'new\nline',
  'tab\tname',
  'quo"te',
  "apos'trophe",
  '-dash',
  '--all',
  'emoji🛟',
  'ünïcödé',
  'u\u0308decomposed',
  '日本語',
  'star*',
  '[brackets]',
  ':(top)magic',
  '!bang',
  '#hash',
  'back\\slash',
  'dollar$HOME',
  'percent%20',
  'semi;colon',
  '~tilde',
  '..dots',
  'dots..',
  'x'.repeat(120),
];
const NOT_UTF8 = ['latin1-\xe9', '\xff\xfe', 'cut\xc3'];
const IGNORE_LINES = [
  '*.log',
  '*.tmp',
  'build/',
  '/lib',
  '!keep.log',
  'docs/*',
  '!docs/d.md',
  '*.bin',
  'Data',
  '',
  '# nothing',
  'src/**/h.tmp',
  '[bracket',
];
const ATTRIBUTE_LINES = [
  '*.txt text',
  '*.txt text eol=crlf',
  '*.txt -text',
  '*.md text eol=lf',
  '*.bin binary',
  '* text=auto',
  '*.ts ident',
  '',
  '# nothing',
];

/** Random edits on one work tree. The same seed on the same tree does the same; the caller prints the seed. */
export class EditScript {
  readonly root: string;
  readonly random: SeededRandom;
  readonly #options: EditScriptOptions;
  readonly #outside: string;
  #branches = 0;

  constructor(root: string, options: EditScriptOptions) {
    this.root = root;
    this.random = new SeededRandom(options.seed);
    this.#options = options;
    this.#outside = temporaryFolder('outside');
    writeFileSync(`${this.#outside}/secret.txt`, 'outside of the work tree\n');
    mkdirSync(`${this.#outside}/sub`);
    writeFileSync(`${this.#outside}/sub/b.txt`, 'outside as well\n');
  }

  /** Does one edit. Kinds that the tree gives no occasion for are passed over. */
  step(): Edit {
    const kinds = this.#options.throughGit === false ? FILE_STEPS : [...FILE_STEPS, ...GIT_STEPS];
    const total = kinds.reduce((sum, [weight]) => sum + weight, 0);
    for (;;) {
      let left = this.random.fraction() * total;
      const [, step] = kinds.find(([weight]) => (left -= weight) < 0) ?? FILE_STEPS[0]!;
      const edit = step(this);
      if (edit !== undefined) {
        return edit;
      }
    }
  }

  // What the steps below are made of.

  get outside(): string {
    return this.#outside;
  }

  get largeFileSize(): number | undefined {
    return this.#options.largeFileSize;
  }

  at(path: string): Buffer {
    return locate(this.root, Buffer.from(path, 'latin1'));
  }

  /** Everything below the root in a fixed order; nested repositories and links are not entered. */
  nodes(): Node[] {
    const found: Node[] = [];
    const visit = (folder: string): void => {
      const entries: Dirent<Buffer>[] = readdirSync(folder === '' ? Buffer.from(this.root) : this.at(folder), {
        withFileTypes: true,
        encoding: 'buffer',
      });
      for (const entry of entries.sort((a, b) => a.name.compare(b.name))) {
        const name = entry.name.toString('latin1');
        const path = folder === '' ? name : `${folder}/${name}`;
        if (path === '.git') {
          continue;
        }
        if (!entry.isDirectory()) {
          found.push({ path, kind: entry.isSymbolicLink() ? 'link' : 'file' });
        } else if (existsSync(this.at(`${path}/.git`))) {
          found.push({ path, kind: 'nested' });
        } else {
          found.push({ path, kind: 'folder' });
          visit(path);
        }
      }
    };
    visit('');
    return found;
  }

  some(kind: Node['kind']): string | undefined {
    const candidates = this.nodes().filter((node) => node.kind === kind && !isSetting(node.path));
    return candidates.length === 0 ? undefined : this.random.pick(candidates).path;
  }

  /** An ordinary folder of the tree; the root as ''. */
  folder(): string {
    const folders = this.nodes().filter((node) => node.kind === 'folder' && node.path.split('/').length < 5);
    return this.random.pick(['', '', ...folders.map((node) => node.path)]);
  }

  newName(): string {
    if (this.random.chance(0.75)) {
      return this.random.pick(PLAIN_NAMES);
    }
    const odd = ODD_NAMES.map((name) => Buffer.from(name).toString('latin1'));
    return this.random.pick(process.platform === 'linux' ? [...odd, ...NOT_UTF8] : odd);
  }

  /** A path that does not exist yet, in an existing folder. */
  freePath(): string | undefined {
    for (let tries = 0; tries < 20; tries++) {
      const path = under(this.folder(), this.newName());
      if (!this.exists(path)) {
        return path;
      }
    }
    return undefined;
  }

  exists(path: string): boolean {
    return lstatSync(this.at(path), { throwIfNoEntry: false }) !== undefined;
  }

  content(): Buffer {
    const { random } = this;
    if (random.chance(0.15)) {
      return random.bytes(random.integer(0, 200));
    }
    const end = random.chance(0.25) ? '\r\n' : '\n';
    const lines = Array.from({ length: random.integer(0, 12) }, () => `line ${String(random.integer(0, 40))}`);
    return Buffer.from(lines.join(end) + (random.chance(0.8) ? end : ''));
  }

  /** Runs git as the agent would; what it changed is found by comparing the tree before and after. */
  agentGit(what: string, ...commands: readonly (readonly string[])[]): Edit {
    const before = this.#fingerprints();
    for (const args of commands) {
      // Git may refuse, for instance a switch over local changes: then nothing happens, which is an edit too.
      tryGit(args, this.root);
    }
    const after = this.#fingerprints();
    const paths = [...new Set([...before.keys(), ...after.keys()])];
    return { what, touched: paths.filter((path) => before.get(path) !== after.get(path)) };
  }

  nextBranch(): string {
    this.#branches += 1;
    return `side-${String(this.#branches)}`;
  }

  #fingerprints(): Map<string, string> {
    const prints = new Map<string, string>();
    for (const { path, kind } of this.nodes()) {
      if (kind === 'file') {
        prints.set(path, `${String(lstatSync(this.at(path)).mode)} ${readFileSync(this.at(path)).toString('latin1')}`);
      } else if (kind === 'link') {
        prints.set(path, `link ${readlinkSync(this.at(path), 'buffer').toString('latin1')}`);
      } else {
        prints.set(path, kind);
      }
    }
    return prints;
  }
}

/** Files whose content steers git are changed by their own steps only. */
function isSetting(path: string): boolean {
  return /(^|\/)\.git(ignore|attributes|modules)$/.test(path);
}

function under(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** What a link at `from` has to hold to lead to `to`. */
function wayFrom(from: string, to: string): Buffer {
  return Buffer.from('../'.repeat(from.split('/').length - 1) + to, 'latin1');
}

const createFile: Step = (script) => {
  const path = script.freePath();
  if (path === undefined) {
    return undefined;
  }
  writeFileSync(script.at(path), script.content());
  return { what: 'create', touched: [path] };
};

const createDeep: Step = (script) => {
  const folder = script.freePath();
  if (folder === undefined || folder.split('/').length > 4) {
    return undefined;
  }
  const inner = under(folder, script.newName());
  mkdirSync(script.at(inner), { recursive: true });
  const files = Array.from({ length: script.random.integer(1, 3) }, (_, index) =>
    under(inner, `${script.newName()}${String(index)}`),
  );
  for (const file of files) {
    writeFileSync(script.at(file), script.content());
  }
  return { what: 'create in a new folder', touched: script.random.chance(0.5) ? files : [folder] };
};

const editFile: Step = (script) => {
  const path = script.some('file');
  if (path === undefined) {
    return undefined;
  }
  switch (script.random.integer(0, 3)) {
    case 0:
      appendFileSync(script.at(path), 'appended\n');
      break;
    case 1: {
      // Same size, and most likely the same time stamp: only the content tells.
      const content = readFileSync(script.at(path));
      if (content.length > 0) {
        const position = script.random.integer(0, content.length - 1);
        content[position] = content[position] === 0x41 ? 0x42 : 0x41;
      }
      writeFileSync(script.at(path), content);
      break;
    }
    default:
      writeFileSync(script.at(path), script.content());
  }
  return { what: 'edit', touched: [path] };
};

const replaceFile: Step = (script) => {
  const path = script.some('file');
  if (path === undefined) {
    return undefined;
  }
  const temporary = under(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '', '.replacing');
  writeFileSync(script.at(temporary), script.content());
  renameSync(script.at(temporary), script.at(path));
  return { what: 'replace by rename', touched: [temporary, path] };
};

const touchFile: Step = (script) => {
  const path = script.some('file');
  if (path === undefined) {
    return undefined;
  }
  const time = script.random.integer(1_600_000_000, 1_700_000_000);
  utimesSync(script.at(path), time, time);
  return { what: 'change the time only', touched: [path] };
};

const deleteFile: Step = (script) => {
  const path = script.some(script.random.chance(0.8) ? 'file' : 'link');
  if (path === undefined) {
    return undefined;
  }
  rmSync(script.at(path));
  return { what: 'delete', touched: [path] };
};

const rename: Step = (script) => {
  const from = script.some(script.random.pick(['file', 'file', 'folder', 'link']));
  const to = script.freePath();
  if (from === undefined || to === undefined || to.startsWith(`${from}/`)) {
    return undefined;
  }
  renameSync(script.at(from), script.at(to));
  return { what: 'rename', touched: [from, to] };
};

const renameCaseOnly: Step = (script) => {
  const from = script.some(script.random.pick(['file', 'folder']));
  if (from === undefined) {
    return undefined;
  }
  const slash = from.lastIndexOf('/');
  const name = from.slice(slash + 1);
  const swapped = name.replace(/[a-z]/i, (letter) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  );
  const to = from.slice(0, slash + 1) + swapped;
  if (swapped === name || script.exists(to)) {
    return undefined;
  }
  renameSync(script.at(from), script.at(to));
  return { what: 'rename in case only', touched: [from, to] };
};

const fileToFolder: Step = (script) => {
  const path = script.some(script.random.pick(['file', 'link']));
  if (path === undefined || path.split('/').length > 4) {
    return undefined;
  }
  rmSync(script.at(path));
  mkdirSync(script.at(path));
  const inner = under(path, script.newName());
  writeFileSync(script.at(inner), script.content());
  return {
    what: 'file becomes folder',
    touched: script.random.chance(0.5) ? [path] : [path, inner],
  };
};

const folderToFile: Step = (script) => {
  const path = script.some('folder');
  if (path === undefined) {
    return undefined;
  }
  rmSync(script.at(path), { recursive: true });
  writeFileSync(script.at(path), script.content());
  return { what: 'folder becomes file', touched: [path] };
};

const deleteFolder: Step = (script) => {
  const path = script.some('folder');
  if (path === undefined) {
    return undefined;
  }
  rmSync(script.at(path), { recursive: true });
  return { what: 'delete folder', touched: [path] };
};

const emptyFolder: Step = (script) => {
  const path = script.some('folder');
  if (path === undefined) {
    return undefined;
  }
  rmSync(script.at(path), { recursive: true });
  mkdirSync(script.at(path));
  return { what: 'empty folder', touched: [path] };
};

const changeMode: Step = (script) => {
  const path = script.some('file');
  if (path === undefined) {
    return undefined;
  }
  chmodSync(script.at(path), script.random.chance(0.5) ? 0o755 : 0o644);
  return { what: 'change mode', touched: [path] };
};

const linkToFile: Step = (script) => {
  const path = script.freePath();
  if (path === undefined) {
    return undefined;
  }
  const target = script.some('file');
  symlinkSync(
    target === undefined || script.random.chance(0.3) ? Buffer.from('nowhere') : script.at(target),
    script.at(path),
  );
  return { what: 'link', touched: [path] };
};

const linkToFolder: Step = (script) => {
  const inside = script.some('folder');
  const replaced = script.random.chance(0.4) ? script.some('folder') : undefined;
  const path = replaced ?? script.freePath();
  if (path === undefined) {
    return undefined;
  }
  if (replaced !== undefined) {
    rmSync(script.at(replaced), { recursive: true });
  }
  const toInside = inside !== undefined && script.random.chance(0.5);
  symlinkSync(toInside ? wayFrom(path, inside) : Buffer.from(script.outside), script.at(path));
  return {
    what: `linked folder ${toInside ? 'inside' : 'outside'}`,
    touched: script.random.chance(0.5) ? [path] : [path, under(path, 'b.txt')],
  };
};

const linkBecomesFolder: Step = (script) => {
  const path = script.some('link');
  if (path === undefined || path.split('/').length > 4) {
    return undefined;
  }
  rmSync(script.at(path));
  mkdirSync(script.at(path));
  writeFileSync(script.at(under(path, 'b.txt')), script.content());
  return { what: 'link becomes folder', touched: [under(path, 'b.txt')] };
};

const largeFile: Step = (script) => {
  const size = script.largeFileSize;
  const path = script.random.chance(0.5) ? script.some('file') : script.freePath();
  if (size === undefined || path === undefined) {
    return undefined;
  }
  writeFileSync(script.at(path), Buffer.alloc(size + script.random.integer(-1, 1), script.random.integer(65, 70)));
  return { what: 'large file', touched: [path] };
};

const nestedRepository: Step = (script) => {
  const existing = script.some('nested');
  if (existing !== undefined && script.random.chance(0.8)) {
    if (script.random.chance(0.5)) {
      appendFileSync(script.at(under(existing, 'inner.txt')), 'more\n');
      return { what: 'edit in a nested repository', touched: [under(existing, 'inner.txt')] };
    }
    rmSync(script.at(existing), { recursive: true });
    return { what: 'delete a nested repository', touched: [existing] };
  }
  const parent = script.folder();
  const path = under(parent, `nested${String(script.random.integer(0, 3))}`);
  if (script.exists(path)) {
    return undefined;
  }
  mkdirSync(script.at(path));
  const folder = script.at(path).toString();
  if (!existsSync(folder)) {
    // Below a name that is not UTF-8, where no process can be started from here.
    rmSync(script.at(path), { recursive: true });
    return undefined;
  }
  writeFileSync(script.at(under(path, 'inner.txt')), 'inner\n');
  git(['init', '--quiet'], folder);
  git(['add', '--all'], folder);
  git(['commit', '--quiet', '--message', 'inner'], folder);
  return { what: 'nested repository', touched: [path] };
};

const changeIgnores: Step = (script) => {
  const { random } = script;
  const path = under(random.chance(0.6) ? '' : script.folder(), '.gitignore');
  if (script.exists(path) && random.chance(0.3)) {
    rmSync(script.at(path), { recursive: true });
    return { what: 'delete .gitignore', touched: [path] };
  }
  const lines = Array.from({ length: random.integer(0, 3) }, () => random.pick(IGNORE_LINES));
  writeFileSync(script.at(path), lines.map((line) => `${line}\n`).join(''));
  return { what: 'change .gitignore', touched: [path] };
};

const changeCloneExcludes: Step = (script) => {
  mkdirSync(`${script.root}/.git/info`, { recursive: true });
  writeFileSync(`${script.root}/.git/info/exclude`, `${script.random.pick(IGNORE_LINES)}\n`);
  return { what: 'change the clone’s own excludes', touched: [] };
};

const changeAttributes: Step = (script) => {
  const { random } = script;
  const path = under(random.chance(0.7) ? '' : script.folder(), '.gitattributes');
  if (script.exists(path) && random.chance(0.4)) {
    rmSync(script.at(path), { recursive: true });
    return { what: 'delete .gitattributes', touched: [path] };
  }
  const lines = Array.from({ length: random.integer(0, 2) }, () => random.pick(ATTRIBUTE_LINES));
  writeFileSync(script.at(path), lines.map((line) => `${line}\n`).join(''));
  return { what: 'change .gitattributes', touched: [path] };
};

const commitAll: Step = (script) =>
  script.agentGit('commit all', ['add', '--all'], ['commit', '--quiet', '--allow-empty', '--message', 'all']);

const commitIgnored: Step = (script) =>
  script.agentGit(
    'commit ignored files too',
    ['add', '--all', '--force'],
    ['commit', '--quiet', '--allow-empty', '--message', 'forced'],
  );

const untrack: Step = (script) =>
  script.agentGit(
    'stop tracking',
    ['rm', '--quiet', '-r', '--cached', '--ignore-unmatch', '--', '*.log', '*.tmp', '*.bin'],
    ['commit', '--quiet', '--message', 'untracked'],
  );

const newBranch: Step = (script) =>
  script.agentGit('new branch', ['switch', '--quiet', '--create', script.nextBranch()]);

const otherBranch: Step = (script) => script.agentGit('switch back', ['switch', '--quiet', '-']);

const forcedSwitch: Step = (script) =>
  script.agentGit('forced switch back', ['switch', '--quiet', '--discard-changes', '-']);

const resetHard: Step = (script) =>
  script.agentGit('reset to the commit before', ['reset', '--quiet', '--hard', 'HEAD~1']);

const resetSoft: Step = (script) => script.agentGit('soft reset', ['reset', '--quiet', '--soft', 'HEAD~1']);

const stash: Step = (script) =>
  script.agentGit(
    'stash and pop',
    ['stash', '--quiet'],
    ...(script.random.chance(0.5) ? [['stash', 'pop', '--quiet']] : []),
  );

type Weighted = readonly [number, Step];

const FILE_STEPS: readonly Weighted[] = [
  [16, createFile],
  [6, createDeep],
  [22, editFile],
  [4, replaceFile],
  [3, touchFile],
  [12, deleteFile],
  [7, rename],
  [2, renameCaseOnly],
  [3, fileToFolder],
  [1.5, folderToFile],
  [2, deleteFolder],
  [1, emptyFolder],
  [5, changeMode],
  [3, linkToFile],
  [3, linkToFolder],
  [2, linkBecomesFolder],
  [2, largeFile],
  [2, nestedRepository],
  [4, changeIgnores],
  [1, changeCloneExcludes],
  [2, changeAttributes],
];

const GIT_STEPS: readonly Weighted[] = [
  [2, commitAll],
  [0.7, commitIgnored],
  [0.5, untrack],
  [0.6, newBranch],
  [0.6, otherBranch],
  [0.3, forcedSwitch],
  [0.3, resetHard],
  [0.5, resetSoft],
  [0.5, stash],
];
