import assert from 'node:assert/strict';
import { join } from 'node:path';
import { BulkheadError } from '../../src/base/errors';
import { COMMANDS } from '../../src/cli/commands';
import type { Session } from '../../src/session/api';
import { Bulkhead } from '../../src/session/bulkhead';
import { callCli } from '../support/callCli';
import type { CliOptions, CliRun } from '../support/runCli';
import { checkpoint, cloneOf, type EngineWorld, loseObject, pathOf, restoreAll, write } from './world';

/** A session whose clone is not to be trusted, and what can be done about it. */
export interface Suspect {
  readonly world: EngineWorld;
  readonly bulkhead: Bulkhead;
  readonly session: Session;
  /** Makes another session like it, for a call that ends one. */
  readonly another: () => Promise<Session>;
}

export interface Call {
  readonly name: string;
  readonly run: () => Promise<unknown>;
}

/** Methods of `Bulkhead` that no list of calls has, and why. */
const NOT_CALLED: Readonly<Record<string, string>> = {
  onDidChangeSessions: 'an event: it tells what other calls did',
  onDidChangeSnapshots: 'an event: it tells what other calls did',
  onDidChangeWaiting: 'an event: it tells what other calls did',
  onDidRecover: 'an event: it tells what other calls did',
  pids: 'read when a world is closed',
  shutdown: 'called when a world is closed',
};

/** Everything that the engine can be asked to do about a session, in an order in which it makes sense. */
export function engineCalls({ world, bulkhead, session, another }: Suspect): Call[] {
  const { id } = session;
  const start = session.newest ?? '';
  const base = session.base?.tree ?? '';
  const clone = cloneOf(session);
  const path = pathOf('a.txt');
  const undo = (redo: boolean) => (): Promise<unknown> => bulkhead.undo({ session: id, consent: 'all', redo });
  const calls: readonly (readonly [method: string, run: () => unknown])[] = [
    ['watch', () => bulkhead.watch()],
    ['recover', () => bulkhead.recover({ sweep: true })],
    ['checkpoint', () => checkpoint(bulkhead, session, 'a.txt', 'new file.txt')],
    ['checkpoint', () => checkpoint(bulkhead, session)],
    ['session', () => bulkhead.session(id)],
    ['sessions', () => bulkhead.sessions({ all: true })],
    ['resolveSession', () => bulkhead.resolveSession(id)],
    ['workspace', () => bulkhead.workspace()],
    ['successorOf', () => bulkhead.successorOf(id)],
    ['snapshots', () => bulkhead.snapshots({ session: id })],
    ['snapshot', () => bulkhead.snapshot(start)],
    ['resolveSnapshot', () => bulkhead.resolveSnapshot(start, id)],
    ['diff', () => bulkhead.diff({ kind: 'base', session: id }, { kind: 'worktree', session: id })],
    ['changedSinceBase', () => bulkhead.changedSinceBase(id)],
    ['treeOf', () => bulkhead.treeOf({ kind: 'worktree', session: id })],
    ['entry', () => bulkhead.entry(base, path)],
    ['children', () => bulkhead.children(base, '')],
    ['blob', async () => bulkhead.blob((await bulkhead.entry(base, path))?.oid ?? '')],
    ['blobSize', async () => bulkhead.blobSize((await bulkhead.entry(base, path))?.oid ?? '')],
    ['contention', () => bulkhead.contention('live')],
    ['contention', () => bulkhead.contention('newest')],
    ['planRestore', () => bulkhead.planRestore({ session: id, target: start, consent: 'all' })],
    ['restore', () => restoreAll(bulkhead, session, start)],
    ['undo', undo(false)],
    ['undo', undo(true)],
    ['undo', undo(false)],
    ['apply', () => bulkhead.apply({ session: id, mode: 'branch', dryRun: true })],
    ['apply', () => bulkhead.apply({ session: id, mode: 'branch' })],
    ['willSave', () => bulkhead.willSave(id, join(clone, 'a.txt'))],
    ['capture', () => captured(bulkhead, session)],
    ['saveEnded', () => bulkhead.saveEnded(id, join(clone, 'a.txt'))],
    ['locks', () => bulkhead.locks()],
    ['waiting', () => bulkhead.waiting()],
    ['renameSession', () => bulkhead.renameSession(id, `Renamed ${id}`)],
    ['createSession', () => bulkhead.createSession({ from: { kind: 'session', session: id } })],
    ['createSession', () => bulkhead.createSession({ from: { kind: 'snapshot', oid: start } })],
    ['preflightRemoval', () => bulkhead.preflightRemoval(id)],
    ['removeSession', async () => bulkhead.removeSession((await another()).id, { force: true })],
    ['resetSession', async () => bulkhead.resetSession((await another()).id, { force: true })],
    ['maintenanceIsDue', () => bulkhead.maintenanceIsDue()],
    ['maintain', () => bulkhead.maintain()],
    ['checkStore', () => bulkhead.checkStore()],
    ['checkStore', () => repaired(world, bulkhead, session)],
  ];
  const methods = Object.getOwnPropertyNames(Bulkhead.prototype).filter((name) => name !== 'constructor');
  const listed = [...calls.map(([method]) => method), ...Object.keys(NOT_CALLED)];
  assert.deepEqual(new Set(listed), new Set(methods), 'each method of Bulkhead is called here, or it is said why not');
  return calls.map(([name, run]) => ({ name, run: async () => run() }));
}

