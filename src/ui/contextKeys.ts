import * as vscode from 'vscode';

/** What the whole set of workspace folders is to Bulkhead; the welcome texts depend on it. */
export type SetState = 'loading' | 'noFolder' | 'noRepository' | 'noGit' | 'gitTooOld' | 'failed' | 'ready';

/** Every context key that `when` clauses of package.json may name, with the type of its value. */
export interface ContextKeys {
  'bulkhead.state': SetState;
  'bulkhead.hasSessions': boolean;
}

export async function setContextKey<K extends keyof ContextKeys>(key: K, value: ContextKeys[K]): Promise<void> {
  await vscode.commands.executeCommand('setContext', key, value);
}

/**
 * Resolves when the editor has answered. It tells everything in order, so by then this window's extension host has heard of all
 * that happened in the editor before, however far behind it was. (A key that nobody reads is the cheapest question.)
 */
export async function hearEditor(): Promise<void> {
  await vscode.commands.executeCommand('setContext', 'bulkhead.heard', true);
}
