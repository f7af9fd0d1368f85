import { BulkheadError } from '../base/errors';
import { isOidPrefix } from '../core/objectId';
import { checkSessionName } from '../core/sessionName';
import { showUnseen } from '../core/visibleText';
import type { Session, SessionState, StartPoint } from '../session/api';
import { WORKSPACE } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import type { Command, Output } from './command';
import { usageError } from './failure';
import type { Invocation } from './invocation';
import { removeJson, resetJson, sessionJson } from './json';
import { age, type Cell, fields, shortOid, type Style, table } from './print';

const STATES: readonly SessionState[] = ['ready', 'creating', 'missing', 'damaged', 'newer', 'orphaned', 'trashed'];

const SESSION_PREFIX = 'session:';

export const sessionNew: Command = {
  words: ['session', 'new'],
  usage: '[--name N] [--from REV|SNAPSHOT|session:ID] [--carry-uncommitted] [--agent A]',
  summary: 'start a session in a clone of its own',
  details: [
    '--name N              what people call it; default: the first free "Session N"',
    '--from REV            start from a branch, tag or commit of the repository; default: HEAD',
    '--from SNAPSHOT       start from a snapshot (6 or more digits of its id)',
    '--from session:ID     start from the newest snapshot of another session',
    '--carry-uncommitted   bring the uncommitted work of the checkout along; not with --from',
    '--agent A             who asks for it',
  ],
  options: ['name', 'from', 'carry-uncommitted', 'agent'],
  arguments: { least: 0, most: 0, paths: false },
  async run({ invocation, options }) {
    const carryUncommitted = options['carry-uncommitted'] === true;
    if (carryUncommitted && options.from !== undefined) {
      throw usageError('usage', '--carry-uncommitted works from the HEAD of the checkout only; leave out --from.');
    }
    if (options.name !== undefined) {
      checkName(options.name);
    }
    if (options.from?.startsWith('-') === true) {
      throw usageError('revision-invalid', `${options.from} is no revision: it begins with a dash.`, {
        revision: options.from,
      });
    }
    if (carryUncommitted) {
      await invocation.checkReach(WORKSPACE);
    }
    const bulkhead = await invocation.open({ create: true, sweep: true });
    const from = await startPoint(invocation, bulkhead, options.from);
    return create(invocation, bulkhead, { from, name: options.name, carryUncommitted });
  },
};

export const sessionFork: Command = {
  words: ['session', 'fork'],
  usage: 'ID [--name N] [--agent A]',
  summary: 'start a session from the newest snapshot of another one',
  details: ['--name N    what people call the new session', '--agent A   who asks for it'],
  options: ['name', 'agent'],
  arguments: { least: 1, most: 1, paths: false },
  async run({ invocation, options, values }) {
    if (options.name !== undefined) {
      checkName(options.name);
    }
    const bulkhead = await invocation.open({ create: false });
    const parent = await invocation.sessionNamed(bulkhead, values[0] ?? '');
    return create(invocation, bulkhead, {
      from: { kind: 'session', session: parent.id },
      name: options.name,
      carryUncommitted: false,
    });
  },
};

export const sessionList: Command = {
  words: ['session', 'list'],
  usage: '[--all] [--state S] [--agent A]',
  summary: 'list sessions, newest first',
  details: [
    '--all       trashed ones as well',
    `--state S   only those in this state: ${STATES.join(', ')}`,
    '--agent A   only those in which this agent made a snapshot',
  ],
  options: ['all', 'state', 'agent'],
  arguments: { least: 0, most: 0, paths: false },
  async run({ invocation, options }) {
    const state = options.state === undefined ? undefined : stateNamed(options.state);
    const agent = options.agent === undefined ? undefined : invocation.agent();
    const bulkhead = await invocation.openOrNone();
    if (bulkhead === undefined) {
      return listOutput([]);
    }
    const all = await bulkhead.sessions({ all: options.all === true || state === 'trashed' });
    let sessions = (await withinReach(invocation, all)).filter(
      (session) => state === undefined || session.state === state,
    );
    if (agent !== undefined) {
      const made = await Promise.all(
        sessions.map((session) => bulkhead.snapshots({ session: session.id, agent, limit: 1 })),
      );
      sessions = sessions.filter((_, index) => (made[index]?.length ?? 0) > 0);
    }
    return listOutput(sessions);
  },
};

