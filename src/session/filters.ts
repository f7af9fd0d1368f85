import { type EffectiveConfig, lastValue } from '../git/repositoryConfig';

const PROGRAMS = ['clean', 'smudge', 'process'];

export interface FilterDriver {
  readonly name: string;
  readonly entries: readonly (readonly [key: string, value: string])[];
}

/**
 * The filter drivers of the user's configuration that our git may start: those that she allowed by name. One that names a
 * program by a path inside the work tree is none of them: an agent can change that program.
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

/** Git starts filters in the root of the work tree, by a shell: `./tool` and `scripts/tool` are files of the clone. */
function startsInWorkTree(command: string): boolean {
  const [, quoted, word] = /^\s*(?:["']([^"']*)|(\S*))/.exec(command) ?? [];
  const program = quoted ?? word ?? '';
  return program.includes('/') && !/^(?:[/~$]|[A-Za-z]:)/.test(program);
}
