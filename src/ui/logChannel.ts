import * as vscode from 'vscode';
import type { Log } from '../base/log';

/** The log of the lower layers, in a channel of the Output view. */
export interface LogChannel extends Log {
  show(): void;
  dispose(): void;
}

export function createLogChannel(): LogChannel {
  const channel = vscode.window.createOutputChannel('Bulkhead', { log: true });
  return {
    debug: (message) => {
      channel.debug(message);
    },
    info: (message) => {
      channel.info(message);
    },
    warn: (message) => {
      channel.warn(message);
    },
    error: (message) => {
      channel.error(message);
    },
    show: () => {
      channel.show(true);
    },
    dispose: () => {
      channel.dispose();
    },
  };
}
