import { visiblePath } from '../core/repoPath';
import { isTurnName } from '../core/snapshotMessage';
import { WORKSPACE } from '../session/api';
import type { Command } from './command';
import { usageError } from './failure';
import { checkpointJson } from './json';
import { checkKnown, pathsOf } from './paths';
import { counted, shortOid } from './print';

export const checkpoint: Command = {
  words: ['checkpoint'],
  usage: '[--session ID] [-m TEXT] [--agent A] [--turn T] [PATH…]',
  summary: 'record the work tree now',
  details: [
    'With paths only these are recorded (a folder means all below it), else everything.',
    '--session ID         whose work tree; default: the one around the current folder',
    '-m, --message TEXT   one line instead of a made subject',
    '--agent A            who made the changes',
    '--turn T             the turn they belong to',
  ],
  options: ['session', 'message', 'agent', 'turn'],
  arguments: { least: 0, most: Number.POSITIVE_INFINITY, paths: false },
  async run({ invocation, options, values }) {
    const agent = invocation.agent();
    if (options.turn !== undefined && !isTurnName(options.turn)) {
      throw usageError('turn-invalid', 'A turn is named by one line of at most 200 visible characters.');
    }
    // Only the checkout can be recorded before there is a storage: a session would be part of it.
    const create = options.session === undefined || options.session === WORKSPACE;
    const bulkhead = await invocation.open({ create });
    const session = await invocation.session(bulkhead);
    const paths = await pathsOf({
      given: values,
      workTree: session.path,
      cwd: invocation.surroundings.cwd,
    });
    await checkKnown(bulkhead, { session, trees: [], paths });
    const result = await bulkhead.checkpoint({
      session: session.id,
      trigger: 'manual',
      ...(paths === undefined ? {} : { paths }),
      ...(options.message === undefined ? {} : { message: options.message }),
      ...(agent === undefined ? {} : { agent }),
      ...(options.turn === undefined ? {} : { turn: options.turn }),
      signal: invocation.signal,
    });
    for (const { path, reason } of result.skipped) {
      invocation.note(`skipped ${visiblePath(path)} (${reason})`);
    }
    return {
      json: checkpointJson(result),
      text: (style) =>
        result.snapshot === null
          ? `Nothing changed since ${shortOid(result.newest)}.`
          : `${style.paint('yellow', shortOid(result.snapshot))}  ${counted(result.changed.length, 'path')} changed`,
    };
  },
};