export const sessionTrash: Command = {
  words: ['session', 'trash'],
  usage: '',
  summary: 'list the sessions in the trash',
  details: [],
  options: [],
  arguments: { least: 0, most: 0, paths: false },
  async run({ invocation }) {
    await invocation.checkUnconfined();
    const bulkhead = await invocation.openOrNone();
    const sessions = bulkhead === undefined ? [] : await bulkhead.sessions({ all: true });
    return listOutput(sessions.filter((session) => session.state === 'trashed'));
  },
};

export const sessionShow: Command = {
  words: ['session', 'show'],
  usage: 'ID',
  summary: 'show one session',
  details: [
    'ID is the id, the beginning of it (4 or more characters), a unique name, or "workspace" for your own checkout.',
  ],
  options: [],
  arguments: { least: 1, most: 1, paths: false },
  async run({ invocation, values }) {
    const bulkhead = await invocation.open({ create: false });
    const session = await invocation.sessionNamed(bulkhead, values[0] ?? '');
    return { json: sessionJson(session), text: (style) => sessionText(style, session) };
  },
};

export const sessionRename: Command = {
  words: ['session', 'rename'],
  usage: 'ID NAME',
  summary: 'give a session another name',
  details: [],
  options: [],
  arguments: { least: 2, most: 2, paths: false },
  async run({ invocation, values: [id = '', name = ''] }) {
    checkName(name);
    const bulkhead = await invocation.open({ create: false });
    const session = await invocation.sessionNamed(bulkhead, id);
    refuseWorkspace(session, 'renamed');
    const renamed = await bulkhead.renameSession(session.id, name);
    return {
      json: sessionJson(renamed),
      text: () => `Session ${renamed.id} is now called "${showUnseen(renamed.name)}".`,
    };
  },
};

export const sessionRemove: Command = {
  words: ['session', 'rm'],
  usage: 'ID [--force]',
  summary: 'make a last snapshot and move a session to the trash',
  details: [
    'Refused (exit 3) while something would be lost that is nowhere else.',
    '--force   do it all the same; the last snapshot is made anyway',
  ],
  options: ['force'],
  arguments: { least: 1, most: 1, paths: false },
  async run({ invocation, options, values }) {
    const bulkhead = await invocation.open({ create: false, sweep: true });
    const session = await invocation.sessionNamed(bulkhead, values[0] ?? '');
    refuseWorkspace(session, 'deleted');
    const result = await bulkhead.removeSession(session.id, { force: options.force === true });
    return {
      json: removeJson(result),
      text: () =>
        `Session "${showUnseen(session.name)}" (${session.id}) is in the trash. Its newest snapshot is ${shortOid(result.snapshot)}.`,
    };
  },
};

export const sessionReset: Command = {
  words: ['session', 'reset'],
  usage: 'ID [--force]',
  summary: 'replace a session by a fresh one at the same base',
  details: [
    'The old one goes to the trash after a last snapshot; the fresh one has its name, and its files are those of the base.',
    'However many ask, one fresh session is made. With the id of a session that was reset before, nothing is made, and the',
    'one that took its place is shown.',
    'Refused (exit 3) while the session has changes that were not applied, or commits of its own.',
    '--force   do it all the same; the last snapshot is made anyway',
  ],
  options: ['force'],
  arguments: { least: 1, most: 1, paths: false },
  async run({ invocation, options, values }) {
    const bulkhead = await invocation.open({ create: false });
    const old = await invocation.sessionNamed(bulkhead, values[0] ?? '');
    refuseWorkspace(old, 'reset');
    const agent = invocation.agent();
    const result = await bulkhead.resetSession(old.id, {
      force: options.force === true,
      ...(agent === undefined ? {} : { agent }),
      signal: invocation.signal,
    });
    invocation.note(
      result.made
        ? `Session ${old.id} is in the trash. Its newest snapshot is ${shortOid(result.snapshot)}.`
        : `Session ${old.id} had been reset before. This one took its place:`,
    );
    return { json: resetJson(result), text: (style) => sessionText(style, result.session) };
  },
};

