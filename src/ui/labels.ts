import type { Trigger } from '../core/snapshotMessage';
import { visiblePath } from '../core/repoPath';
import type {
  ChangeStatus,
  ContendedPath,
  FileDiff,
  Session,
  SessionRef,
  SessionState,
  Snapshot,
} from '../session/api';
import type { Localizer } from './localizer';
import { shown, shownInLine } from './safeText';
import { ageSentence, ageText, clockText, fullTimeText, type TimeFormat } from './timeText';

/** What the wording depends on beside the thing itself. */
export interface TextContext {
  readonly l10n: Localizer;
  readonly time: TimeFormat;
  readonly now: number;
}

const SEPARATOR = ' · ';

/** About what fits into a side bar of the usual width beside the description. */
const ROW_LENGTH = 24;

/** What the engine books writes on when no agent has said that it is at work. */
const UNKNOWN_AGENT = 'unknown';

export function sessionName(l10n: Localizer, session: Pick<Session, 'id' | 'name'>): string {
  return session.id === 'workspace' ? l10n.t('This workspace') : shownInLine(session.name);
}

export function stateText(l10n: Localizer, state: SessionState): string {
  switch (state) {
    case 'ready':
      return l10n.t('ready');
    case 'creating':
      return l10n.t('being created');
    case 'missing':
      return l10n.t('clone is missing');
    case 'damaged':
      return l10n.t('damaged');
    case 'newer':
      return l10n.t('made by a newer version');
    case 'orphaned':
      return l10n.t('no record');
    case 'trashed':
      return l10n.t('in the trash');
  }
}

export function triggerText(l10n: Localizer, trigger: Trigger): string {
  switch (trigger) {
    case 'start':
      return l10n.t('start');
    case 'save':
      return l10n.t('save');
    case 'external':
      return l10n.t('outside write');
    case 'turn-start':
      return l10n.t('turn start');
    case 'turn-end':
      return l10n.t('turn end');
    case 'subagent-end':
      return l10n.t('subagent end');
    case 'manual':
      return l10n.t('checkpoint');
    case 'reconcile':
      return l10n.t('catch-up');
    case 'before-restore':
      return l10n.t('before restore');
    case 'restore':
      return l10n.t('restore');
    case 'undo':
      return l10n.t('undo');
    case 'redo':
      return l10n.t('redo');
    case 'revert':
      return l10n.t('revert');
    case 'before-apply':
      return l10n.t('before apply');
    case 'apply':
      return l10n.t('apply');
    case 'update':
      return l10n.t('update');
    case 'final':
      return l10n.t('final state');
  }
}

export function filesText(l10n: Localizer, count: number): string {
  return count === 1 ? l10n.t('1 file') : l10n.t('{0} files', count);
}

export function snapshotsText(l10n: Localizer, count: number): string {
  return count === 1 ? l10n.t('1 snapshot') : l10n.t('{0} snapshots', count);
}

/** "+12 −3"; empty when no line changed. */
export function linesText(added: number, deleted: number): string {
  return [...(added > 0 ? [`+${added}`] : []), ...(deleted > 0 ? [`−${deleted}`] : [])].join(' ');
}

export interface SessionFacts {
  readonly session: Session;
  /** Files that differ from the base; null while unknown. */
  readonly changed: number | null;
  readonly own: boolean;
  readonly waiting: string | null;
}

export function sessionDescription(context: TextContext, facts: SessionFacts): string {
  const { l10n, now } = context;
  const { session } = facts;
  const parts: string[] = [];
  if (facts.own && session.id !== 'workspace') {
    parts.push(l10n.t('this window'));
  }
  // In the window of a session the checkout is another folder: say which.
  if (!facts.own && session.id === 'workspace' && session.path !== null) {
    parts.push(shownInLine(pathParts(session.path.replaceAll('\\', '/')).name));
  }
  if (session.state !== 'ready') {
    parts.push(stateText(l10n, session.state));
  } else if (session.damage !== null) {
    parts.push(l10n.t('damaged'));
  } else if (facts.waiting !== null) {
    parts.push(l10n.t('waiting'));
  }
  // A narrow side bar cuts the end off: what asks for attention comes first.
  if (facts.changed !== null && facts.changed > 0) {
    parts.push(l10n.t('{0} changed', facts.changed));
  }
  const time = session.newestTime ?? session.created;
  if (time !== null) {
    parts.push(ageText(l10n, time, now));
  }
  if (session.snapshots > 0) {
    parts.push(snapshotsText(l10n, session.snapshots));
  }
  return parts.join(SEPARATOR);
}

