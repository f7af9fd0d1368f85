import { parseArgs } from 'node:util';
import { usageError } from './failure';

/** Every option of every command. One name means one thing everywhere, so that options can stand before the command's words. */
const OPTIONS = {
  storage: { type: 'string' },
  repo: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
  name: { type: 'string' },
  from: { type: 'string' },
  'carry-uncommitted': { type: 'boolean' },
  all: { type: 'boolean' },
  state: { type: 'string' },
  agent: { type: 'string' },
  force: { type: 'boolean' },
  session: { type: 'string' },
  message: { type: 'string', short: 'm' },
  turn: { type: 'string' },
  path: { type: 'string', multiple: true },
  trigger: { type: 'string' },
  limit: { type: 'string' },
  after: { type: 'string' },
  'name-only': { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  'only-safe': { type: 'boolean' },
  redo: { type: 'boolean' },
  mode: { type: 'string' },
  repair: { type: 'boolean' },
} as const;

export type OptionName = keyof typeof OPTIONS;

export const GLOBAL_OPTIONS: readonly OptionName[] = ['storage', 'repo', 'json', 'help', 'version'];

export type OptionValues = {
  readonly [Name in OptionName]?: (typeof OPTIONS)[Name] extends { readonly multiple: true }
    ? string[] | undefined
    : (typeof OPTIONS)[Name] extends { readonly type: 'boolean' }
      ? boolean | undefined
      : string | undefined;
};

export interface Arguments {
  /** What stands before `--`: the command's words, then its arguments. */
  readonly words: readonly string[];
  /** What stands after `--`. */
  readonly rest: readonly string[];
  readonly options: OptionValues;
  readonly given: readonly OptionName[];
}

export function parseArguments(argv: readonly string[]): Arguments {
  refuseGroups(argv);
  const parsed = parseStrictly(argv);
  const words: string[] = [];
  const rest: string[] = [];
  const given = new Set<OptionName>();
  let into = words;
  for (const token of parsed.tokens) {
    switch (token.kind) {
      case 'option-terminator':
        if (argv[token.index] !== '--') {
          // Node takes `-h-x` apart into `-h`, `--` and `-x`.
          throw usageError('usage', `Unknown option '${argv[token.index] ?? ''}'`);
        }
        into = rest;
        break;
      case 'positional':
        into.push(token.value);
        break;
      case 'option':
        if (token.value === '' && token.name !== 'name' && token.name !== 'message') {
          throw usageError('usage', `${token.rawName} needs a value.`);
        }
        given.add(token.name);
        break;
    }
  }
  return { words, rest, options: parsed.values, given: [...given] };
}

/** Node takes `-xyz` apart letter by letter, each time one call deeper: a long one overflowed the stack. There are no groups here. */
function refuseGroups(argv: readonly string[]): void {
  const end = argv.indexOf('--');
  const group = (end === -1 ? argv : argv.slice(0, end)).find((word) => /^-[^-m]./s.test(word));
  if (group !== undefined) {
    throw usageError('usage', `Unknown option '${group.length > 40 ? `${group.slice(0, 40)}…` : group}'`);
  }
}

function parseStrictly(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: OPTIONS,
      strict: true,
      allowPositionals: true,
      tokens: true,
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_')) {
      const [firstLine = ''] = error.message.split('\n');
      throw usageError('usage', firstLine);
    }
    throw error;
  }
}

/** Whether the output has to be JSON; also asked when the arguments cannot be parsed. */
export function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json');
}
