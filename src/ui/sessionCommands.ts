import * as vscode from 'vscode';
import { BulkheadError } from '../base/errors';
import { checkSessionName } from '../core/sessionName';
import { WORKSPACE, type RemovalPreflight, type Session } from '../session/api';
import type { Bulkhead } from '../session/bulkhead';
import type { CommandHandlers } from './commandIds';
import { filesText, sessionName } from './labels';
import { ask, tell, warn } from './messages';
import { askSessionName, withProgress } from './prompts';
import { removalWarnings } from './removalText';
import type { Repositories } from './repositories';
import type { Repository } from './repository';
import { resetSession } from './resetCommand';
import { withoutIcons } from './safeText';
import { readSettings } from './settings';
import { askStart } from './startPointPrompt';
import type { SessionTarget, Targets } from './targets';
import { localizer } from './textContext';
import { sessionRow } from './treeNodes';

export interface SessionCommandServices {
  readonly repositories: Repositories;
  readonly targets: Targets;
  /** Shows a session's row in the view. */
  reveal(repository: Repository, session: Session): Promise<void>;
}

type SessionCommand =
  | 'bulkhead.newSession'
  | 'bulkhead.openSession'
  | 'bulkhead.openSessionInNewWindow'
  | 'bulkhead.openSessionInThisWindow'
  | 'bulkhead.openSessionInTerminal'
  | 'bulkhead.checkpointNow'
  | 'bulkhead.applyAsBranch'
  | 'bulkhead.renameSession'
  | 'bulkhead.resetSession'
  | 'bulkhead.deleteSession';

export function sessionCommands(services: SessionCommandServices): Pick<CommandHandlers, SessionCommand> {
  const { targets } = services;
  const open = (how: (target: SessionTarget) => Promise<void>) => ({
    failure: vscode.l10n.t('Cannot open the session.'),
    run: async (node: Parameters<Targets['sessionOf']>[0]) => {
      const target = await targets.sessionOf(node, {
        title: vscode.l10n.t('Open Session'),
        writable: true,
        noWorkspace: true,
      });
      if (target !== undefined) {
        await how(target);
      }
    },
  });
  return {
    'bulkhead.newSession': {
      failure: vscode.l10n.t('Cannot create the session.'),
      run: (node) => newSession(services, node),
    },
    'bulkhead.openSession': open(openSomehow),
    'bulkhead.openSessionInNewWindow': open((target) => openFolder(target, { newWindow: true })),
    'bulkhead.openSessionInThisWindow': open((target) => openFolder(target, { newWindow: false })),
    'bulkhead.openSessionInTerminal': open(openTerminal),
    'bulkhead.checkpointNow': {
      failure: vscode.l10n.t('Cannot make a snapshot.'),
      run: async (node) => {
        const target = await targets.sessionOf(node, { title: vscode.l10n.t('Checkpoint Now'), writable: true });
        if (target !== undefined) {
          await checkpointNow(target);
        }
      },
    },
    'bulkhead.applyAsBranch': {
      failure: vscode.l10n.t('Cannot apply the session.'),
      run: async (node) => {
        const target = await targets.sessionOf(node, { title: vscode.l10n.t('Apply as Branch'), noWorkspace: true });
        if (target !== undefined) {
          await applyAsBranch(target);
        }
      },
    },
    'bulkhead.renameSession': {
      failure: vscode.l10n.t('Cannot rename the session.'),
      run: async (node) => {
        const target = await targets.sessionOf(node, { title: vscode.l10n.t('Rename Session'), noWorkspace: true });
        if (target !== undefined) {
          await renameSession(target);
        }
      },
    },
    'bulkhead.resetSession': {
      failure: vscode.l10n.t('Cannot reset the session.'),
      run: async (node) => {
        const target = await targets.sessionOf(node, { title: vscode.l10n.t('Reset Session'), noWorkspace: true });
        if (target !== undefined) {
          await resetSession(target, (repository, session) => services.reveal(repository, session));
        }
      },
    },
    'bulkhead.deleteSession': {
      failure: vscode.l10n.t('Cannot delete the session.'),
      run: async (node) => {
        const target = await targets.sessionOf(node, { title: vscode.l10n.t('Delete Session'), noWorkspace: true });
        if (target !== undefined) {
          await deleteSession(target);
        }
      },
    },
  };
}

