import * as vscode from 'vscode';
import { systemClock } from '../base/clock';
import { DisposableStore } from '../base/disposable';
import { checkSessionName } from '../core/sessionName';
import { visiblePath } from '../core/repoPath';
import type { FileDiff, Session, SessionRef, Snapshot } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import {
  fileDescription,
  pathParts,
  sessionDescription,
  sessionName,
  snapshotDescription,
  statusText,
  subjectText,
} from './labels';
import type { Repository } from './repository';
import { withoutIcons } from './safeText';
import { textContext } from './textContext';
import { clockText } from './timeText';

const SNAPSHOTS_PER_PAGE = 200;

/** Shows rows and resolves to the value of the one chosen, or undefined. */
async function pick<T>(
  rows: readonly (vscode.QuickPickItem & { readonly value: T })[],
  title: string,
  placeHolder: string,
): Promise<T | undefined> {
  const chosen = await vscode.window.showQuickPick(rows, {
    title,
    placeHolder,
    matchOnDescription: true,
    matchOnDetail: true,
  });
  return chosen?.value;
}

export async function pickRepository(repositories: readonly Repository[]): Promise<Repository | undefined> {
  return pick(
    repositories.map((repository) => ({
      label: withoutIcons(repository.name),
      description: withoutIcons(repository.root),
      iconPath: new vscode.ThemeIcon('repo'),
      value: repository,
    })),
    vscode.l10n.t('Choose a Repository'),
    vscode.l10n.t('Which repository?'),
  );
}

export async function pickSession(
  sessions: readonly Session[],
  repository: Repository,
  title: string,
): Promise<Session | undefined> {
  const context = textContext();
  const ownFirst = [...sessions].sort((a, b) => Number(repository.own.has(b.id)) - Number(repository.own.has(a.id)));
  return pick(
    ownFirst.map((session) => ({
      label: withoutIcons(sessionName(context.l10n, session)),
      description: withoutIcons(
        sessionDescription(context, { session, changed: null, own: repository.own.has(session.id), waiting: null }),
      ),
      iconPath: new vscode.ThemeIcon(session.id === 'workspace' ? 'root-folder' : 'repo-clone'),
      value: session,
    })),
    title,
    vscode.l10n.t('Which session?'),
  );
}

interface SnapshotRow extends vscode.QuickPickItem {
  readonly snapshot: Snapshot | null;
}

/** A list of snapshots that is searched by subject, agent and time; older ones are loaded on demand. */
export async function pickSnapshot(
  bulkhead: Bulkhead,
  title: string,
  options: { readonly session?: SessionRef; readonly except?: string } = {},
): Promise<Snapshot | undefined> {
  const owned = new DisposableStore();
  const picker = owned.add(vscode.window.createQuickPick<SnapshotRow>());
  picker.title = title;
  picker.placeholder = vscode.l10n.t('Search by subject, agent or time');
  picker.matchOnDescription = true;
  picker.matchOnDetail = true;
  const names = new Map((await bulkhead.sessions({ all: true })).map((session) => [session.id, session.name]));
  const rows: SnapshotRow[] = [];

  const load = async (): Promise<void> => {
    picker.busy = true;
    const last = rows.at(-1)?.snapshot;
    const page = await bulkhead.snapshots({
      limit: SNAPSHOTS_PER_PAGE,
      ...(options.session === undefined ? {} : { session: options.session }),
      ...(last === null || last === undefined ? {} : { after: last.oid }),
    });
    const firstNew = rows.length;
    rows.push(...page.map((snapshot) => snapshotRow(snapshot, options.session === undefined ? names : undefined)));
    const more: SnapshotRow = {
      label: vscode.l10n.t('Load older snapshots…'),
      iconPath: new vscode.ThemeIcon('ellipsis'),
      alwaysShow: true,
      snapshot: null,
    };
    picker.items = [
      ...rows.filter((row) => row.snapshot?.oid !== options.except),
      ...(page.length === SNAPSHOTS_PER_PAGE ? [more] : []),
    ];
    const active = rows[firstNew];
    if (active !== undefined && firstNew > 0) {
      picker.activeItems = [active];
    }
    picker.busy = false;
  };

  try {
    picker.show();
    return await new Promise<Snapshot | undefined>((resolve, reject) => {
      owned.add(
        picker.onDidAccept(() => {
          const row = picker.selectedItems[0];
          if (row?.snapshot === null) {
            load().catch(reject);
          } else if (row !== undefined) {
            resolve(row.snapshot);
          }
        }),
      );
      owned.add(
        picker.onDidHide(() => {
          resolve(undefined);
        }),
      );
      load().catch(reject);
    });
  } finally {
    owned.dispose();
  }
}

