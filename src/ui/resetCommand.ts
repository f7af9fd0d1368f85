import * as vscode from 'vscode';
import { BulkheadError } from '../base/errors';
import { WORKSPACE, type RemovalPreflight, type ResetResult, type Session } from '../session/api';
import { sessionName } from './labels';
import { ask, tell } from './messages';
import { withProgress } from './prompts';
import type { Repository } from './repository';
import { resetDetail, resetWarnings } from './resetText';
import type { SessionTarget } from './targets';
import { localizer } from './textContext';
import { sessionRow } from './treeNodes';

/** Replaces a session by a fresh one after it was said what goes; asks again when the session changed meanwhile. */
export async function resetSession(
  target: SessionTarget,
  reveal: (repository: Repository, session: Session) => Promise<void>,
): Promise<void> {
  const { bulkhead, session, repository } = target;
  if (session.id === WORKSPACE) {
    throw new BulkheadError(
      'user',
      'workspace-not-resettable',
      vscode.l10n.t('Your own checkout is not a session and cannot be reset.'),
    );
  }
  let preflight: RemovalPreflight = await bulkhead.preflightRemoval(session.id);
  while (true) {
    const warnings = resetWarnings(localizer, preflight);
    if (!(await confirmReset(session, warnings))) {
      return;
    }
    const result = await tryReset(target, { force: warnings.length > 0 });
    if (result !== undefined) {
      await reveal(repository, result.session);
      tellReset(repository, session, result);
      return;
    }
    preflight = await bulkhead.preflightRemoval(session.id);
  }
}

async function confirmReset(session: Session, warnings: readonly string[]): Promise<boolean> {
  const reset = vscode.l10n.t('Reset');
  const choice = await ask(
    {
      message: vscode.l10n.t('Reset session "{0}"?', sessionName(localizer, session)),
      detail: resetDetail(localizer, warnings),
      warning: warnings.length > 0,
    },
    reset,
  );
  return choice === reset;
}

/** Resolves to undefined when there is more to lose than she was asked about. */
async function tryReset(
  { bulkhead, session }: SessionTarget,
  options: { readonly force: boolean },
): Promise<ResetResult | undefined> {
  try {
    return await withProgress(vscode.l10n.t('Resetting the session'), (progress, signal) =>
      bulkhead.resetSession(session.id, {
        ...options,
        onProgress: (step, share) => {
          progress.report(step, share);
        },
        signal,
      }),
    );
  } catch (error) {
    if (error instanceof BulkheadError && error.code === 'would-lose') {
      return undefined;
    }
    throw error;
  }
}

/** The window of the old clone is told by `SuccessorOffer`, whoever reset the session. */
function tellReset(repository: Repository, old: Session, { session, made }: ResetResult): void {
  if (repository.own.has(old.id)) {
    return;
  }
  const text = made
    ? vscode.l10n.t(
        'Session "{0}" starts afresh. The old one is in the trash; its snapshots are kept.',
        sessionName(localizer, session),
      )
    : vscode.l10n.t(
        'Session "{0}" had been reset already. The fresh one is there; nothing else was made.',
        sessionName(localizer, old),
      );
  const newWindow = vscode.l10n.t('Open in New Window');
  const terminal = vscode.l10n.t('Open in Terminal');
  void tell(text, newWindow, terminal).then(async (choice) => {
    if (choice === newWindow) {
      await vscode.commands.executeCommand('bulkhead.openSessionInNewWindow', sessionRow(repository, session));
    } else if (choice === terminal) {
      await vscode.commands.executeCommand('bulkhead.openSessionInTerminal', sessionRow(repository, session));
    }
  });
}