async function newSession(
  services: SessionCommandServices,
  node: Parameters<Targets['repositoryOf']>[0],
): Promise<void> {
  const repository = await services.targets.repositoryOf(node);
  if (repository === undefined) {
    return;
  }
  const title = vscode.l10n.t('New Session');
  const sessions = (await repository.bulkhead?.sessions({ all: true })) ?? [];
  const taken = sessions.map((session) => session.name);
  const name = await askSessionName({ title, emptyMeans: firstFreeName(taken), taken });
  if (name === undefined) {
    return;
  }
  const start = await askStart(repository, title);
  if (start === undefined) {
    return;
  }
  const notices: string[] = [];
  const session = await withProgress(vscode.l10n.t('Creating a session'), async (progress, signal) => {
    const bulkhead = await services.repositories.ensure(repository);
    return bulkhead.createSession({
      ...(name.trim() === '' ? {} : { name: name.trim() }),
      from: start.from,
      carryUncommitted: start.carryUncommitted,
      onProgress: (step, share) => {
        progress.report(step, share);
      },
      onNotice: (text) => notices.push(text),
      signal,
    });
  });
  for (const notice of notices) {
    void warn(notice);
  }
  const current = services.repositories.all.find((candidate) => candidate.root === repository.root) ?? repository;
  await services.reveal(current, session);
  const newWindow = vscode.l10n.t('Open in New Window');
  const terminal = vscode.l10n.t('Open in Terminal');
  void tell(vscode.l10n.t('Session "{0}" is ready.', sessionName(localizer, session)), newWindow, terminal).then(
    async (choice) => {
      if (choice === newWindow) {
        await vscode.commands.executeCommand('bulkhead.openSessionInNewWindow', sessionRow(current, session));
      } else if (choice === terminal) {
        await vscode.commands.executeCommand('bulkhead.openSessionInTerminal', sessionRow(current, session));
      }
    },
  );
}

/** The name that the engine gives when none is chosen; shown as a hint. */
function firstFreeName(taken: readonly string[]): string {
  let number = 1;
  while (taken.includes(`Session ${number}`)) {
    number++;
  }
  return `Session ${number}`;
}

async function openSomehow(target: SessionTarget): Promise<void> {
  const rows = [
    {
      how: 'window' as const,
      label: vscode.l10n.t('Open in New Window'),
      iconPath: new vscode.ThemeIcon('empty-window'),
    },
    { how: 'here' as const, label: vscode.l10n.t('Open in This Window'), iconPath: new vscode.ThemeIcon('window') },
    { how: 'terminal' as const, label: vscode.l10n.t('Open in Terminal'), iconPath: new vscode.ThemeIcon('terminal') },
    // A terminal runs things; a window asks for trust by itself.
  ].filter(({ how }) => how !== 'terminal' || vscode.workspace.isTrusted);
  const chosen = await vscode.window.showQuickPick(rows, {
    title: vscode.l10n.t('Open Session'),
    placeHolder: sessionName(localizer, target.session),
  });
  switch (chosen?.how) {
    case undefined:
      return;
    case 'window':
      return openFolder(target, { newWindow: true });
    case 'here':
      return openFolder(target, { newWindow: false });
    case 'terminal':
      return openTerminal(target);
  }
}

function cloneOf(session: Session): string {
  if (session.path === null) {
    throw new BulkheadError(
      'notFound',
      'no-clone',
      session.reason ?? vscode.l10n.t('The clone of this session is not there. Its snapshots are.'),
    );
  }
  return session.path;
}

async function openFolder(target: SessionTarget, options: { readonly newWindow: boolean }): Promise<void> {
  const uri = vscode.Uri.file(cloneOf(target.session));
  await vscode.commands.executeCommand(
    'vscode.openFolder',
    uri,
    options.newWindow ? { forceNewWindow: true } : { forceReuseWindow: true },
  );
}

async function openTerminal(target: SessionTarget): Promise<void> {
  const { session } = target;
  const cwd = cloneOf(session);
  vscode.window
    .createTerminal({
      name: withoutIcons(sessionName(localizer, session)),
      cwd,
      iconPath: new vscode.ThemeIcon('repo-clone'),
      env: {
        BULKHEAD_SESSION: session.id,
        BULKHEAD_CLONE: cwd,
        // What agents record there is flushed as well.
        ...(readSettings().engine.fsync ? { BULKHEAD_FSYNC: '1' } : {}),
      },
    })
    .show();
}

async function checkpointNow({ bulkhead, session }: SessionTarget): Promise<void> {
  const message = await vscode.window.showInputBox({
    title: vscode.l10n.t('Checkpoint Now: {0}', sessionName(localizer, session)),
    prompt: vscode.l10n.t('What is this state? Leave it empty and the changes are described for you.'),
  });
  if (message === undefined) {
    return;
  }
  const result = await withProgress(vscode.l10n.t('Making a snapshot'), (_progress, signal) =>
    bulkhead.checkpoint({
      session: session.id,
      trigger: 'manual',
      agent: 'user',
      signal,
      ...(message.trim() === '' ? {} : { message: message.trim() }),
    }),
  );
  const skipped =
    result.skipped.length === 0
      ? ''
      : ` ${vscode.l10n.t('{0} left out; the log names them.', filesText(localizer, result.skipped.length))}`;
  void tell(
    result.snapshot === null
      ? vscode.l10n.t('Nothing has changed since the newest snapshot.')
      : `${vscode.l10n.t('Snapshot made: {0} changed.', filesText(localizer, result.changed.length))}${skipped}`,
  );
}

