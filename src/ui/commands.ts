import * as vscode from 'vscode';
import { DisposableStore, type Disposable } from '../base/disposable';
import { BulkheadError } from '../base/errors';
import { type CommandHandler, type CommandHandlers, type CommandId, WITHOUT_TRUST } from './commandIds';
import type { LogChannel } from './logChannel';
import type { ErrorDisplay } from './showError';

/** Registers every handler behind one wrapper: it logs, refuses what needs trust, and shows what went wrong. */
export function registerCommands(
  handlers: CommandHandlers,
  services: { readonly log: LogChannel; readonly errors: ErrorDisplay },
): Disposable {
  const owned = new DisposableStore();
  const register = <K extends CommandId>(id: K, handler: CommandHandler<K>): void => {
    owned.add(
      vscode.commands.registerCommand(id, async (node: Parameters<typeof handler.run>[0]) => {
        const started = Date.now();
        services.log.debug(`${id} started`);
        try {
          if (!WITHOUT_TRUST.has(id) && !vscode.workspace.isTrusted) {
            throw new BulkheadError(
              'user',
              'not-trusted',
              vscode.l10n.t(
                'This workspace is not trusted: sessions and snapshots can be looked at, and nothing is written or started. Trust it first.',
              ),
            );
          }
          await handler.run(node);
          services.log.debug(`${id} done after ${Date.now() - started} ms`);
        } catch (error) {
          services.errors.show(handler.failure, error);
        }
      }),
    );
  };
  for (const id of Object.keys(handlers) as CommandId[]) {
    register(id, handlers[id] as CommandHandler<CommandId>);
  }
  return owned;
}
