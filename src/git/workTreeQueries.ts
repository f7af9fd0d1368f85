import { randomBytes } from 'node:crypto';
import { splitNul } from '../base/bytes';
import { type Oid } from '../core/objectId';
import { displayPath, isUtf8Path, type RepoPath, pathBytes, repoPathFromBytes } from '../core/repoPath';
import type { Git } from './git';
import { GitError } from './gitError';
import { type AnswerParser, GitProcess } from './gitProcess';

/** Where these questions are asked: the store as git directory, somebody else's folder as work tree. */
export interface WorkTreeSite {
  readonly gitDir: string;
  readonly workTree: string;
}

/** Filters may fetch from a server, and the file may be large: so long may no byte come, in milliseconds. */
const FILTER_SILENCE_MS = 600_000;

function siteArgs(site: WorkTreeSite): string[] {
  return [`--git-dir=${site.gitDir}`, `--work-tree=${site.workTree}`];
}

/** Waits for `count` fields that end with NUL. */
export function fieldsParser<T>(count: number, read: (fields: readonly Buffer[]) => T): AnswerParser<T> {
  return (bytes) => {
    let end = 0;
    for (let found = 0; found < count; found++) {
      const next = bytes.indexOf(0, end);
      if (next === -1) {
        return { need: bytes.length + 1 };
      }
      end = next + 1;
    }
    // A trailing empty field is dropped by the split.
    const fields = splitNul(bytes.subarray(0, end));
    return { value: read(fields), used: end };
  };
}

/**
 * Tells whether an untracked path is ignored, through a warm `check-ignore`. It keeps the rules it has read, so it must
 * be stopped when an ignore file changes; it has no index, so it must not be asked about tracked paths; and it ends when
 * asked about a path beyond a link, so callers check paths first.
 */
export class CheckIgnore {
  readonly #process: GitProcess;

  constructor(git: Git, site: WorkTreeSite) {
    this.#process = new GitProcess(git, [...siteArgs(site), 'check-ignore', '-z', '-v', '-n', '--stdin'], {
      cwd: site.workTree,
      env: { GIT_INDEX_FILE: `${site.gitDir}/no-index` },
      repeats: true,
    });
  }

  get pids(): readonly number[] {
    return [this.#process.pid].filter((pid) => pid !== undefined);
  }

  isIgnored(path: RepoPath): Promise<boolean> {
    const parse = fieldsParser(
      4,
      ([, , pattern]) => pattern !== undefined && pattern.length > 0 && pattern[0] !== 0x21,
    );
    // Git takes what it is asked about for pathspecs, and refuses the literal kind here: `:(top)x` is a name to us.
    const name = Buffer.concat([Buffer.from('./'), pathBytes(path), Buffer.of(0)]);
    return this.#process.request(name, parse);
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}

export interface ConversionAttributes {
  readonly text: string;
  readonly eol: string;
  readonly crlf: string;
  readonly filter: string;
  readonly encoding: string;
  readonly ident: string;
}

const ATTRIBUTES = ['text', 'eol', 'crlf', 'filter', 'working-tree-encoding', 'ident'];

/** Tells which conversions the attributes ask for on a path, through a warm `check-attr`; must be stopped when an attributes file changes. */
export class CheckAttr {
  readonly #process: GitProcess;

  constructor(git: Git, site: WorkTreeSite) {
    this.#process = new GitProcess(git, [...siteArgs(site), 'check-attr', '-z', '--stdin', ...ATTRIBUTES], {
      cwd: site.workTree,
      env: { GIT_INDEX_FILE: `${site.gitDir}/no-index` },
      repeats: true,
    });
  }

  get pids(): readonly number[] {
    return [this.#process.pid].filter((pid) => pid !== undefined);
  }

  attributes(path: RepoPath): Promise<ConversionAttributes> {
    const parse = fieldsParser(ATTRIBUTES.length * 3, (fields) => {
      const value = (index: number): string => fields[index * 3 + 2]?.toString('utf8') ?? 'unspecified';
      return { text: value(0), eol: value(1), crlf: value(2), filter: value(3), encoding: value(4), ident: value(5) };
    });
    return this.#process.request(Buffer.concat([pathBytes(path), Buffer.of(0)]), parse);
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}

/** Waits for one answer of `hash-object --stdin-paths`. */
export const OID_LINE: AnswerParser<Oid> = (bytes) => {
  const end = bytes.indexOf(10);
  if (end === -1) {
    return { need: bytes.length + 1 };
  }
  const oid = bytes.toString('latin1', 0, end);
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(oid)) {
    throw new GitError('git-output-invalid', 'git hash-object gave an unexpected answer', {
      data: { line: oid.slice(0, 200) },
    });
  }
  return { value: oid, used: end + 1 };
};