export function sessionTooltip(context: TextContext, facts: SessionFacts): string {
  const { l10n, now, time } = context;
  const { session } = facts;
  const lines = [sessionName(l10n, session)];
  for (const text of [session.reason, session.damage]) {
    if (text !== null) {
      lines.push(shown(text));
    }
  }
  if (facts.waiting !== null) {
    lines.push(shownInLine(facts.waiting));
  }
  if (session.path !== null) {
    lines.push(shownInLine(session.path));
  }
  if (session.branch !== null) {
    lines.push(l10n.t('Branch {0}', shownInLine(session.branch)));
  }
  if (facts.changed !== null) {
    lines.push(l10n.t('{0} changed since its base', filesText(l10n, facts.changed)));
  }
  if (session.created !== null) {
    lines.push(l10n.t('Created {0}', fullTimeText(time, session.created)));
  }
  if (session.newestTime !== null) {
    lines.push(l10n.t('Newest snapshot {0}', ageSentence(l10n, session.newestTime, now)));
  }
  return lines.join('\n');
}

export function sessionSpoken(context: TextContext, facts: SessionFacts): string {
  const { l10n, now } = context;
  const { session } = facts;
  const parts = [
    session.id === 'workspace' ? l10n.t('This workspace') : l10n.t('Session {0}', sessionName(l10n, session)),
    ...(facts.own && session.id !== 'workspace' ? [l10n.t('open in this window')] : []),
    stateText(l10n, session.state),
    ...(session.damage === null ? [] : [l10n.t('damaged')]),
    snapshotsText(l10n, session.snapshots),
    ...(facts.changed === null ? [] : [l10n.t('{0} changed', filesText(l10n, facts.changed))]),
    ...(session.newestTime === null ? [] : [l10n.t('newest {0}', ageSentence(l10n, session.newestTime, now))]),
  ];
  return parts.join(', ');
}

/** A subject may be a person's or an agent's own words. */
export function subjectText(snapshot: Pick<Snapshot, 'subject'>): string {
  return shownInLine(snapshot.subject);
}

/**
 * The subject as a row shows it. The editor cuts a long row at its end, where the name of the file stands, so the folders
 * before the name go first. Text of a person's own is left as it is.
 */