/** A save of an editor, a write from outside, and a look at everything. */
async function captured(bulkhead: Bulkhead, session: Session): Promise<void> {
  const clone = cloneOf(session);
  const capture = await bulkhead.capture(session.id, { ownWindow: true });
  const failures: BulkheadError[] = [];
  capture.onDidFail((error) => failures.push(error));
  try {
    write(clone, 'a.txt', 'saved in an editor\n');
    await capture.saved(join(clone, 'a.txt'));
    write(clone, 'from outside.txt', 'written by the agent\n');
    capture.changedOutside(join(clone, 'from outside.txt'));
    await capture.flush();
    write(clone, 'unseen.txt', 'seen by no watcher\n');
    capture.doubt('a test');
    await capture.flush();
  } finally {
    await capture.shutdown();
  }
  const [failure] = failures;
  if (failure !== undefined) {
    throw failure;
  }
}

/** A repair that looks for a lost object: in the clones first, then in the work trees. */
async function repaired(world: EngineWorld, bulkhead: Bulkhead, session: Session): Promise<void> {
  write(cloneOf(session), 'lost.txt', `lost in the store, of ${session.id}\n`);
  const { tree } = await checkpoint(bulkhead, session, 'lost.txt');
  const { oid } = (await bulkhead.entry(tree, pathOf('lost.txt'))) ?? assert.fail('lost.txt is not recorded');
  loseObject(world.store, oid);
  const { repairs } = await bulkhead.checkStore({ repair: true });
  assert.ok(
    repairs.some(({ code, subject }) => code === 'object-missing' && subject === oid),
    'the object is written again',
  );
}

type Run = (args: readonly string[], options: Omit<CliOptions, 'onStart'>) => Promise<CliRun>;

type Lines = readonly (readonly string[])[];

/**
 * The same from the command line, inside the clone.
 * @param run `runCli`: a process of its own, whose git has the clone as its folder
 */
export function callsInside({ world, session }: Suspect, run: Run): Call[] {
  const { id } = session;
  const lines: Lines = [
    ['session', 'list'],
    ['session', 'show', id],
    ['session', 'trash'],
    ['session', 'new', '--from', `session:${id}`],
    ['session', 'fork', id],
    ['session', 'rename', id, 'From inside'],
    ['checkpoint'],
    ['checkpoint', 'a.txt'],
    ['snapshots', '--path', 'a.txt'],
    ['diff', 'base'],
    ['contention'],
    ['restore', session.newest ?? '', '--force'],
    ['undo', '--force'],
    ['undo', '--redo', '--force'],
    ['apply', id, '--mode', 'branch'],
    ['lock', 'show'],
    ['doctor'],
    ['gc'],
    ['session', 'reset', id],
    ['session', 'rm', id],
  ];
  requireEachCommand(lines, 'inside the clone');
  return lines.map((line) => ({
    name: `inside: ${line.join(' ')}`,
    run: () => give(run, cloneOf(session), world, line),
  }));
}

