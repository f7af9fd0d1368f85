// The fastest way with git alone: processes that live on, and no logic at all around them (no lock, no check of HEAD,
// ignore rules, attributes, links or sizes, no line about who and why).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseTree, type TreeEntry } from '../../src/core/treeObject';
import { CatFile } from '../../src/git/catFile';
import type { Git } from '../../src/git/git';
import { type AnswerParser, GitProcess } from '../../src/git/gitProcess';
import { git, gitLine } from '../support/git';

const line: AnswerParser<string> = (bytes) => {
  const end = bytes.indexOf(10);
  return end === -1 ? { need: bytes.length + 1 } : { value: bytes.toString('latin1', 0, end), used: end + 1 };
};

const DONE = 'start: ok\nprepare: ok\ncommit: ok\n';
const done: AnswerParser<true> = (bytes) =>
  bytes.length < DONE.length ? { need: DONE.length } : { value: true, used: DONE.length };

const REF = 'refs/checkpoints/newest';

export class WarmPlumbing {
  static readonly title = 'warm plumbing without any logic';
  readonly #workTree: string;
  readonly #message: string;
  readonly #reader: CatFile;
  readonly #blobs: GitProcess;
  readonly #trees: GitProcess;
  readonly #commits: GitProcess;
  readonly #refs: GitProcess;
  /** Entries by the tree's oid: a folder is read once. */
  readonly #known = new Map<string, TreeEntry[]>();
  #tree: string;
  #commit: string;
  #before = '0'.repeat(40);

  constructor(program: Git, folder: string, workTree: string) {
    const store = join(folder, 'plumbing.git');
    git(['clone', '--quiet', '--bare', '--local', workTree, store], workTree);
    this.#workTree = workTree;
    this.#message = join(folder, 'plumbing-commit');
    const start = (...args: string[]): GitProcess => new GitProcess(program, [`--git-dir=${store}`, ...args]);
    this.#reader = new CatFile(program, store);
    this.#blobs = start('hash-object', '-w', '--no-filters', '--stdin-paths');
    this.#trees = start('mktree', '-z', '--batch');
    this.#commits = start('hash-object', '-t', 'commit', '-w', '--no-filters', '--stdin-paths');
    this.#refs = start('update-ref', '--no-deref', '--stdin');
    this.#commit = gitLine(['rev-parse', 'HEAD'], store);
    this.#tree = gitLine(['rev-parse', 'HEAD^{tree}'], store);
  }

  async checkpoint(path: string): Promise<void> {
    const blob = await this.#blobs.request(`${join(this.#workTree, path)}\n`, line);
    this.#tree = await this.#put(this.#tree, path.split('/'), blob);
    const person = `bench <bench@example.com> ${Math.floor(Date.now() / 1000)} +0000`;
    writeFileSync(
      this.#message,
      `tree ${this.#tree}\nparent ${this.#commit}\nauthor ${person}\ncommitter ${person}\n\ncheckpoint\n`,
    );
    const commit = await this.#commits.request(`${this.#message}\n`, line);
    await this.#refs.request(`start\nupdate ${REF} ${commit} ${this.#before}\nprepare\ncommit\n`, done);
    this.#commit = commit;
    this.#before = commit;
  }

  async #put(tree: string, [name, ...rest]: string[], blob: string): Promise<string> {
    const entries = this.#known.get(tree) ?? parseTree((await this.#reader.read(tree))!.body, 'sha1');
    const oid =
      rest.length === 0 ? blob : await this.#put(entries.find((entry) => entry.name === name)!.oid, rest, blob);
    const changed = entries.map((entry) => (entry.name === name ? { ...entry, oid } : entry));
    const input = changed.map(
      ({ mode, name: entry, oid: of }) => `${mode === '40000' ? '040000 tree' : `${mode} blob`} ${of}\t${entry}\0`,
    );
    const written = await this.#trees.request(`${input.join('')}\0`, line);
    this.#known.set(written, changed);
    return written;
  }

  async stop(): Promise<void> {
    const processes = [this.#blobs, this.#trees, this.#commits, this.#refs];
    await Promise.all([this.#reader.stop(), ...processes.map((process) => process.stop())]);
  }
}
