import * as vscode from 'vscode';
import type { Disposable } from '../base/disposable';
import type { Bulkhead } from '../session/bulkhead';
import { tell, warn } from './messages';

/** Tells in this window what it finished or took back of operations that were cut off; the log has it too. */
export function tellRecoveries(bulkhead: Bulkhead, showLog: () => void): Disposable {
  return bulkhead.onDidRecover(({ message, outcome }) => {
    const log = vscode.l10n.t('Show Log');
    void (outcome === 'left' ? warn(message, log) : tell(message, log)).then((choice) => {
      if (choice === log) {
        showLog();
      }
    });
  });
}
