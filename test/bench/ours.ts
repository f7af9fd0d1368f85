// Bulkhead as the extension holds it: one facade for as long as the window is open.
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../src/base/log';
import { type RepoPath, repoPathFromText } from '../../src/core/repoPath';
import type { CheckpointResult } from '../../src/session/api';
import type { Bulkhead } from '../../src/session/bulkhead';
import { createHost, type EngineSettings, type Host } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';
import { cleanEnvironment } from '../support/environment';

export interface Ours {
  readonly host: Host;
  readonly bulkhead: Bulkhead;
}

export async function openOurs(
  repository: string,
  storage: string,
  options: { readonly gitPath?: string; readonly settings?: Partial<EngineSettings> } = {},
): Promise<Ours> {
  const host = await createHost({ ...options, log: silentLog, product: 'bench', environment: cleanEnvironment() });
  return { host, bulkhead: await openBulkhead(host, { repository, storage, create: true }) };
}

export function repoPath(path: string): RepoPath {
  return repoPathFromText(path)!;
}

/** What happens when a file is saved in the editor. */
export async function save(bulkhead: Bulkhead, session: string, paths: readonly string[]): Promise<CheckpointResult> {
  const result = await bulkhead.checkpoint({
    session,
    paths: paths.map(repoPath),
    trigger: 'save',
    agent: 'user',
  });
  // A checkpoint that found nothing would be a fast one.
  if (result.changed.length !== paths.length)
    throw new Error(`${result.changed.length} of ${paths.length} were recorded`);
  return result;
}

/** A git that leaves one file for every process, its children included. */
export class CountingGit {
  readonly path: string;
  readonly #traces: string;

  constructor(folder: string, real: string) {
    this.#traces = join(folder, 'processes');
    mkdirSync(this.#traces, { recursive: true });
    this.path = join(folder, 'counting-git');
    writeFileSync(this.path, `#!/bin/sh\nGIT_TRACE2_EVENT='${this.#traces}' exec '${real}' "$@"\n`);
    chmodSync(this.path, 0o755);
  }

  get started(): number {
    return readdirSync(this.#traces).length;
  }
}

/** Kilobytes of memory that a process holds; undefined where the system does not tell. */
export function residentKilobytes(pid: number): { rss: number; own: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
    const number = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
    return { rss: number('Rss'), own: number('Pss') };
  } catch {
    // Not Linux.
    return undefined;
  }
}
