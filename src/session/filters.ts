import { type EffectiveConfig, lastValue } from '../git/repositoryConfig';

const PROGRAMS = ['clean', 'smudge', 'process'];

export interface FilterDriver {
  readonly name: string;
  readonly entries: readonly (readonly [key: string, value: string])[];
}

/**
 * The filter drivers of the user's configuration that our git may start: those that she allowed by name. One that starts a
 * program or a script of the work tree is none of them: an agent can change that.
 */
export function allowedFilters(config: EffectiveConfig, allowed: readonly string[]): FilterDriver[] {
  return allowed.flatMap((name) => {
    const entries = [...PROGRAMS, 'required'].flatMap((key) => {
      const value = lastValue(config, `filter.${name}.${key}`);
      return value === undefined ? [] : [[key, value] as const];
    });
    const isSafe = entries.every(([key, value]) => key === 'required' || !startsInWorkTree(value));
    return entries.length === 0 || !isSafe ? [] : [{ name, entries }];
  });
}

/** Drivers that the user's own git starts and ours does not. Git finds files by an attribute only when its value is a plain word. */
export function deniedFilters(config: EffectiveConfig, allowed: readonly string[]): string[] {
  const known = new Set(allowedFilters(config, allowed).map(({ name }) => name));
  const names = [...config.keys()].flatMap((key) => {
    const [, name = '', program = ''] = /^filter\.([\w-]+)\.(\w+)$/.exec(key) ?? [];
    return PROGRAMS.includes(program) && !known.has(name) ? [name] : [];
  });
  return [...new Set(names)];
}

/** They start the program that the next word names. */
const STARTERS = /^(?:command|env|exec|nice|nohup|time)$/;
const SHELLS = /^(?:ba|da|k|z)?sh$/;
/** They run the script that the next word names, which need not have a slash in it; or code, after such an option. */
const INTERPRETERS: readonly (readonly [name: RegExp, codeOption: RegExp])[] = [
  [SHELLS, /^-[a-z]*c$/],
  [/^python[\d.]*$/, /^-[A-Za-z]*[cm]$/],
  [/^(?:perl|ruby)$/, /^-\w*[eE]$/],
  [/^node$/, /^(?:-[ep]+|--eval|--print)$/],
  [/^php$/, /^-r$/],
];

/**
 * Git starts filters in the root of the work tree, by a shell: `./tool`, `scripts/tool` and the script of `sh tool.sh` are files
 * of the clone. What a variable stands for is hers to know.
 */
function startsInWorkTree(command: string): boolean {
  return simpleCommands(command).some((words) => {
    const from = words.findIndex((word) => !STARTERS.test(word) && !isOptionOrAssignment(word));
    const [program = '', ...given] = from === -1 ? [] : words.slice(from);
    if (program.includes('/') && isRelative(program)) {
      return true;
    }
    const name = program.slice(program.lastIndexOf('/') + 1);
    const [, codeOption] = INTERPRETERS.find(([names]) => names.test(name)) ?? [];
    if (codeOption === undefined) {
      return false;
    }
    const at = given.findIndex((word) => codeOption.test(word) || !isOptionOrAssignment(word));
    const word = given[at] ?? '';
    return codeOption.test(word)
      ? SHELLS.test(name) && startsInWorkTree(given[at + 1] ?? '')
      : word !== '' && isRelative(word);
  });
}

function isOptionOrAssignment(word: string): boolean {
  return /^(?:-|[A-Za-z_]\w*=)/.test(word);
}

function isRelative(word: string): boolean {
  return !/^(?:[/~$]|[A-Za-z]:)/.test(word);
}

const SHELL_TOKEN = /'([^']*)'?|"([^"\\]*(?:\\.[^"\\]*)*)"?|\\(.?)|([^ \t\n'"\\;|&()<>`]+)|([ \t]+)|[\n;|&()<>`]/gs;

/** The words of each command of a shell line, without their quotes. Takes more for a command than a shell would, not less. */
function simpleCommands(line: string): string[][] {
  const commands: string[][] = [];
  let words: string[] = [];
  let word: string | undefined;
  for (const [, single, double, escaped, plain, space] of line.matchAll(SHELL_TOKEN)) {
    const part = single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? plain;
    if (part !== undefined) {
      word = (word ?? '') + part;
      continue;
    }
    words.push(...(word === undefined ? [] : [word]));
    word = undefined;
    if (space === undefined) {
      commands.push(words);
      words = [];
    }
  }
  return [...commands, [...words, ...(word === undefined ? [] : [word])]];
}