function snapshotRow(snapshot: Snapshot, names: ReadonlyMap<SessionRef, string> | undefined): SnapshotRow {
  const context = textContext();
  const clock = clockText(context.time, snapshot.time, context.now, { seconds: true });
  const session =
    names === undefined
      ? ''
      : `${sessionName(context.l10n, { id: snapshot.session, name: names.get(snapshot.session) ?? snapshot.session })} · `;
  return {
    label: withoutIcons(subjectText(snapshot)),
    description: withoutIcons(`${session}${clock} · ${snapshotDescription(context, snapshot)}`),
    iconPath: new vscode.ThemeIcon('git-commit'),
    snapshot,
  };
}

export async function pickFile(files: readonly FileDiff[], title: string): Promise<FileDiff | undefined> {
  const { l10n } = textContext();
  return pick(
    files.map((file) => ({
      label: withoutIcons(pathParts(visiblePath(file.path)).name),
      description: withoutIcons(
        [fileDescription(l10n, file), statusText(l10n, file.status)].filter((part) => part !== '').join(' · '),
      ),
      value: file,
    })),
    title,
    vscode.l10n.t('Which file?'),
  );
}

/** Asks for a session's name. Empty is allowed where a name is made up then. */
export async function askSessionName(options: {
  readonly title: string;
  readonly value?: string;
  readonly emptyMeans?: string;
  readonly taken: readonly string[];
}): Promise<string | undefined> {
  return vscode.window.showInputBox({
    title: options.title,
    prompt: vscode.l10n.t('What is this session about?'),
    ...(options.value === undefined ? {} : { value: options.value }),
    ...(options.emptyMeans === undefined ? {} : { placeHolder: options.emptyMeans }),
    ignoreFocusOut: true,
    validateInput: (text) => {
      if (text.trim() === '' && options.emptyMeans !== undefined) {
        return undefined;
      }
      const check = checkSessionName(text);
      if (check.kind === 'invalid') {
        return check.reason;
      }
      return options.taken.includes(check.name)
        ? {
            message: vscode.l10n.t('Another session has this name.'),
            severity: vscode.InputBoxValidationSeverity.Warning,
          }
        : undefined;
    },
  });
}

/** Work that is done sooner shows no progress: a notification that flashes up hides the one that tells the result. */
const SHOW_PROGRESS_AFTER_MS = 500;

type Report = (step: string, share: number | null) => void;

/** Runs `work`; when it takes a moment, under a notification with a cancel button. */
export async function withProgress<T>(
  title: string,
  work: (progress: { readonly report: Report }, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  let latest: Parameters<Report> | undefined;
  let show: Report = () => undefined;
  const running = work(
    {
      report: (step, share) => {
        latest = [step, share];
        show(step, share);
      },
    },
    abort.signal,
  );
  const ended = running.then(
    () => undefined,
    // The caller hears of it below.
    () => undefined,
  );
  const timer = systemClock.schedule(SHOW_PROGRESS_AFTER_MS, () => {
    void vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title, cancellable: true },
      async (progress, token) => {
        const listening = token.onCancellationRequested(() => {
          abort.abort();
        });
        let reached = 0;
        show = (step, share) => {
          const percent = share === null ? reached : Math.max(reached, Math.round(share * 100));
          progress.report({ message: step, increment: percent - reached });
          reached = percent;
        };
        if (latest !== undefined) {
          show(...latest);
        }
        await ended;
        listening.dispose();
      },
    );
  });
  try {
    return await running;
  } finally {
    timer.dispose();
  }
}
