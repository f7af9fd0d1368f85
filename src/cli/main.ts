import { systemClock } from '../base/clock';
import { errnoOf, messageOf } from '../base/errors';
import { runCommandLine, type Sink } from './commandLine';
import { usageError } from './failure';
import { visibleLines } from './print';

/** The first interruption asks the work to stop; a second one ends the process at once. */
function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  process.on('SIGINT', () => {
    if (controller.signal.aborted) {
      process.exit(130);
    }
    controller.abort();
  });
  return controller.signal;
}

function currentFolder(): string {
  try {
    return process.cwd();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') {
      throw usageError('folder-gone', 'The current folder does not exist any more. Go to another one.');
    }
    throw error;
  }
}

function sink(stream: NodeJS.WriteStream): Sink {
  stream.on('error', (error) => {
    // Nobody reads it any more: `bulkhead … | head`.
    if (errnoOf(error) !== 'EPIPE') {
      throw error;
    }
  });
  return {
    isTTY: stream.isTTY,
    write: (text) =>
      new Promise((resolve) => {
        stream.write(text, () => {
          resolve();
        });
      }),
  };
}

runCommandLine(process.argv.slice(2), {
  cwd: currentFolder,
  env: process.env,
  clock: systemClock,
  interrupt: interruptSignal(),
  stdout: sink(process.stdout),
  stderr: sink(process.stderr),
}).then(
  (exitCode) => {
    // Whatever a child process still holds open must not keep a finished command waiting.
    process.exit(exitCode);
  },
  (error: unknown) => {
    process.stderr.write(`bulkhead: ${visibleLines(messageOf(error))}\n`);
    process.exit(1);
  },
);
