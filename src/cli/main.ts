import { systemClock } from '../base/clock';
import { errnoOf, messageOf } from '../base/errors';
import { type Arguments, parseArguments, wantsJson } from './arguments';
import { CliLog } from './cliLog';
import type { Output } from './command';
import { argumentsOf, commandFor, COMMANDS } from './commands';
import { EXIT_DONE, failureOf, usageError } from './failure';
import { helpFor, overview } from './help';
import { Invocation } from './invocation';
import { failureText, type Style, styleFor, visibleLines } from './print';
import { version } from '../../package.json';

async function main(argv: readonly string[]): Promise<number> {
  const json = wantsJson(argv);
  const interrupt = interruptSignal();
  try {
    const output = await run(argv, interrupt);
    await write(process.stdout, json ? document(output.json) : textOf(output, style()));
    return output.exitCode ?? EXIT_DONE;
  } catch (error) {
    const { exitCode, error: failure } = failureOf(error, interrupt.aborted);
    if (json) {
      await write(process.stdout, document({ error: failure }));
    } else {
      await write(process.stderr, failureText(failure));
    }
    if (debugging() && error instanceof Error) {
      await write(process.stderr, `${visibleLines(error.stack ?? '')}\n`);
    }
    return exitCode;
  }
}

async function run(argv: readonly string[], signal: AbortSignal): Promise<Output> {
  const typed = parseArguments(argv);
  if (typed.options.version === true) {
    return { json: { version }, text: () => version };
  }
  if (typed.options.help === true) {
    const text = helpText(typed);
    return { json: { help: text }, text: () => text };
  }
  const command = commandFor(typed.words);
  const { values, paths } = argumentsOf(command, typed);
  const log = new CliLog({
    now: () => systemClock.now(),
    ...(debugging() ? { toStderr: note } : {}),
  });
  const invocation = new Invocation({ cwd: currentFolder(), env: process.env, signal, log, note }, typed.options);
  try {
    return await command.run({ invocation, options: typed.options, values, paths });
  } finally {
    await invocation.shutdown();
  }
}

function helpText(typed: Arguments): string {
  return typed.words.length === 0 ? overview(COMMANDS) : helpOfWords(typed.words);
}

function helpOfWords(words: readonly string[]): string {
  const group = COMMANDS.filter(
    (command) => command.words.length > words.length && words.every((word, index) => command.words[index] === word),
  );
  return group.length > 0 ? overview(group) : helpFor(commandFor(words));
}

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

function debugging(): boolean {
  return process.env['BULKHEAD_LOG'] === 'debug';
}

function note(text: string): void {
  process.stderr.write(`bulkhead: ${visibleLines(text)}\n`);
}

function style(): Style {
  return styleFor({ isTTY: process.stdout.isTTY, env: process.env, now: systemClock.now() });
}

function document(value: unknown): string {
  // JSON leaves characters as they are that a terminal obeys, or that reorder what it shows; escaped they mean the same.
  const text = JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined);
  return `${text.replace(/[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`;
}

function textOf(output: Output, dress: Style): string {
  const text = output.text(dress);
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

/** Resolves when the text is out, or nobody reads it any more (EPIPE: `bulkhead … | head`). */
function write(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((resolve) => {
    stream.write(text, () => {
      resolve();
    });
  });
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    if (errnoOf(error) !== 'EPIPE') {
      throw error;
    }
  });
}

main(process.argv.slice(2)).then(
  (exitCode) => {
    // Whatever a child process still holds open must not keep a finished command waiting.
    process.exit(exitCode);
  },
  (error: unknown) => {
    process.stderr.write(`bulkhead: ${visibleLines(messageOf(error))}\n`);
    process.exit(1);
  },
);
