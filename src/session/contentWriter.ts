import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { lineEndingsOf, looksBinary, withoutCarriageReturns } from '../core/lineEndings';
import type { Oid } from '../core/objectId';
import { displayPath, isUtf8Path, type RepoPath, visiblePath } from '../core/repoPath';
import type { Git } from '../git/git';
import { GitError } from '../git/gitError';
import { CheckAttr, type ConversionAttributes, HashObject } from '../git/workTreeQueries';
import { ConversionFolder } from './conversionFolder';
import { RuleFiles } from './ruleFiles';
import type { SnapshotStore } from './snapshotStore';
import type { WorkTree } from './workTree';

/** Larger files are streamed by git instead of being held in memory. */
export const MAX_IN_PROCESS = 32 * 1024 * 1024;

const CRLF = Buffer.from('\r\n');
const IDENT = Buffer.from('$Id');
const NONE: ConversionAttributes = {
  text: 'unspecified',
  eol: 'unspecified',
  crlf: 'unspecified',
  filter: 'unspecified',
  encoding: 'unspecified',
  ident: 'unspecified',
};

/**
 * Turns the bytes of a work-tree file into the blob that `git add` would write: in process, line endings included; through git
 * where a filter, an encoding or `$Id$` might change them.
 */
export class ContentWriter {
  readonly #git: Git;
  readonly #folder: ConversionFolder;
  readonly #store: SnapshotStore;
  readonly #workTree: WorkTree;
  readonly #attributes: RuleFiles;
  readonly #checkAttr: CheckAttr;
  readonly #hashObject: HashObject;
  /** Rules outside the work tree may have come since the store was opened. */
  #rulesMoved = false;

  constructor(git: Git, store: SnapshotStore, workTree: WorkTree) {
    this.#store = store;
    this.#workTree = workTree;
    this.#git = git;
    this.#folder = new ConversionFolder(store.gitDir, workTree, git.clock);
    const { attributesFile } = store.rules;
    this.#attributes = new RuleFiles(workTree, '.gitattributes', [
      join(store.gitDir, 'info', 'attributes'),
      join(store.gitDir, 'config'),
      ...(attributesFile === null ? [] : [attributesFile]),
    ]);
    this.#checkAttr = new CheckAttr(git, { gitDir: store.gitDir, workTree: workTree.root });
    this.#hashObject = new HashObject(git, { gitDir: store.gitDir, workTree: this.#folder.root });
  }

  get pids(): readonly number[] {
    return [...this.#checkAttr.pids, ...this.#hashObject.pids];
  }

  /**
   * Writes the content of a file that was read.
   * @param tracked reads the blob that the base or HEAD has at this path, for git's rule that line endings of a file
   * committed with CRLF are left alone when nothing but `auto` asks for conversion
   * @param looked see `RuleFiles.look`
   * @throws GitError `not-converted` when a filter fails, or the content is not in the encoding that its attributes name; a fault
   * of git that is not about this file
   */
  async write(
    path: RepoPath,
    bytes: Buffer,
    tracked: () => Promise<Buffer | undefined>,
    looked?: Set<string>,
  ): Promise<Oid> {
    const attributes = await this.attributes(path, looked);
    if (this.#needsGit(attributes, bytes)) {
      return this.#folder.holding(path, bytes, () => converted(path, this.#hashObject.write(path)));
    }
    const isConverted = bytes.includes(CRLF) && (await this.#losesCarriageReturns(attributes, bytes, tracked));
    return this.#store.objects.write('blob', isConverted ? withoutCarriageReturns(bytes) : bytes);
  }

  async #losesCarriageReturns(
    attributes: ConversionAttributes,
    bytes: Buffer,
    tracked: () => Promise<Buffer | undefined>,
  ): Promise<boolean> {
    switch (lineEndingsOf(attributes, this.#store.rules.autocrlf)) {
      case 'none':
        return false;
      case 'forced':
        return true;
      case 'auto': {
        if (looksBinary(bytes)) {
          return false;
        }
        const committed = await tracked();
        return committed === undefined || !committed.includes(CRLF) || looksBinary(committed);
      }
    }
  }

  /**
   * Writes a file that is too large to be held in memory: git reads it from a descriptor that was opened without following a link.
   * @returns undefined when the file is not there any more
   * @throws GitError as `write`
   */
  async writeLarge(path: RepoPath): Promise<Oid | undefined> {
    if (!isUtf8Path(path)) {
      // Such a name cannot be an argument.
      const content = this.#workTree.read(path, Infinity);
      return content.kind === 'file' ? this.write(path, content.bytes, () => Promise.resolve(undefined)) : undefined;
    }
    await this.attributes(path);
    const descriptor = this.#workTree.openFile(path);
    if (descriptor === undefined) {
      return undefined;
    }
    try {
      const site = [`--git-dir=${this.#store.gitDir}`, `--work-tree=${this.#folder.root}`];
      return await this.#folder.withAttributes(path, () =>
        converted(
          path,
          this.#git.text([...site, 'hash-object', '-w', '--stdin', `--path=${displayPath(path)}`], {
            cwd: this.#folder.root,
            env: { GIT_INDEX_FILE: `${this.#store.gitDir}/no-index` },
            stdin: descriptor,
          }),
        ),
      );
    } finally {
      closeSync(descriptor);
    }
  }

  /** The conversions that attributes ask for on a path; asks git only when there are attributes files at all. */
  async attributes(path: RepoPath, looked?: Set<string>): Promise<ConversionAttributes> {
    const { any, changed } = this.#attributes.look(path, looked);
    if (changed) {
      await this.#startAnew();
    }
    this.#rulesMoved ||= changed;
    return any || this.#rulesMoved || this.#store.rules.outsideAttributes ? this.#checkAttr.attributes(path) : NONE;
  }

  /** Filters, encodings and keywords are git's business. */
  #needsGit(attributes: ConversionAttributes, bytes: Buffer): boolean {
    return (
      this.#store.rules.filters.has(attributes.filter) ||
      !isOff(attributes.encoding) ||
      (attributes.ident === 'set' && bytes.includes(IDENT))
    );
  }

  async #startAnew(): Promise<void> {
    await Promise.all([this.#checkAttr.stop(), this.#folder.forget(() => this.#hashObject.stop())]);
  }

  stop(): Promise<void> {
    return this.#startAnew();
  }
}

/** Told apart from the other gits that a file needs (for its attributes, for what was committed): their fault is not the file's. */
async function converted<T>(path: RepoPath, conversion: Promise<T>): Promise<T> {
  try {
    return await conversion;
  } catch (error) {
    throw error instanceof GitError && (error.code === 'git-process-lost' || error.code === 'git-exited')
      ? new GitError('not-converted', `Git could not convert ${visiblePath(path)}: ${error.message}`, { cause: error })
      : error;
  }
}

function isOff(value: string): boolean {
  return value === 'unspecified' || value === 'unset' || value === '';
}