/** And from the user's checkout. */
export function callsOutside({ world, session, another }: Suspect): Call[] {
  const { id } = session;
  const lines: Lines = [
    ['session', 'list', '--all'],
    ['session', 'show', id],
    ['session', 'trash'],
    ['session', 'new', '--from', `session:${id}`],
    ['session', 'fork', id],
    ['session', 'rename', id, 'From outside'],
    ['checkpoint', '--session', id],
    ['snapshots', '--session', id],
    ['diff', 'base', 'worktree', '--session', id],
    ['contention'],
    ['restore', session.newest ?? '', '--session', id, '--force'],
    ['undo', '--session', id, '--force'],
    ['undo', '--redo', '--session', id, '--force'],
    ['apply', id, '--mode', 'branch'],
    ['lock', 'show'],
    ['doctor', '--repair'],
    ['gc'],
  ];
  /** Each of these is given a session of its own. */
  const ends: Lines = [
    ['session', 'reset', '--force'],
    ['session', 'rm', '--force'],
  ];
  requireEachCommand([...lines, ...ends], 'outside of the clone');
  const call = (line: readonly string[], more: () => Promise<readonly string[]>): Call => ({
    name: `outside: ${line.join(' ')}`,
    run: async () => give(callCli, world.repo.dir, world, [...line, ...(await more())]),
  });
  return [
    ...lines.map((line) => call(line, () => Promise.resolve([]))),
    ...ends.map((line) => call(line, async () => [(await another()).id])),
  ];
}

function requireEachCommand(lines: Lines, where: string): void {
  const missing = COMMANDS.filter(({ words }) => !lines.some((line) => words.every((word, at) => line[at] === word)));
  assert.deepEqual(
    missing.map(({ words }) => words.join(' ')),
    [],
    `each command of the command line is given ${where}`,
  );
}

/** @throws BulkheadError with the code that the command gave */
async function give(run: Run, cwd: string, world: EngineWorld, line: readonly string[]): Promise<void> {
  const { stdout, story } = await run([...line, '--json'], { cwd, env: world.environment });
  let document: { readonly error?: { readonly code: string; readonly message: string } } | null;
  try {
    document = JSON.parse(stdout) as typeof document;
  } catch {
    assert.fail(story);
  }
  assert.notEqual(document?.error?.code, 'internal', story);
  if (document?.error !== undefined) {
    throw new BulkheadError('user', document.error.code, document.error.message);
  }
}

/** What is refused inside any clone, because it is about other sessions or would lose something. */
export function refusedInside({ id }: Session): readonly string[] {
  return [
    'inside: session trash: other-session',
    `inside: apply ${id} --mode branch: other-session`,
    'inside: doctor: other-session',
    'inside: gc: other-session',
    `inside: session reset ${id}: would-lose`,
    `inside: session rm ${id}: would-lose`,
  ];
}

/**
 * Makes the calls one after the other; nothing but errors of ours may come.
 * @returns the calls that were refused, each with the code of its error
 */
export async function refusedOf(calls: readonly Call[], after?: (name: string) => void): Promise<string[]> {
  const refused: string[] = [];
  for (const { name, run } of calls) {
    try {
      await run();
    } catch (error) {
      assert.ok(
        error instanceof BulkheadError && error.kind !== 'bug',
        `${name}: not one of our errors: ${error instanceof Error ? String(error.stack) : String(error)}`,
      );
      refused.push(`${name}: ${error.code}`);
    }
    after?.(name);
  }
  return refused;
}
