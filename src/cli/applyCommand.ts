import { visiblePath } from '../core/repoPath';
import { showUnseen } from '../core/visibleText';
import type { ChangeStatus } from '../session/api';
import { WORKSPACE } from '../session/api';
import type { Command } from './command';
import { usageError } from './failure';
import { applyJson } from './json';
import { checkKnown, pathsOf } from './paths';
import { counted } from './print';

const LETTERS: Readonly<Record<ChangeStatus, string>> = {
  added: 'A',
  modified: 'M',
  deleted: 'D',
  renamed: 'R',
  'type-changed': 'T',
};

export const apply: Command = {
  words: ['apply'],
  usage: 'ID --mode branch [--dry-run] [-- PATH…]',
  summary: 'bring what a session made into the repository, as a branch',
  details: ['--mode branch   the only mode in this version', '--dry-run       show the files and write nothing'],
  options: ['mode', 'dry-run'],
  arguments: { least: 1, most: 1, paths: true },
  async run({ invocation, options, values, paths: given }) {
    if (options.mode !== 'branch') {
      throw usageError(
        'mode-unavailable',
        `${options.mode === undefined ? 'Squashing' : `Mode "${options.mode}"`} does not exist in this version. Use --mode branch.`,
        { modes: ['branch'] },
      );
    }
    const dryRun = options['dry-run'] === true;
    const bulkhead = await invocation.open({ create: false });
    const session = await invocation.sessionNamed(bulkhead, values[0] ?? '');
    if (session.id === WORKSPACE) {
      throw usageError('workspace-fixed', `"${WORKSPACE}" is your own checkout; there is nothing to apply.`);
    }
    if (!dryRun) {
      // It writes to the user's repository, so from inside a clone it counts as a write to the checkout.
      await invocation.checkReach(WORKSPACE);
    }
    const paths = await pathsOf({
      given,
      workTree: session.path,
      cwd: invocation.surroundings.cwd,
    });
    await checkKnown(bulkhead, {
      session,
      trees: session.base === null ? [] : [session.base.tree],
      paths,
    });
    const result = await bulkhead.apply({
      session: session.id,
      mode: 'branch',
      dryRun,
      ...(paths === undefined ? {} : { paths }),
      signal: invocation.signal,
    });
    return {
      json: applyJson(result),
      text: (style) =>
        [
          ...result.files.map(({ path, status }) => `${style.paint('yellow', LETTERS[status])}  ${visiblePath(path)}`),
          ...result.conflicts.map((path) => `${style.paint('red', 'conflict')}  ${visiblePath(path)}`),
          result.branch === null
            ? counted(result.files.length, 'file')
            : `${counted(result.files.length, 'file')} on branch ${showUnseen(result.branch)}${dryRun ? ' (not written)' : ''}`,
        ].join('\n'),
    };
  },
};