async function create(
  invocation: Invocation,
  bulkhead: Bulkhead,
  request: {
    readonly from: StartPoint;
    readonly name: string | undefined;
    readonly carryUncommitted: boolean;
  },
): Promise<Output> {
  const agent = invocation.agent();
  const session = await bulkhead.createSession({
    from: request.from,
    onNotice: (text) => {
      invocation.note(showUnseen(text));
    },
    ...(request.name === undefined ? {} : { name: request.name }),
    ...(request.carryUncommitted ? { carryUncommitted: true } : {}),
    ...(agent === undefined ? {} : { agent }),
    signal: invocation.signal,
  });
  return { json: sessionJson(session), text: (style) => sessionText(style, session) };
}

/** Digits may name a snapshot or a commit: a snapshot that exists wins, as an explicit name of ours. */
async function startPoint(invocation: Invocation, bulkhead: Bulkhead, from: string | undefined): Promise<StartPoint> {
  if (from === undefined) {
    return { kind: 'head' };
  }
  if (from.startsWith(SESSION_PREFIX)) {
    const session = await invocation.sessionNamed(bulkhead, from.slice(SESSION_PREFIX.length));
    return { kind: 'session', session: session.id };
  }
  if (isOidPrefix(from.replace(/\^+$/, ''))) {
    try {
      const snapshot = await invocation.snapshot(bulkhead, from);
      return { kind: 'snapshot', oid: snapshot.oid };
    } catch (error) {
      if (!(error instanceof BulkheadError && error.kind === 'notFound')) {
        throw error;
      }
    }
  }
  return { kind: 'revision', revision: from };
}

function checkName(text: string): void {
  const check = checkSessionName(text);
  if (check.kind === 'invalid') {
    throw usageError('name-invalid', check.reason, { name: text });
  }
}

function refuseWorkspace(session: Session, done: string): void {
  if (session.id === WORKSPACE) {
    throw usageError('workspace-fixed', `"${WORKSPACE}" is your own checkout; it cannot be ${done}.`);
  }
}

function stateNamed(text: string): SessionState {
  const state = STATES.find((known) => known === text);
  if (state === undefined) {
    throw usageError('usage', `There is no state "${text}". The states are ${STATES.join(', ')}.`);
  }
  return state;
}

async function withinReach(invocation: Invocation, sessions: readonly Session[]): Promise<readonly Session[]> {
  const own = await invocation.confinedTo();
  if (own === undefined) {
    return sessions;
  }
  invocation.note('Inside the clone of a session only that session is listed.');
  return sessions.filter((session) => session.id === own);
}

function listOutput(sessions: readonly Session[]): Output {
  return { json: sessions.map(sessionJson), text: (style) => listText(style, sessions) };
}

function listText(style: Style, sessions: readonly Session[]): string {
  if (sessions.length === 0) {
    return '';
  }
  return table(
    style,
    ['ID', 'NAME', 'STATE', 'SNAPSHOTS', 'NEWEST', 'CHANGED', 'BRANCH'],
    sessions.map((session): (Cell | string)[] => [
      { text: session.id, colour: 'yellow' },
      showUnseen(session.name),
      session.state === 'ready' && session.damage === null
        ? session.state
        : { text: session.damage === null ? session.state : `${session.state}, damaged`, colour: 'red' },
      { text: String(session.snapshots), align: 'right' },
      shortOid(session.newest),
      age(style, session.newestTime),
      session.branch === null ? '-' : showUnseen(session.branch),
    ]),
  );
}

function sessionText(style: Style, session: Session): string {
  return fields(style, [
    ['id', session.id],
    ['name', showUnseen(session.name)],
    ['state', session.reason === null ? session.state : `${session.state}: ${showUnseen(session.reason)}`],
    ['folder', session.path === null ? null : showUnseen(session.path)],
    ['branch', session.branch === null ? null : showUnseen(session.branch)],
    ['base', session.base === null ? null : shortOid(session.base.commit ?? session.base.tree)],
    ['snapshots', String(session.snapshots)],
    ['newest', session.newest === null ? null : `${shortOid(session.newest)}, ${age(style, session.newestTime)}`],
    ['created', age(style, session.created)],
    ...(session.damage === null ? [] : [['damage', showUnseen(session.damage)] as const]),
  ]);
}
