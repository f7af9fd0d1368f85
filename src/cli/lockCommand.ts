import { spanText } from '../core/holder';
import { showUnseen } from '../core/visibleText';
import type { LockInfo, LockState } from '../session/api';
import type { Command } from './command';
import { lockJson } from './json';
import { type Cell, type Style, table } from './print';

export const lockShow: Command = {
  words: ['lock', 'show'],
  usage: '',
  summary: 'show who holds locks, leases and claims, the oldest first',
  details: [
    'lock    a save is under way',
    'lease   the window that records what is written outside of editors',
    'claim   a restore, apply or delete is under way; nobody else records the session meanwhile',
    'git     a lock file of git’s own in the snapshot store',
    '',
    'A dead holder keeps nobody waiting: whoever comes next takes over from it.',
  ],
  options: [],
  arguments: { least: 0, most: 0, paths: false },
  async run({ invocation }) {
    const bulkhead = await invocation.openOrNone();
    const all = bulkhead === undefined ? [] : await bulkhead.locks();
    const own = await invocation.confinedTo();
    if (own !== undefined) {
      invocation.note('Inside the clone of a session only what concerns that session is shown.');
    }
    const locks = own === undefined ? all : all.filter(({ session }) => session === own);
    return {
      json: locks.map(lockJson),
      text: (style) => lockText(style, locks),
    };
  },
};

const COLOURS: Readonly<Record<LockState, NonNullable<Cell['colour']>>> = {
  alive: 'green',
  dead: 'dim',
  unknown: 'yellow',
  newer: 'yellow',
};

function lockText(style: Style, locks: readonly LockInfo[]): string {
  if (locks.length === 0) {
    return 'Nothing is locked.';
  }
  return table(
    style,
    ['KIND', 'STATE', 'AGE', 'FOR', 'AGENT', 'PROCESS', 'HOST', 'SESSION', 'NAME OR FILE'],
    locks.map((lock): (Cell | string)[] => [
      lock.kind,
      { text: lock.state, colour: COLOURS[lock.state] },
      { text: lock.ageMs === null ? '-' : spanText(lock.ageMs), align: 'right' },
      showUnseen(lock.purpose ?? '-'),
      showUnseen(lock.agent ?? '-'),
      { text: lock.pid === null ? '-' : String(lock.pid), align: 'right' },
      showUnseen(lock.host ?? '-'),
      lock.session ?? '-',
      showUnseen(lock.kind === 'git' ? lock.place : (lock.name ?? '-')),
    ]),
  );
}
