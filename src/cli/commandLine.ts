import type { Clock } from '../base/clock';
import { type Arguments, parseArguments, wantsJson } from './arguments';
import { CliLog } from './cliLog';
import type { Output } from './command';
import { argumentsOf, commandFor, COMMANDS } from './commands';
import { EXIT_DONE, failureOf } from './failure';
import { helpFor, overview } from './help';
import { Invocation } from './invocation';
import { failureText, type Style, styleFor, visibleLines } from './print';
import { version } from '../../package.json';

/** Where answers go. */
export interface Sink {
  readonly isTTY: boolean;
  /** Resolves when the text is out, or nobody reads it any more. */
  write(text: string): Promise<void>;
}

/** What one call gets from the process that makes it. */
export interface Caller {
  /** @throws BulkheadError when the current folder is gone */
  readonly cwd: () => string;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  /** Asks the work to stop. */
  readonly interrupt: AbortSignal;
  readonly stdout: Sink;
  readonly stderr: Sink;
}

/** One call of the command line, without its name. Resolves with the exit code. */
export async function runCommandLine(argv: readonly string[], caller: Caller): Promise<number> {
  const { env, clock, interrupt, stdout, stderr } = caller;
  const json = wantsJson(argv);
  try {
    const output = await run(argv, caller);
    const style = styleFor({ isTTY: stdout.isTTY, env, now: clock.now() });
    await stdout.write(json ? document(output.json, stdout) : textOf(output, style));
    return output.exitCode ?? EXIT_DONE;
  } catch (error) {
    const { exitCode, error: failure } = failureOf(error, interrupt.aborted);
    await (json ? stdout.write(document({ error: failure }, stdout)) : stderr.write(failureText(failure)));
    if (isDebugging(env) && error instanceof Error) {
      await stderr.write(`${visibleLines(error.stack ?? '')}\n`);
    }
    return exitCode;
  }
}

async function run(argv: readonly string[], { cwd, env, clock, interrupt, stderr }: Caller): Promise<Output> {
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
  const note = (text: string): void => {
    void stderr.write(`bulkhead: ${visibleLines(text)}\n`);
  };
  const log = new CliLog({
    now: () => clock.now(),
    ...(isDebugging(env) ? { toStderr: note } : {}),
  });
  const invocation = new Invocation({ cwd: cwd(), env, clock, signal: interrupt, log, note }, typed.options);
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

function isDebugging(env: NodeJS.ProcessEnv): boolean {
  return env['BULKHEAD_LOG'] === 'debug';
}

function document(value: unknown, { isTTY }: Sink): string {
  // JSON leaves characters as they are that a terminal obeys, or that reorder what it shows; escaped they mean the same.
  const text = JSON.stringify(value, null, isTTY ? 2 : undefined);
  return `${text.replace(/[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`;
}

function textOf(output: Output, dress: Style): string {
  const text = output.text(dress);
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}
