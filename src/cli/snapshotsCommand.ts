import { BulkheadError } from '../base/errors';
import { isTrigger, TRIGGERS } from '../core/snapshotMessage';
import { showUnseen } from '../core/visibleText';
import type { Snapshot, SnapshotQuery } from '../session/api';
import type { Command } from './command';
import { usageError } from './failure';
import { snapshotJson } from './json';
import { isKnown, pathNotFound, pathsOf } from './paths';
import { age, type Cell, shortOid, type Style, table } from './print';

export const snapshots: Command = {
  words: ['snapshots'],
  usage: '[--session ID | --all] [--path P] [--agent A] [--trigger T] [--turn T] [--limit N] [--after OID]',
  summary: 'list snapshots, newest first',
  details: [
    '--session ID    of which session; default: the one around the current folder',
    '--all           of all sessions',
    '--path P        only those that changed this file or folder; may be given several times',
    '--agent A       only those of this agent',
    `--trigger T     only those made by: ${TRIGGERS.join(', ')}`,
    '--turn T        only those of this turn',
    '--limit N       at most this many; default 100',
    '--after OID     continue below this snapshot',
  ],
  options: ['session', 'all', 'path', 'agent', 'trigger', 'turn', 'limit', 'after'],
  arguments: { least: 0, most: 0, paths: false },
  async run({ invocation, options }) {
    const all = options.all === true;
    if (all && options.session !== undefined) {
      throw usageError('usage', 'Give --session or --all, not both.');
    }
    if (options.trigger !== undefined && !isTrigger(options.trigger)) {
      throw usageError('usage', `There is no trigger "${options.trigger}". The triggers are ${TRIGGERS.join(', ')}.`);
    }
    const limit = options.limit === undefined ? undefined : limitOf(options.limit);
    // The agent is a filter here: what the environment says about the caller does not count.
    const agent = options.agent === undefined ? undefined : invocation.agent();
    if (all) {
      await invocation.checkUnconfined();
    }
    const bulkhead = await invocation.openOrNone();
    if (bulkhead === undefined) {
      return { json: [], text: () => '' };
    }
    const session = all ? undefined : await invocation.session(bulkhead);
    const around = session ?? (await invocation.sessionHere(bulkhead));
    const paths = await pathsOf({
      given: options.path ?? [],
      workTree: around?.path ?? null,
      cwd: invocation.surroundings.cwd,
    });
    const after = options.after === undefined ? undefined : await invocation.snapshot(bulkhead, options.after);
    if (after !== undefined && session !== undefined && after.session !== session.id) {
      throw new BulkheadError(
        'notFound',
        'snapshot-not-found',
        `${shortOid(after.oid)} is no snapshot of session ${session.id}.`,
      );
    }
    const query: SnapshotQuery = {
      ...(session === undefined ? {} : { session: session.id }),
      ...(paths === undefined ? {} : { paths }),
      ...(agent === undefined ? {} : { agent }),
      ...(options.trigger === undefined ? {} : { trigger: options.trigger }),
      ...(options.turn === undefined ? {} : { turn: options.turn }),
      ...(limit === undefined ? {} : { limit }),
      ...(after === undefined ? {} : { after: after.oid }),
      signal: invocation.signal,
    };
    const found = await bulkhead.snapshots(query);
    if (found.length === 0) {
      for (const path of paths ?? []) {
        const changedOnce =
          (
            await bulkhead.snapshots({
              ...(session === undefined ? {} : { session: session.id }),
              paths: [path],
              limit: 1,
            })
          ).length > 0;
        if (!changedOnce && !(await isKnown(bulkhead, path, { session: around, trees: [] }))) {
          throw pathNotFound(path);
        }
      }
    }
    return { json: found.map(snapshotJson), text: (style) => snapshotsText(style, found, { all }) };
  },
};

export function limitOf(text: string): number {
  const limit = /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : undefined;
  if (limit === undefined) {
    throw usageError('usage', `--limit is a whole number from 1 on, not "${text}".`);
  }
  return limit;
}

function snapshotsText(style: Style, found: readonly Snapshot[], options: { readonly all: boolean }): string {
  if (found.length === 0) {
    return '';
  }
  return table(
    style,
    ['SNAPSHOT', ...(options.all ? ['SESSION'] : []), 'AGE', 'TRIGGER', 'AGENT', 'FILES', '+', '-', 'SUBJECT'],
    found.map((snapshot): (Cell | string)[] => [
      { text: shortOid(snapshot.oid), colour: 'yellow' },
      ...(options.all ? [snapshot.session] : []),
      { text: age(style, snapshot.time), align: 'right' },
      snapshot.trigger,
      snapshot.agent,
      { text: String(snapshot.files), align: 'right' },
      { text: String(snapshot.added), align: 'right', colour: 'green' },
      { text: String(snapshot.deleted), align: 'right', colour: 'red' },
      snapshot.damage === null
        ? showUnseen(snapshot.subject)
        : { text: `damaged: ${showUnseen(snapshot.subject)}`, colour: 'red' },
    ]),
  );
}
