import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { FIRST_COMMIT, git, gitLine } from './git';
import { type BytePath, locate, parentOf } from './bytePath';

const SECONDS_PER_COMMIT = 60;

/** Builds a repository step by step, with the user's own git; each step is done at once. Oids are the same in every run. */
export function repo(
  dir: string,
  options: { readonly format?: 'sha1' | 'sha256'; readonly bare?: boolean } = {},
): RepoBuilder {
  mkdirSync(dir, { recursive: true });
  git(
    ['init', '--quiet', `--object-format=${options.format ?? 'sha1'}`, ...(options.bare === true ? ['--bare'] : [])],
    dir,
  );
  return new RepoBuilder(dir);
}

export class RepoBuilder {
  readonly dir: string;
  #seconds = FIRST_COMMIT;

  constructor(dir: string) {
    this.dir = dir;
  }

  /** Paths are text, or bytes for names that are not UTF-8. */
  file(path: BytePath, content: string | Buffer = '', options: { readonly executable?: boolean } = {}): this {
    mkdirSync(locate(this.dir, parentOf(path)), { recursive: true });
    writeFileSync(locate(this.dir, path), content);
    if (options.executable === true) {
      chmodSync(locate(this.dir, path), 0o755);
    }
    return this;
  }

  link(path: BytePath, target: string): this {
    mkdirSync(locate(this.dir, parentOf(path)), { recursive: true });
    symlinkSync(target, locate(this.dir, path));
    return this;
  }

  remove(path: BytePath): this {
    rmSync(locate(this.dir, path), { recursive: true });
    return this;
  }

  /** Everything that is not ignored, one minute after the commit before. */
  commit(message: string): this {
    git(['add', '--all'], this.dir);
    return this.commitStaged(message);
  }

  commitStaged(message: string): this {
    const date = `${String(this.#seconds)} +0000`;
    this.#seconds += SECONDS_PER_COMMIT;
    git(['commit', '--quiet', '--allow-empty', '--message', message], this.dir, {
      env: { GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
    });
    return this;
  }

  /** Makes a branch at HEAD and goes there. */
  branch(name: string): this {
    return this.git('switch', '--quiet', '--create', name);
  }

  switch(name: string): this {
    return this.git('switch', '--quiet', name);
  }

  config(key: string, value: string): this {
    return this.git('config', key, value);
  }

  submodule(path: string, source: string): this {
    return this.git('submodule', '--quiet', 'add', source, path);
  }

  /** Any other step. */
  git(...args: string[]): this {
    git(args, this.dir);
    return this;
  }

  resolve(revision: string): string {
    return gitLine(['rev-parse', '--verify', revision], this.dir);
  }
}

/** The names that break careless tools, in one commit. */
export function awkwardRepo(dir: string): RepoBuilder {
  const builder = repo(dir)
    .file('plain.txt', 'plain\n')
    .file('with space.txt', 'space\n')
    .file('new\nline.txt', 'newline\n')
    .file('quo"te\'s.txt', 'quotes\n')
    .file('-dash.txt', 'dash\n')
    .file('ünïcödé-日本.txt', 'non-ascii\n')
    .file('emoji-🛟.txt', 'emoji\n')
    .file(':(top)magic*.txt', 'pathspec magic\n')
    .file('deep/er/and/deeper/still/leaf.txt', 'leaf\n')
    .file('bin/tool', '#!/bin/sh\n', { executable: true })
    .file('binary.bin', Buffer.from([0, 1, 2, 255, 0, 10, 13]))
    .file('crlf.txt', 'one\r\ntwo\r\n')
    .file('empty.txt', '')
    .link('link-to-plain', 'plain.txt')
    .link('link-to-folder', 'deep/er');
  if (process.platform === 'linux') {
    builder.file(Buffer.from('latin1-\xe9.txt', 'latin1'), 'not utf-8\n');
  }
  return builder.commit('awkward names');
}
