import { visiblePath } from '../core/repoPath';
import type { ChangeStatus, DiffSide, FileDiff, Session } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import type { Command } from './command';
import type { Invocation } from './invocation';
import { diffJson } from './json';
import { checkKnown, pathsOf } from './paths';
import { type Cell, type Style, table } from './print';

const SESSION_PREFIX = 'session:';

const LETTERS: Readonly<Record<ChangeStatus, string>> = {
  added: 'A',
  modified: 'M',
  deleted: 'D',
  renamed: 'R',
  'type-changed': 'T',
};

export const diff: Command = {
  words: ['diff'],
  usage: 'A [B] [--session ID] [--name-only] [-- PATH…]',
  summary: 'compare two states',
  details: [
    'A and B are each a snapshot (6 or more digits of its id; OID^ is the one before), "base", "worktree",',
    'or session:ID for the newest snapshot of a session. Without B, A is compared with the work tree.',
    '--session ID   whose base and work tree; default: the one around the current folder',
    '--name-only    names only',
  ],
  options: ['session', 'name-only'],
  arguments: { least: 1, most: 2, paths: true },
  async run({ invocation, options, values: [a = '', b = 'worktree'], paths: given }) {
    const bulkhead = await invocation.open({ create: false });
    const sides = [parseSide(a), parseSide(b)] as const;
    const needed = sides.some(({ kind }) => kind === 'own') || options.session !== undefined;
    const session = needed ? await invocation.session(bulkhead) : await invocation.sessionHere(bulkhead);
    const from = await sideOf(invocation, bulkhead, session, sides[0]);
    const to = await sideOf(invocation, bulkhead, session, sides[1]);
    const paths = await pathsOf({
      given,
      workTree: session?.path ?? null,
      cwd: invocation.surroundings.cwd,
    });
    if (paths !== undefined) {
      // The work tree itself is looked at on disk, which costs less than its tree.
      const stored = [from, to].filter((side) => side.kind !== 'worktree');
      const trees = await Promise.all(stored.map((side) => bulkhead.treeOf(side)));
      await checkKnown(bulkhead, { session, trees, paths });
    }
    const result = await bulkhead.diff(from, to, {
      ...(paths === undefined ? {} : { paths }),
      signal: invocation.signal,
    });
    return {
      json: diffJson(result),
      text: (style) =>
        options['name-only'] === true
          ? result.files.map((file) => visiblePath(file.path)).join('\n')
          : filesText(style, result.files),
    };
  },
};

type NamedSide =
  | { readonly kind: 'own'; readonly state: 'base' | 'worktree' }
  | { readonly kind: 'session' | 'snapshot'; readonly name: string };

export function parseSide(text: string): NamedSide {
  if (text === 'base' || text === 'worktree') {
    return { kind: 'own', state: text };
  }
  return text.startsWith(SESSION_PREFIX)
    ? { kind: 'session', name: text.slice(SESSION_PREFIX.length) }
    : { kind: 'snapshot', name: text };
}

async function sideOf(
  invocation: Invocation,
  bulkhead: Bulkhead,
  session: Session | undefined,
  side: NamedSide,
): Promise<DiffSide> {
  switch (side.kind) {
    case 'own':
      return { kind: side.state, session: (session ?? (await invocation.session(bulkhead))).id };
    case 'session':
      return { kind: 'newest', session: (await invocation.sessionNamed(bulkhead, side.name)).id };
    case 'snapshot':
      return { kind: 'snapshot', oid: (await invocation.snapshot(bulkhead, side.name)).oid };
  }
}

function filesText(style: Style, files: readonly FileDiff[]): string {
  if (files.length === 0) {
    return '';
  }
  return table(
    style,
    ['', '+', '-', 'FILE'],
    files.map((file): Cell[] => [
      { text: LETTERS[file.status], colour: file.status === 'deleted' ? 'red' : 'yellow' },
      { text: file.added === null ? 'bin' : String(file.added), align: 'right', colour: 'green' },
      { text: file.deleted === null ? 'bin' : String(file.deleted), align: 'right', colour: 'red' },
      {
        text:
          file.oldPath === null ? visiblePath(file.path) : `${visiblePath(file.oldPath)} → ${visiblePath(file.path)}`,
      },
    ]),
  );
}