/** A line for `--stdin-paths`: raw, or in C quotes when the raw name would be misread. */
export function quotedLine(path: RepoPath): Buffer {
  const bytes = pathBytes(path);
  if (!path.startsWith('"') && !path.includes('\n') && !path.endsWith('\r')) {
    return Buffer.concat([bytes, Buffer.from('\n')]);
  }
  let line = '"';
  for (const byte of bytes) {
    line +=
      byte === 0x22 || byte === 0x5c
        ? `\\${String.fromCharCode(byte)}`
        : byte < 0x20 || byte >= 0x7f
          ? `\\${byte.toString(8).padStart(3, '0')}`
          : String.fromCharCode(byte);
  }
  return Buffer.from(`${line}"\n`, 'latin1');
}

/**
 * Writes files as blobs the way git would, conversions and allowed filters included, through a warm `hash-object`.
 * It would follow links in parent folders, so the work tree is a private one.
 */
export class HashObject {
  readonly #process: GitProcess;

  constructor(git: Git, site: WorkTreeSite) {
    this.#process = new GitProcess(git, [...siteArgs(site), 'hash-object', '-w', '--stdin-paths'], {
      cwd: site.workTree,
      env: { GIT_INDEX_FILE: `${site.gitDir}/no-index` },
      endsOnFailure: true,
      // A blob that was written already is written once.
      repeats: true,
      silenceMs: FILTER_SILENCE_MS,
    });
  }

  get pids(): readonly number[] {
    return [this.#process.pid].filter((pid) => pid !== undefined);
  }

  /** @throws GitError `git-process-lost` when a filter fails or the content is not in its encoding */
  write(path: RepoPath): Promise<Oid> {
    return this.#process.request(quotedLine(path), OID_LINE);
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}

/** Above this many bytes a process of its own costs less than looking for the end of the answer again and again. */
const LARGE_BLOB = 1024 * 1024;

/** Waits for one answer of `cat-file --batch --filters` about `oid`, up to what it says of the name `end`. */
export function smudgedParser(oid: Oid, end: string): AnswerParser<Buffer> {
  const mark = Buffer.from(`\n${end} missing\n`);
  return (bytes) => {
    const lineEnd = bytes.indexOf(10);
    if (lineEnd === -1) {
      return { need: bytes.length + 1 };
    }
    const line = bytes.toString('latin1', 0, Math.min(lineEnd, 200));
    const [, found] = /^([0-9a-f]+) blob \d+$/.exec(line) ?? [];
    if (found !== oid) {
      throw new GitError('git-output-invalid', `git cat-file gave no content for ${oid}`, { data: { line } });
    }
    const markAt = bytes.indexOf(mark, lineEnd);
    return markAt === -1
      ? { need: bytes.length + 1 }
      : { value: Buffer.from(bytes.subarray(lineEnd + 1, markAt)), used: markAt + mark.length };
  };
}

/**
 * Gives the bytes that git would write into the work tree for a blob, through a warm `cat-file --filters`. Its header tells
 * the size of the blob and not that of what follows (tried with 2.39.5), so a name that no object has marks the end.
 */
export class SmudgedContent {
  readonly #git: Git;
  readonly #site: WorkTreeSite;
  readonly #process: GitProcess;

  constructor(git: Git, site: WorkTreeSite) {
    this.#git = git;
    this.#site = site;
    this.#process = new GitProcess(git, [...siteArgs(site), 'cat-file', '--batch', '--filters'], {
      cwd: site.workTree,
      env: { GIT_INDEX_FILE: `${site.gitDir}/no-index` },
      repeats: true,
      silenceMs: FILTER_SILENCE_MS,
    });
  }

  get pids(): readonly number[] {
    return [this.#process.pid].filter((pid) => pid !== undefined);
  }

  /**
   * @param size of the blob, in bytes
   * @param isFiltered a filter runs, and what it gives can be of any size
   */
  async read(oid: Oid, path: RepoPath, size: number, isFiltered: boolean): Promise<Buffer> {
    // A line feed ends a request of the warm one; a name that is not UTF-8 cannot be an argument of the other.
    if (path.includes('\n') || ((isFiltered || size > LARGE_BLOB) && isUtf8Path(path))) {
      const args = [...siteArgs(this.#site), 'cat-file', '--filters', `--path=${displayPath(path)}`, oid];
      const result = await this.#git.run(args, {
        cwd: this.#site.workTree,
        env: { GIT_INDEX_FILE: `${this.#site.gitDir}/no-index` },
        maxOutput: Infinity,
      });
      return result.stdout;
    }
    return this.#ask(oid, path);
  }

  #ask(oid: Oid, path: RepoPath): Promise<Buffer> {
    const end = `end-${randomBytes(12).toString('hex')}`;
    const request = Buffer.concat([Buffer.from(`${oid} `), pathBytes(path), Buffer.from(`\n${end}\n`)]);
    return this.#process.request(request, smudgedParser(oid, end));
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}

/** Parses a list of NUL-terminated paths; names that we never touch (`.git` in any disguise, `..`) are left out. */
export function parsePathList(bytes: Buffer): RepoPath[] {
  return splitNul(bytes)
    .map((part) => repoPathFromBytes(part))
    .filter((path) => path !== undefined);
}
