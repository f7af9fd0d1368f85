import { apply } from './applyCommand';
import { type Arguments, GLOBAL_OPTIONS } from './arguments';
import { checkpoint } from './checkpointCommand';
import type { Command } from './command';
import { contention } from './contentionCommand';
import { diff } from './diffCommand';
import { doctor } from './doctorCommand';
import { usageError } from './failure';
import { gc } from './gcCommand';
import { lockShow } from './lockCommand';
import { restore, undo } from './restoreCommands';
import {
  sessionFork,
  sessionList,
  sessionNew,
  sessionRemove,
  sessionRename,
  sessionReset,
  sessionShow,
  sessionTrash,
} from './sessionCommands';
import { snapshots } from './snapshotsCommand';

export const COMMANDS: readonly Command[] = [
  sessionNew,
  sessionList,
  sessionShow,
  sessionRename,
  sessionReset,
  sessionRemove,
  sessionTrash,
  sessionFork,
  checkpoint,
  snapshots,
  diff,
  restore,
  undo,
  contention,
  apply,
  lockShow,
  doctor,
  gc,
];

export function commandFor(words: readonly string[]): Command {
  const command = COMMANDS.find((candidate) => candidate.words.every((word, index) => words[index] === word));
  if (command !== undefined) {
    return command;
  }
  const [first] = words;
  const group = COMMANDS.filter((candidate) => candidate.words.length > 1 && candidate.words[0] === first);
  if (first !== undefined && group.length > 0) {
    const known = group.map((candidate) => candidate.words.slice(1).join(' ')).join(', ');
    throw usageError('usage', `"bulkhead ${first}" is followed by one of: ${known}.`);
  }
  throw usageError(
    'usage',
    first === undefined
      ? 'Which command? See bulkhead --help.'
      : `There is no command "${first}". See bulkhead --help.`,
  );
}

/** Splits what was typed into the command's arguments and its paths; refuses options and arguments that it does not take. */
export function argumentsOf(
  command: Command,
  typed: Arguments,
): { readonly values: readonly string[]; readonly paths: readonly string[] } {
  const name = `bulkhead ${command.words.join(' ')}`;
  const foreign = typed.given.find((option) => !command.options.includes(option) && !GLOBAL_OPTIONS.includes(option));
  if (foreign !== undefined) {
    throw usageError('usage', `"${name}" has no option --${foreign}. See ${name} --help.`);
  }
  const words = typed.words.slice(command.words.length);
  const values = command.arguments.paths ? words : [...words, ...typed.rest];
  const { least, most } = command.arguments;
  if (values.length < least) {
    throw usageError('usage', `Something is missing. Usage: ${name} ${command.usage}`);
  }
  if (values.length > most) {
    const hint = command.arguments.paths ? ' Paths stand after "--".' : '';
    throw usageError(
      'usage',
      `"${values[most] ?? ''}" is one argument too many.${hint} Usage: ${name} ${command.usage}`.trimEnd(),
    );
  }
  return { values, paths: command.arguments.paths ? typed.rest : [] };
}
