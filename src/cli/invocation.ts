import { existsSync, lstatSync, realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import type { Clock } from '../base/clock';
import { BulkheadError } from '../base/errors';
import { isSessionIdPrefix } from '../core/sessionId';
import { isAgentName } from '../core/snapshotMessage';
import type { Session, Snapshot } from '../session/api';
import { WORKSPACE } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import { createHost, type Host } from '../session/host';
import { type Located, locate } from '../session/locate';
import { openBulkhead } from '../session/openBulkhead';
import { findClone } from '../session/pointer';
import { readStorageOwner } from '../session/storage';
import type { UserRepository } from '../session/userRepository';
import type { OptionValues } from './arguments';
import type { CliLog } from './cliLog';
import { usageError } from './failure';

/** Where the process stands and what it was given. */
export interface Surroundings {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: CliLog;
  /** A remark for people; never part of the result. */
  readonly note: (text: string) => void;
}

const POINTER_NOT_BELIEVED = 'pointer-not-believed';

interface Place {
  /** What is around the current folder; undefined when that is no repository and `--repo` names one. */
  readonly here: Located | undefined;
  readonly repository: string;
  /** That repository, when it was opened on the way here. */
  readonly opened: UserRepository | undefined;
  /** Null: whatever the user's index says, or a new one. */
  readonly storage: string | null;
}

/** One call of the command line: resolves storage, session and agent from options, environment and the current folder. */
export class Invocation {
  readonly surroundings: Surroundings;
  readonly #options: OptionValues;
  #host: Promise<Host> | undefined;
  #place: Promise<Place> | undefined;
  #bulkhead: Bulkhead | undefined;

  constructor(surroundings: Surroundings, options: OptionValues) {
    this.surroundings = surroundings;
    this.#options = options;
  }

  get signal(): AbortSignal {
    return this.surroundings.signal;
  }

  note(text: string): void {
    this.surroundings.note(text);
  }

  /** The option or `BULKHEAD_AGENT`; undefined leaves it to the open turn and the defaults. */
  agent(): string | undefined {
    const fromEnvironment = this.surroundings.env['BULKHEAD_AGENT'];
    const agent = this.#options.agent ?? (fromEnvironment === '' ? undefined : fromEnvironment);
    if (agent !== undefined && !isAgentName(agent)) {
      throw usageError(
        'agent-invalid',
        'The name of an agent is 1 to 64 of a-z, 0-9, ".", "_" and "-", and begins with a letter or digit.',
        {
          agent,
        },
      );
    }
    return agent;
  }

  /**
   * Finishes what was cut off, too, and says so.
   * @param options.sweep remove as well what was left half made
   * @throws BulkheadError `no-storage` when there is none and `create` is false
   */
  async open(options: { readonly create: boolean; readonly sweep?: boolean }): Promise<Bulkhead> {
    const { repository, opened, storage } = await this.#where();
    const bulkhead = await openBulkhead(await this.#hostOnce(), {
      repository: opened ?? repository,
      storage,
      create: options.create,
    });
    this.#bulkhead = bulkhead;
    this.surroundings.log.attach(bulkhead.info.storage);
    bulkhead.onDidRecover(({ message }) => {
      this.note(message);
    });
    await bulkhead.recover({ sweep: options.sweep ?? false });
    return bulkhead;
  }

  /** Repository and storage that are meant, without opening the storage. */
  async place(): Promise<{ readonly repository: string; readonly storage: string | null }> {
    const { repository, storage } = await this.#where();
    return { repository, storage };
  }

  host(): Promise<Host> {
    return this.#hostOnce();
  }

  /** For lists: a missing storage has no entries and is not made. */
  async openOrNone(): Promise<Bulkhead | undefined> {
    try {
      return await this.open({ create: false });
    } catch (error) {
      if (error instanceof BulkheadError && error.code === 'no-storage') {
        return undefined;
      }
      throw error;
    }
  }

  /** `--session`, else the clone around the current folder, else inside the repository `workspace`. */
  async session(bulkhead: Bulkhead): Promise<Session> {
    const named = this.#options.session;
    if (named !== undefined) {
      return this.sessionNamed(bulkhead, named);
    }
    const session = await this.sessionHere(bulkhead);
    if (session === undefined) {
      throw usageError('no-session', 'Which session? Give --session, or go into a session’s folder or the repository.');
    }
    return session;
  }

  /** The session whose work tree is around the current folder. */
  async sessionHere(bulkhead: Bulkhead): Promise<Session | undefined> {
    const { here } = await this.#where();
    if (here?.kind === 'clone' && here.storage === bulkhead.info.storage) {
      return bulkhead.session(here.session);
    }
    if (here?.kind === 'repository' && here.repository === bulkhead.info.repository) {
      return bulkhead.session(WORKSPACE);
    }
    return undefined;
  }

  async sessionNamed(bulkhead: Bulkhead, text: string): Promise<Session> {
    const own = await this.confinedTo();
    if (own === undefined) {
      return bulkhead.resolveSession(text);
    }
    // Whether there is another session of that name is not said either.
    const session = await bulkhead.session(own);
    if (text === own || text === session.name || (isSessionIdPrefix(text) && own.startsWith(text))) {
      return session;
    }
    throw this.#outOfReach(own);
  }

  async snapshot(bulkhead: Bulkhead, text: string): Promise<Snapshot> {
    const own = await this.confinedTo();
    if (own === undefined) {
      return bulkhead.resolveSnapshot(text);
    }
    try {
      const snapshot = await bulkhead.resolveSnapshot(text, own);
      await this.checkReach(snapshot.session);
      return snapshot;
    } catch (error) {
      if (error instanceof BulkheadError && error.kind === 'notFound' && (await this.#isForeign(bulkhead, text))) {
        throw this.#outOfReach(own);
      }
      throw error;
    }
  }

  /** Whether digits that fit no snapshot of the own session fit one of another. */
  async #isForeign(bulkhead: Bulkhead, text: string): Promise<boolean> {
    try {
      await bulkhead.resolveSnapshot(text);
      return true;
    } catch (error) {
      if (error instanceof BulkheadError && (error.kind === 'notFound' || error.kind === 'user')) {
        return error.kind === 'user';
      }
      throw error;
    }
  }

  /**
   * The session in whose clone the current folder is. A command there reaches that session only, so that an agent cannot
   * read or write past its own clone through us; `--storage` lifts this.
   */
  async confinedTo(): Promise<string | undefined> {
    const { here } = await this.#where();
    return here?.kind === 'clone' && this.#options.storage === undefined ? here.session : undefined;
  }

  async checkReach(session: string): Promise<void> {
    const own = await this.confinedTo();
    if (own !== undefined && own !== session) {
      throw this.#outOfReach(own);
    }
  }

  /** For commands that are about all sessions. */
  async checkUnconfined(): Promise<void> {
    const own = await this.confinedTo();
    if (own !== undefined) {
      throw this.#outOfReach(own);
    }
  }

  #outOfReach(own: string): BulkheadError {
    return new BulkheadError(
      'refused',
      'other-session',
      `The current folder is inside the clone of session ${own}, from where other sessions cannot be reached. Give --storage to do it all the same.`,
      { data: { session: own } },
    );
  }

  async shutdown(): Promise<void> {
    await this.#bulkhead?.shutdown();
  }

  #hostOnce(): Promise<Host> {
    const { cwd, env, clock, log } = this.surroundings;
    this.#host ??= createHost({
      log,
      product: 'cli',
      environment: env,
      clock,
      settings: { fsync: env['BULKHEAD_FSYNC'] === '1' },
      forbiddenGitRoots: forbiddenRoots([cwd, this.#options.repo]),
    });
    return this.#host;
  }

  #where(): Promise<Place> {
    this.#place ??= this.#findPlace();
    return this.#place;
  }

  async #findPlace(): Promise<Place> {
    const { cwd } = this.surroundings;
    const host = await this.#hostOnce();
    const storage = this.#options.storage === undefined ? undefined : realStorage(cwd, this.#options.storage);
    if (storage === undefined) {
      await this.#checkWay(host);
    }
    const found = await this.#tryLocate(host, cwd);
    const here = 'kind' in found ? found : undefined;
    if (this.#options.repo !== undefined) {
      // The current folder need not be in a repository then. Inside a clone that cannot be trusted the rule on other
      // sessions cannot be kept, so that stays an error.
      if ('error' in found && storage === undefined && found.error.code === POINTER_NOT_BELIEVED) {
        throw found.error;
      }
      const named = await locate(host, resolve(cwd, this.#options.repo));
      const { repository } = named;
      return {
        here,
        repository,
        opened: openedBy(named),
        storage: storage ?? this.#storageFor(here, repository, named.storage),
      };
    }
    if (storage !== undefined) {
      // A storage knows its repository, so it can be asked from anywhere.
      const repository = here?.repository ?? (await readStorageOwner(storage));
      if (repository !== null) {
        return { here, repository, opened: openedBy(here), storage };
      }
    }
    if ('error' in found) {
      throw found.error;
    }
    const { repository } = found;
    return {
      here,
      repository,
      opened: openedBy(found),
      storage: storage ?? this.#storageFor(here, repository, found.storage),
    };
  }

  /** A shell that went through a link says so in `PWD`. One that leads out of a clone does not lead us out. */
  async #checkWay(host: Host): Promise<void> {
    const { cwd, env } = this.surroundings;
    const way = env['PWD'];
    if (way === undefined || !isAbsolute(way) || !isSame(way, cwd)) {
      return;
    }
    let left: { readonly storage: string; readonly session: string } | undefined;
    for (let at = resolve(way); dirname(at) !== at; at = dirname(at)) {
      if (isLink(at)) {
        left = (await findClone(host, dirname(at))) ?? left;
      }
    }
    const arrived = left === undefined ? undefined : await findClone(host, cwd);
    if (left !== undefined && (arrived?.session !== left.session || arrived.storage !== left.storage)) {
      throw this.#outOfReach(left.session);
    }
  }

  #storageFor(here: Located | undefined, repository: string, known: string | null): string | null {
    if (here?.kind === 'clone') {
      if (here.repository !== repository) {
        throw usageError(
          'other-repository',
          `The current folder is inside a session of ${here.repository}, not of ${repository}.`,
          { storage: here.storage, repository },
        );
      }
      return here.storage;
    }
    const { cwd, env } = this.surroundings;
    const fromEnvironment = env['BULKHEAD_STORAGE'];
    return fromEnvironment === undefined || fromEnvironment === '' ? known : realStorage(cwd, fromEnvironment);
  }

  async #tryLocate(host: Host, folder: string): Promise<Located | { readonly error: BulkheadError }> {
    try {
      return await locate(host, folder);
    } catch (error) {
      if (error instanceof BulkheadError && (error.kind === 'user' || error.code === POINTER_NOT_BELIEVED)) {
        return { error };
      }
      throw error;
    }
  }
}

function openedBy(located: Located | undefined): UserRepository | undefined {
  return located?.kind === 'repository' ? located.opened : undefined;
}

/** With links resolved as far as it exists, so that it compares equal to what others call it. */
function realStorage(cwd: string, storage: string): string {
  const path = resolve(cwd, storage);
  try {
    return realpathSync.native(path);
  } catch {
    // It need not exist yet; anything else is reported when it is opened.
    return dirname(path) === path ? path : join(realStorage(cwd, dirname(path)), basename(path));
  }
}

function isSame(way: string, cwd: string): boolean {
  try {
    return way !== cwd && realpathSync.native(way) === cwd;
  } catch {
    // It leads nowhere: nobody came that way.
    return false;
  }
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

/** The work trees around these folders: a `git` inside one of them is not run. */
function forbiddenRoots(folders: readonly (string | undefined)[]): string[] {
  const [cwd = '/'] = folders;
  const roots = new Set<string>();
  for (const folder of folders) {
    let current = resolve(cwd, folder ?? '.');
    while (dirname(current) !== current) {
      if (existsSync(join(current, '.git'))) {
        roots.add(current);
      }
      current = dirname(current);
    }
  }
  return [...roots];
}
