import type { Arguments, OptionName } from './arguments';
import type { Invocation } from './invocation';
import type { Style } from './print';

/** What a command has to say on stdout, in both forms. */
export interface Output {
  readonly json: unknown;
  readonly text: (style: Style) => string;
  /** Absent: 0. */
  readonly exitCode?: number;
}

export interface Command {
  readonly words: readonly string[];
  /** Arguments and options as the help shows them. */
  readonly usage: string;
  readonly summary: string;
  /** Further lines of the help. */
  readonly details: readonly string[];
  /** Beside the global ones. */
  readonly options: readonly OptionName[];
  /** Least and greatest number of arguments; `paths`: those after `--` are counted apart. */
  readonly arguments: { readonly least: number; readonly most: number; readonly paths: boolean };
  run(call: Call): Promise<Output>;
}

export interface Call {
  readonly invocation: Invocation;
  readonly options: Arguments['options'];
  /** The arguments after the command's words. */
  readonly values: readonly string[];
  /** What stands after `--`, for commands that take paths there; else empty. */
  readonly paths: readonly string[];
}
