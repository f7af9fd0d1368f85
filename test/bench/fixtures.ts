// The repositories that are measured: made once by fast-import, kept in the cache folder, and cloned for each run.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnvironment } from '../support/environment';
import { git } from '../support/git';
import { SeededRandom } from '../support/seededRandom';
import { temporaryFolder } from '../support/temporary';

/** A part of the name in the cache: to be raised when anything below changes what is generated. */
const FORMAT = 1;

export type Shape = 'nested' | 'folder';

/** Where file number `index` of `count` lies. */
export function fileOf(shape: Shape, index: number, count: number): string {
  if (shape === 'folder') return `data/record-${String(index).padStart(5, '0')}.txt`;
  // Ten files in a folder, folders two to five levels deep: packages, package, kind, module, part.
  const folder = Math.floor(index / 10);
  const packages = Math.max(4, Math.round(Math.sqrt(Math.ceil(count / 10)) / 2));
  const inPackage = Math.floor(folder / packages);
  const part = Math.floor(inPackage / 20);
  const parts = [
    'packages',
    `package-${String(folder % packages).padStart(2, '0')}`,
    inPackage % 2 === 0 ? 'src' : 'test',
    `module${String(Math.floor(inPackage / 2) % 10)}`,
    ...(part === 0 ? [] : [`part${String(part)}`]),
    `file${String(index % 10)}.ts`,
  ];
  return parts.join('/');
}

/** Lines of made-up code, from which every file is cut. */
function makeText(random: SeededRandom): string {
  const words = ['session', 'tree', 'index', 'reader', 'value', 'path', 'entry', 'result', 'count', 'next', 'state'];
  const lines: string[] = [];
  for (let size = 0; size < 1_000_000;) {
    const [a, b, c] = [random.pick(words), random.pick(words), random.integer(0, 9999)];
    const line = random.chance(0.2)
      ? `export function ${a}${b}${c}(${b}: string): void {`
      : random.chance(0.3)
        ? '}'
        : `  const ${a}${c} = ${b}.${random.pick(words)}(${random.integer(0, 99)}, '${random.pick(words)}-${c}');`;
    lines.push(line);
    size += line.length + 1;
  }
  return `${lines.join('\n')}\n`;
}

/** A bare repository with one commit of `count` files of 2 to 8 kB. */
export async function fixture(
  cache: string,
  shape: Shape,
  count: number,
  say: (text: string) => void,
): Promise<string> {
  const target = join(cache, 'bench', `${shape}-${count}-v${FORMAT}.git`);
  if (existsSync(target)) return target;
  say(`making a repository of ${count.toLocaleString('en')} files (once)`);
  mkdirSync(join(cache, 'bench'), { recursive: true });
  const temporary = `${target}.tmp-${process.pid}`;
  rmSync(temporary, { recursive: true, force: true });
  git(['init', '--quiet', '--bare', temporary], tmpdir());
  const child = spawn('git', ['-c', 'pack.compression=1', 'fast-import', '--quiet'], {
    cwd: temporary,
    env: cleanEnvironment(),
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  const random = new SeededRandom(count);
  const text = makeText(random);
  const write = async (bytes: string): Promise<void> => {
    if (!child.stdin.write(bytes)) await once(child.stdin, 'drain');
  };
  const ended = once(child, 'close');
  await write('commit refs/heads/main\ncommitter Tess Example <tess@example.com> 1704067200 +0000\ndata 5\nfiles\n');
  const ignore = 'node_modules/\ndist/\n*.log\n';
  await write(`M 100644 inline .gitignore\ndata ${ignore.length}\n${ignore}\n`);
  for (let index = 0; index < count; index++) {
    const start = text.indexOf('\n', random.integer(0, 980_000)) + 1;
    const body = `// ${index}\n${text.slice(start, text.indexOf('\n', start + random.integer(2000, 8000)) + 1)}`;
    await write(`M 100644 inline ${fileOf(shape, index, count)}\ndata ${body.length}\n${body}\n`);
  }
  child.stdin.end('\n');
  const [code] = (await ended) as [number | null];
  if (code !== 0) throw new Error(`git fast-import ended with ${code ?? 'a signal'}`);
  renameSync(temporary, target);
  return target;
}

/** A clone with a work tree, as a person has it, and with one file that git does not know. */
export function cloneFixture(bare: string, target: string): void {
  git(['clone', '--quiet', '--local', bare, target], tmpdir());
  git(['remote', 'remove', 'origin'], target);
  writeFileSync(join(target, 'notes.txt'), 'Not in the repository.\n');
}

/** Changes one line of a file, to something that it never was before. */
export function editFile(root: string, path: string, stamp: string): void {
  const file = join(root, path);
  const lines = readFileSync(file, 'utf8').split('\n');
  lines[0] = `// ${stamp}`;
  writeFileSync(file, lines.join('\n'));
}

let edits = 0;

/** Paths of the tree in a random order, over and over. */
export class PathList {
  readonly #paths: readonly string[];
  #at = 0;

  constructor(shape: Shape, count: number, seed: number) {
    const random = new SeededRandom(seed);
    const paths = Array.from({ length: count }, (_, index) => fileOf(shape, index, count));
    for (let last = paths.length - 1; last > 0; last--) {
      const other = random.integer(0, last);
      [paths[last], paths[other]] = [paths[other]!, paths[last]!];
    }
    this.#paths = paths;
  }

  next(): string {
    return this.#paths[this.#at++ % this.#paths.length]!;
  }

  /** Edits the next file below a root. */
  edit(root: string): string {
    const path = this.next();
    editFile(root, path, `edit ${++edits}`);
    return path;
  }
}

const PREFIX = `bench-`;

/** The folder that everything of this run lies in; removed at its end. */
export function runFolder(): string {
  sweep();
  return temporaryFolder(`${PREFIX}${process.pid}`);
}

/** A run that was killed could not clean up. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(/^bulkhead-bench-(\d+)-/.exec(name)?.[1] ?? Number.NaN);
    if (Number.isInteger(pid) && !isAlive(pid)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}
