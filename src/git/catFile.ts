import { statSync } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { BulkheadError, ioError, isAbsent } from '../base/errors';
import { loosePath } from '../core/looseObject';
import { isOid, type Oid } from '../core/objectId';
import type { Git } from './git';
import { GitError } from './gitError';
import { type AnswerParser, GitProcess } from './gitProcess';

export type ObjectType = 'blob' | 'tree' | 'commit' | 'tag';

export interface GitObject {
  readonly oid: Oid;
  readonly type: ObjectType;
  readonly body: Buffer;
}

const LF = 10;
const HEADER = /^([0-9a-f]{40,64}) (blob|tree|commit|tag) (\d+)$/;

interface Header {
  readonly oid: Oid;
  readonly type: ObjectType;
  /** In bytes. */
  readonly size: number;
}

function parseHeader(line: string): Header | undefined {
  const [, oid, type, size] = HEADER.exec(line) ?? [];
  if (oid === undefined || type === undefined || size === undefined || !Number.isSafeInteger(Number(size))) {
    return undefined;
  }
  return { oid, type: type as ObjectType, size: Number(size) };
}

function answerLine(bytes: Buffer): { readonly line: string; readonly end: number } | undefined {
  const end = bytes.indexOf(LF);
  return end === -1 ? undefined : { line: bytes.toString('utf8', 0, end), end: end + 1 };
}

function badAnswer(name: string, line: string): GitError {
  return new GitError('git-output-invalid', `git cat-file gave an unexpected answer for ${name}`, {
    data: { name, line: line.slice(0, 200) },
  });
}

/** Parses an answer whose header tells the rest; `missing` answers undefined, an oid that was asked for must come back. */
function answerParser<T>(
  name: string,
  rest: (header: Header, bytes: Buffer, end: number) => ReturnType<AnswerParser<T>>,
): AnswerParser<T | undefined> {
  return (bytes) => {
    const answer = answerLine(bytes);
    if (answer === undefined) {
      return { need: bytes.length + 1 };
    }
    const header = parseHeader(answer.line);
    if (header === undefined && answer.line === `${name} missing`) {
      return { value: undefined, used: answer.end };
    }
    if (header === undefined || (isOid(name) && header.oid !== name)) {
      throw badAnswer(name, answer.line);
    }
    return rest(header, bytes, answer.end);
  };
}

/** Waits for one answer of `cat-file --batch` about `name`. */
export function objectParser(name: string): AnswerParser<GitObject | undefined> {
  return answerParser<GitObject>(name, ({ oid, type, size }, bytes, end) => {
    const total = end + size + 1;
    if (bytes.length < total) {
      return { need: total };
    }
    if (bytes[total - 1] !== LF) {
      // What follows would be taken for the next answer.
      throw badAnswer(name, bytes.toString('latin1', 0, end));
    }
    // A copy, so that a small object does not keep a large chunk alive.
    return { value: { oid, type, body: Buffer.from(bytes.subarray(end, total - 1)) }, used: total };
  });
}

/** Waits for one answer of `cat-file --batch-check` about `name`. */
export function sizeParser(name: string): AnswerParser<Omit<Header, 'oid'> | undefined> {
  return answerParser<Omit<Header, 'oid'>>(name, ({ type, size }, _bytes, end) => ({
    value: { type, size },
    used: end,
  }));
}

/**
 * Reads objects and refs of one repository through a warm `cat-file --batch`. A read has no effect, so one that was lost with
 * its process is sent again. A loose object whose content does not unpack ends git: that is told as damage, and not asked for
 * again while the file stays as it is, so that one such object does not start git over and over.
 */
export class CatFile {
  readonly #git: Git;
  readonly #gitDir: string;
  readonly #batch: GitProcess;
  readonly #check: GitProcess;
  /** Objects that ended git, with what their file looked like then. */
  readonly #corrupt = new Map<Oid, string>();
  /** Refs that lead to one of these. */
  readonly #corruptRefs = new Map<string, Oid>();

  constructor(git: Git, gitDir: string, env: Readonly<Record<string, string>> = {}) {
    this.#git = git;
    this.#gitDir = gitDir;
    this.#batch = new GitProcess(git, [`--git-dir=${gitDir}`, 'cat-file', '--batch'], { env, repeats: true });
    this.#check = new GitProcess(git, [`--git-dir=${gitDir}`, 'cat-file', '--batch-check'], { env, repeats: true });
  }

