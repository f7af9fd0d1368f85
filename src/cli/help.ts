import type { Command } from './command';

const GLOBAL_HELP = [
  '--storage DIR   where sessions and snapshots are kept; default: that of the clone around the current folder,',
  '                else BULKHEAD_STORAGE, else the one known for the repository',
  '--repo DIR      the repository; default: the one around the current folder',
  '--json          one JSON document on stdout, also on failure',
  '-h, --help      this text, or that of a command',
  '--version       the version',
];

const EXIT_HELP =
  'Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused or needs consent, 4 busy, 5 not found, 130 interrupted.';

export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ words }) => words.join(' ').length));
  return [
    'Usage: bulkhead COMMAND [OPTION…] [--] [ARGUMENT…]',
    '',
    'Isolated working copies for coding agents, with a snapshot of every step.',
    '',
    'Commands:',
    ...commands.map(({ words, summary }) => `  ${words.join(' ').padEnd(width)}   ${summary}`),
    '',
    'Options of every command:',
    ...GLOBAL_HELP.map((line) => `  ${line}`),
    '',
    EXIT_HELP,
    '',
  ].join('\n');
}

export function helpFor(command: Command): string {
  const usage = `Usage: bulkhead ${[...command.words, command.usage].join(' ').trim()}`;
  const summary = `${command.summary.charAt(0).toUpperCase()}${command.summary.slice(1)}.`;
  return [
    usage,
    '',
    summary,
    ...(command.details.length === 0 ? [] : ['', ...command.details.map((line) => `  ${line}`)]),
    '',
    'Options of every command: --storage DIR, --repo DIR, --json, --help, --version.',
    EXIT_HELP,
    '',
  ].join('\n');
}
