import * as vscode from 'vscode';
import { shown, withoutLinks } from './safeText';

/**
 * The only ways to a notification or dialog: their texts hold names of sessions, branches and files, which come from agents,
 * and the editor makes links of `[text](command:…)` in them.
 */
export function tell(message: string, ...buttons: readonly string[]): Thenable<string | undefined> {
  return vscode.window.showInformationMessage(safe(message), ...buttons);
}

export function warn(message: string, ...buttons: readonly string[]): Thenable<string | undefined> {
  return vscode.window.showWarningMessage(safe(message), ...buttons);
}

export function tellFailure(message: string, ...buttons: readonly string[]): Thenable<string | undefined> {
  return vscode.window.showErrorMessage(safe(message), ...buttons);
}

/** A dialog that has to be answered. */
export function ask(
  question: { readonly message: string; readonly detail: string; readonly warning?: boolean },
  ...buttons: readonly string[]
): Thenable<string | undefined> {
  const options: vscode.MessageOptions = { modal: true, detail: safe(question.detail) };
  return question.warning === true
    ? vscode.window.showWarningMessage(safe(question.message), options, ...buttons)
    : vscode.window.showInformationMessage(safe(question.message), options, ...buttons);
}

function safe(text: string): string {
  return withoutLinks(shown(text));
}