  /**
   * @param name an oid or a full ref name, without white space
   * @returns undefined when there is no such object or ref
   * @throws BulkheadError `object-missing`, `ref-damaged` for a ref that is there and leads nowhere; `object-corrupt`
   */
  async read(name: string): Promise<GitObject | undefined> {
    const object = await this.#ask(name);
    return object === undefined && name.startsWith('refs/') ? this.#doubted(name) : object;
  }

  /** Where a ref points, whether or not that object is there; null when there is no such ref, or it cannot be read. */
  async target(ref: string): Promise<Oid | null> {
    const answer = await this.#git.run([`--git-dir=${this.#gitDir}`, 'rev-parse', '--verify', '--quiet', ref], {
      expect: [0, 1, 128],
    });
    return answer.code === 0 ? answer.stdout.toString('latin1').trim() : null;
  }

  async #ask(name: string): Promise<GitObject | undefined> {
    await this.#refuseCorrupt(name);
    try {
      return await this.#batch.request(`${name}\n`, objectParser(name));
    } catch (error) {
      const corrupt =
        error instanceof GitError && error.code === 'git-process-lost'
          ? corruptObject(error.data['stderr'])
          : undefined;
      if (corrupt === undefined || (name !== corrupt && (isOid(name) || (await this.target(name)) !== corrupt))) {
        throw error;
      }
      this.#corrupt.set(corrupt, this.#looks(corrupt));
      if (name !== corrupt) {
        this.#corruptRefs.set(name, corrupt);
      }
      throw this.#corruption(corrupt);
    }
  }

  async #refuseCorrupt(name: string): Promise<void> {
    const oid = isOid(name) ? name : this.#corruptRefs.get(name);
    if (oid === undefined || !this.#corrupt.has(oid)) {
      return;
    }
    if (this.#corrupt.get(oid) !== this.#looks(oid)) {
      this.#corrupt.delete(oid);
      return;
    }
    if (name === oid || (await this.target(name)) === oid) {
      throw this.#corruption(oid);
    }
    this.#corruptRefs.delete(name);
  }

  #looks(oid: Oid): string {
    const stats = statSync(join(this.#gitDir, 'objects', loosePath(oid)), { throwIfNoEntry: false });
    return stats === undefined ? 'absent' : `${String(stats.ino)} ${String(stats.size)} ${String(stats.mtimeMs)}`;
  }

  #corruption(oid: Oid): BulkheadError {
    return new BulkheadError(
      'damaged',
      'object-corrupt',
      `The object ${oid} of the repository at ${this.#gitDir} is corrupt. Nothing was changed.`,
      { data: { oid } },
    );
  }

  /** `cat-file` calls a ref missing too when its object is, or when its file cannot be read: that is damage, and not absence. */
  async #doubted(ref: string): Promise<GitObject | undefined> {
    const oid = await this.target(ref);
    if (oid === null && !(await isFile(join(this.#gitDir, ref)))) {
      return undefined;
    }
    // Asked once more: it may have been made in between.
    const object = await this.#ask(ref);
    if (object !== undefined) {
      return object;
    }
    throw oid !== null
      ? new BulkheadError(
          'damaged',
          'object-missing',
          `The ref ${ref} names ${oid}, which the repository at ${this.#gitDir} does not have. Nothing was changed.`,
          {
            data: { ref, oid },
          },
        )
      : new BulkheadError(
          'damaged',
          'ref-damaged',
          `The ref ${ref} of the repository at ${this.#gitDir} cannot be read. Nothing was changed.`,
          { data: { ref } },
        );
  }

  /** Type and size in bytes without the content. */
  info(name: string): Promise<{ readonly type: ObjectType; readonly size: number } | undefined> {
    return this.#check.request(`${name}\n`, sizeParser(name));
  }

  get pids(): readonly number[] {
    return [this.#batch.pid, this.#check.pid].filter((pid) => pid !== undefined);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#batch.stop(), this.#check.stop()]);
  }
}

/** The object that git says made it give up. */
export function corruptObject(stderr: unknown): Oid | undefined {
  if (typeof stderr !== 'string') {
    return undefined;
  }
  const [, oid] = /^fatal: (?:loose|packed) object ([0-9a-f]+) \(stored in .*\) is corrupt/m.exec(stderr) ?? [];
  return oid !== undefined && isOid(oid) ? oid : undefined;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isFile();
  } catch (error) {
    if (isAbsent(error)) {
      return false;
    }
    throw ioError('look at', path, error);
  }
}