async function applyAsBranch({ bulkhead, session, repository }: SessionTarget): Promise<void> {
  const plan = await bulkhead.apply({ session: session.id, mode: 'branch', dryRun: true });
  if (plan.files.length === 0) {
    void tell(vscode.l10n.t('"{0}" has changed nothing since its base.', sessionName(localizer, session)));
    return;
  }
  const make = vscode.l10n.t('Make Branch');
  const choice = await ask(
    {
      message: vscode.l10n.t('Bring "{0}" into {1} as a branch?', sessionName(localizer, session), repository.name),
      detail: vscode.l10n.t(
        '{0} changed. Only a new branch is made in your repository: your files, index and current branch stay as they are.',
        filesText(localizer, plan.files.length),
      ),
    },
    make,
  );
  if (choice !== make) {
    return;
  }
  const result = await withProgress(vscode.l10n.t('Making a branch'), (_progress, signal) =>
    bulkhead.apply({ session: session.id, mode: 'branch', signal }),
  );
  if (result.branch !== null) {
    const copy = vscode.l10n.t('Copy Branch Name');
    const { branch } = result;
    void tell(vscode.l10n.t('Branch "{0}" is in your repository.', branch), copy).then(async (button) => {
      if (button === copy) {
        await vscode.env.clipboard.writeText(branch);
      }
    });
  }
}

async function renameSession({ bulkhead, session }: SessionTarget): Promise<void> {
  const taken = (await bulkhead.sessions()).filter((other) => other.id !== session.id).map((other) => other.name);
  const text = await askSessionName({ title: vscode.l10n.t('Rename Session'), value: session.name, taken });
  const check = text === undefined ? undefined : checkSessionName(text);
  if (check?.kind === 'ok' && check.name !== session.name) {
    await bulkhead.renameSession(session.id, check.name);
  }
}

async function deleteSession({ bulkhead, session, repository }: SessionTarget): Promise<void> {
  if (session.id === WORKSPACE) {
    throw new BulkheadError(
      'user',
      'workspace-not-deletable',
      vscode.l10n.t('Your own checkout is not a session and cannot be deleted.'),
    );
  }
  let preflight = await bulkhead.preflightRemoval(session.id);
  while (true) {
    const warnings = removalWarnings(localizer, preflight);
    if (!(await confirmDelete(session, warnings))) {
      return;
    }
    const refusal = await tryRemove(bulkhead, session, { force: warnings.length > 0 });
    if (refusal === undefined) {
      tellDeleted(repository, session);
      return;
    }
    preflight = refusal;
  }
}

/** In the session's own window the folder is gone now: offers the way back to the repository. */
function tellDeleted(repository: Repository, session: Session): void {
  const text = vscode.l10n.t('Session "{0}" is in the trash. Its snapshots are kept.', sessionName(localizer, session));
  const back = vscode.l10n.t('Open the Repository');
  void tell(text, ...(repository.own.has(session.id) ? [back] : [])).then(async (choice) => {
    if (choice === back) {
      await vscode.commands.executeCommand('vscode.openFolder', vscode.Uri.file(repository.root), {
        forceReuseWindow: true,
      });
    }
  });
}

async function confirmDelete(session: Session, warnings: readonly string[]): Promise<boolean> {
  const trash = vscode.l10n.t('Move to Trash');
  const detail = [...warnings, vscode.l10n.t('The clone goes to the trash; its snapshots are kept.')].join('\n\n');
  const message = vscode.l10n.t('Delete session "{0}"?', sessionName(localizer, session));
  const choice = await ask({ message, detail, warning: warnings.length > 0 }, trash);
  return choice === trash;
}

/** Resolves to what would be lost when the session changed after she was asked. */
async function tryRemove(
  bulkhead: Bulkhead,
  session: Session,
  options: { readonly force: boolean },
): Promise<RemovalPreflight | undefined> {
  try {
    await withProgress(vscode.l10n.t('Moving the session to the trash'), () =>
      bulkhead.removeSession(session.id, options),
    );
    return undefined;
  } catch (error) {
    if (error instanceof BulkheadError && error.code === 'would-lose') {
      return bulkhead.preflightRemoval(session.id);
    }
    throw error;
  }
}
