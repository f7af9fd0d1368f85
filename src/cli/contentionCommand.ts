import { visiblePath } from '../core/repoPath';
import type { ContendedPair, ContendedPath } from '../session/api';
import type { Command } from './command';
import { contentionJson } from './json';
import { type Cell, type Style, table } from './print';

export const contention: Command = {
  words: ['contention'],
  usage: '',
  summary: 'show which sessions change the same files, and whether they merge',
  details: ['Looks at the work trees as they are now; makes no snapshot.'],
  options: [],
  arguments: { least: 0, most: 0, paths: false },
  async run({ invocation }) {
    const bulkhead = await invocation.openOrNone();
    const all = bulkhead === undefined ? [] : await bulkhead.contention('live');
    const own = await invocation.confinedTo();
    if (own !== undefined) {
      invocation.note('Inside the clone of a session only what concerns that session is shown.');
    }
    const contended = own === undefined ? all : all.flatMap((path) => partOf(path, own));
    return {
      json: contended.map(contentionJson),
      text: (style) => contentionText(style, contended),
    };
  },
};

/** What one session may know of a contended path: its own pairs. */
function partOf(contended: ContendedPath, own: string): ContendedPath[] {
  const pairs = contended.pairs.filter(({ a, b }) => a === own || b === own);
  if (pairs.length === 0) {
    return [];
  }
  const sessions = contended.sessions.filter((session) => pairs.some(({ a, b }) => a === session || b === session));
  return [{ path: contended.path, sessions, pairs, merge: worstOf(pairs) }];
}

function worstOf(pairs: readonly ContendedPair[]): ContendedPath['merge'] {
  for (const merge of ['conflict', 'unknown'] as const) {
    if (pairs.some((pair) => pair.merge === merge)) {
      return merge;
    }
  }
  return 'clean';
}

function contentionText(style: Style, contended: readonly ContendedPath[]): string {
  if (contended.length === 0) {
    return '';
  }
  return table(
    style,
    ['MERGE', 'BETWEEN', 'LINES', 'FILE'],
    contended.flatMap(({ path, pairs }) =>
      pairs.map(({ a, b, merge, lines }): Cell[] => [
        {
          text: merge,
          colour: merge === 'conflict' ? 'red' : merge === 'clean' ? 'green' : 'yellow',
        },
        { text: `${a} ${b}` },
        {
          text:
            lines === null
              ? '-'
              : lines
                  .map(([first, last]) => (first === last ? String(first) : `${String(first)}-${String(last)}`))
                  .join(','),
        },
        { text: visiblePath(path) },
      ]),
    ),
  );
}
