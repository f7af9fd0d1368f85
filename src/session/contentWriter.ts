import { join } from 'node:path';
import type { Oid } from '../core/objectId';
import { type RepoPath } from '../core/repoPath';
import type { Git } from '../git/git';
import { GitError } from '../git/gitError';
import { CheckAttr, type ConversionAttributes, HashObject } from '../git/workTreeQueries';
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
 * Turns the bytes of a work-tree file into the blob that `git add` would write. In process where no conversion can
 * change them (nearly always); through git where a filter, an encoding or a line ending might.
 */
export class ContentWriter {
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
    const site = { gitDir: store.gitDir, workTree: workTree.root };
    const { attributesFile } = store.rules;
    this.#attributes = new RuleFiles(workTree, '.gitattributes', [
      join(store.gitDir, 'info', 'attributes'),
      join(store.gitDir, 'config'),
      ...(attributesFile === null ? [] : [attributesFile]),
    ]);
    this.#checkAttr = new CheckAttr(git, site);
    this.#hashObject = new HashObject(git, site);
  }

  get pids(): readonly number[] {
    return [...this.#checkAttr.pids, ...this.#hashObject.pids];
  }

  /**
   * Writes the content of a file that was read.
   * @param tracked reads the blob that the base or HEAD has at this path, for git's rule that line endings of a file
   * committed with CRLF are left alone when nothing but `auto` asks for conversion
   * @returns undefined when git could not read the file any more
   */
  async write(path: RepoPath, bytes: Buffer, tracked: () => Promise<Buffer | undefined>): Promise<Oid | undefined> {
    const attributes = await this.attributes(path);
    const needed = this.#needsGit(attributes, bytes);
    if (needed === 'no' || (needed === 'unless-crlf-committed' && ((await tracked())?.includes(CRLF) ?? false))) {
      return this.#store.objects.write('blob', bytes);
    }
    return this.writeThroughGit(path);
  }

  /** Lets git read and convert the file; the path is checked before and after, because git would follow a link among its parents. */
  async writeThroughGit(path: RepoPath): Promise<Oid | undefined> {
    if (this.#workTree.kind(path) !== 'file') {
      return undefined;
    }
    try {
      const oid = await this.#hashObject.write(path);
      return this.#workTree.kind(path) === 'file' ? oid : undefined;
    } catch (error) {
      if (error instanceof GitError && error.code === 'git-process-lost' && this.#workTree.kind(path) !== 'file') {
        return undefined;
      }
      throw error;
    }
  }

  /** The conversions that attributes ask for on a path; asks git only when there are attributes files at all. */
  async attributes(path: RepoPath): Promise<ConversionAttributes> {
    const { any, changed } = this.#attributes.look(path);
    if (changed) {
      await Promise.all([this.#checkAttr.stop(), this.#hashObject.stop()]);
    }
    this.#rulesMoved ||= changed;
    return any || this.#rulesMoved || this.#store.rules.outsideAttributes ? this.#checkAttr.attributes(path) : NONE;
  }

  #needsGit(attributes: ConversionAttributes, bytes: Buffer): 'yes' | 'no' | 'unless-crlf-committed' {
    if (this.#store.rules.filters.has(attributes.filter)) {
      return 'yes';
    }
    if (!isOff(attributes.encoding)) {
      return 'yes';
    }
    if (attributes.ident === 'set' && bytes.includes(IDENT)) {
      return 'yes';
    }
    if (!bytes.includes(CRLF)) {
      return 'no';
    }
    if (attributes.text === 'unset' || (attributes.text === 'unspecified' && attributes.crlf === 'unset')) {
      return 'no';
    }
    const isForced =
      attributes.text === 'set' ||
      attributes.text === 'input' ||
      (attributes.text === 'unspecified' &&
        (attributes.crlf === 'set' || attributes.crlf === 'input' || !isOff(attributes.eol)));
    if (isForced) {
      return 'yes';
    }
    const isAuto =
      attributes.text === 'auto' || (attributes.text === 'unspecified' && this.#store.rules.autocrlf !== 'false');
    return isAuto ? 'unless-crlf-committed' : 'no';
  }

  async stop(): Promise<void> {
    await Promise.all([this.#checkAttr.stop(), this.#hashObject.stop()]);
  }
}

function isOff(value: string): boolean {
  return value === 'unspecified' || value === 'unset' || value === '';
}