export function snapshotLabel(snapshot: Snapshot): string {
  const subject = subjectText(snapshot);
  return snapshot.trigger === 'manual' || subject.length <= ROW_LENGTH
    ? subject
    : subject.replace(/[^\s…(][^\s(]*\/(?=[^/\s])/, '…/');
}

const SAID_BY_SUBJECT: ReadonlySet<string> = new Set(['start', 'manual', 'final', 'before-restore', 'before-apply']);

/** Rows are narrow: what the row says already, or what nobody knows, is left out. */
export function snapshotDescription(context: TextContext, snapshot: Snapshot): string {
  const { l10n, now } = context;
  return [
    snapshot.damage === null ? '' : l10n.t('damaged'),
    ageText(l10n, snapshot.time, now),
    linesText(snapshot.added, snapshot.deleted),
    snapshot.agent === UNKNOWN_AGENT ? '' : agentText(l10n, snapshot.agent),
    SAID_BY_SUBJECT.has(snapshot.trigger) ? '' : triggerText(l10n, snapshot.trigger),
  ]
    .filter((part) => part !== '')
    .join(SEPARATOR);
}

export function snapshotTooltip(context: TextContext, snapshot: Snapshot): string {
  const { l10n, time } = context;
  return [
    subjectText(snapshot),
    ...(snapshot.damage === null ? [] : [shown(snapshot.damage)]),
    fullTimeText(time, snapshot.time),
    l10n.t('By {0}, {1}', agentText(l10n, snapshot.agent), triggerText(l10n, snapshot.trigger)),
    [filesText(l10n, snapshot.files), linesText(snapshot.added, snapshot.deleted)]
      .filter((part) => part !== '')
      .join(', '),
    l10n.t('Snapshot {0}', snapshot.oid.slice(0, 12)),
  ].join('\n');
}

export function snapshotSpoken(context: TextContext, snapshot: Snapshot): string {
  const { l10n, now } = context;
  return [
    subjectText(snapshot),
    ...(snapshot.damage === null ? [] : [l10n.t('damaged')]),
    l10n.t('by {0}', agentText(l10n, snapshot.agent)),
    triggerText(l10n, snapshot.trigger),
    ageSentence(l10n, snapshot.time, now),
    filesText(l10n, snapshot.files),
    l10n.t('{0} lines added, {1} lines deleted', snapshot.added, snapshot.deleted),
  ].join(', ');
}

export function groupLabel(context: TextContext, group: { readonly from: number; readonly count: number }): string {
  const { l10n, time, now } = context;
  return `${clockText(time, group.from, now)}${SEPARATOR}${snapshotsText(l10n, group.count)}`;
}

export function agentText(l10n: Localizer, agent: string): string {
  return agent === UNKNOWN_AGENT ? l10n.t('an unknown agent') : shownInLine(agent);
}

/** "claude-code, user": who wrote in the group, newest first, each once; those who did not say so are left out. */
export function agentsText(snapshots: readonly Snapshot[]): string {
  const agents = new Set(snapshots.map((snapshot) => snapshot.agent));
  agents.delete(UNKNOWN_AGENT);
  return [...agents].map(shownInLine).join(', ');
}

export function statusLetter(status: ChangeStatus): 'A' | 'M' | 'D' | 'R' | 'T' {
  switch (status) {
    case 'added':
      return 'A';
    case 'modified':
      return 'M';
    case 'deleted':
      return 'D';
    case 'renamed':
      return 'R';
    case 'type-changed':
      return 'T';
  }
}

export function statusText(l10n: Localizer, status: ChangeStatus): string {
  switch (status) {
    case 'added':
      return l10n.t('added');
    case 'modified':
      return l10n.t('modified');
    case 'deleted':
      return l10n.t('deleted');
    case 'renamed':
      return l10n.t('renamed');
    case 'type-changed':
      return l10n.t('type changed');
  }
}

export interface PathParts {
  readonly name: string;
  readonly folder: string;
}

/** A path in two parts, as rows show it: the name, and its folder dimmed. */
export function pathParts(visible: string): PathParts {
  const slash = visible.lastIndexOf('/');
  return slash === -1
    ? { name: visible, folder: '' }
    : { name: visible.slice(slash + 1), folder: visible.slice(0, slash) };
}

export function fileDescription(l10n: Localizer, file: FileDiff): string {
  const parts = pathParts(visiblePath(file.path));
  const origin = file.oldPath === null ? '' : l10n.t('from {0}', visiblePath(file.oldPath));
  const lines = file.added === null || file.deleted === null ? l10n.t('binary') : linesText(file.added, file.deleted);
  return [parts.folder, origin, lines].filter((part) => part !== '').join(SEPARATOR);
}

export function fileSpoken(l10n: Localizer, file: FileDiff): string {
  return [visiblePath(file.path), statusText(l10n, file.status), fileDescription(l10n, file)].join(', ');
}

function mergeText(l10n: Localizer, merge: ContendedPath['merge']): string {
  switch (merge) {
    case 'clean':
      return l10n.t('merges cleanly');
    case 'conflict':
      return l10n.t('conflict');
    case 'unknown':
      return '';
  }
}

/** "src/app.ts: Alpha, Beta (conflict)" */
export function contentionLine(
  l10n: Localizer,
  contended: ContendedPath,
  nameOf: (session: SessionRef) => string,
): string {
  const merge = mergeText(l10n, contended.merge);
  return `${visiblePath(contended.path)}: ${contended.sessions.map(nameOf).join(', ')}${merge === '' ? '' : ` (${merge})`}`;
}

export function pairText(
  l10n: Localizer,
  pair: ContendedPath['pairs'][number],
  nameOf: (session: SessionRef) => string,
): string {
  const merge = mergeText(l10n, pair.merge);
  return `${nameOf(pair.a)} ↔ ${nameOf(pair.b)}${merge === '' ? '' : ` (${merge})`}`;
}
