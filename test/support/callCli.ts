import { realpathSync } from 'node:fs';
import { type Clock, systemClock } from '../../src/base/clock';
import { runCommandLine, type Sink } from '../../src/cli/commandLine';
import { cleanEnvironment } from './environment';
import { type CliOptions, type CliRun, storyOf } from './runCli';

/**
 * Calls the command line in this process, with all that a process of its own would have given it. For tests of what a
 * command does; not for those of signals, pipes, the bundle, the home folder, or several processes at once.
 */
export async function callCli(
  args: readonly string[],
  options: Omit<CliOptions, 'onStart'> & { readonly clock?: Clock },
): Promise<CliRun> {
  const output = { stdout: '', stderr: '' };
  const sink = (name: keyof typeof output): Sink => ({
    isTTY: false,
    write(text) {
      output[name] += text;
      return Promise.resolve();
    },
  });
  // The system tells a process the real path.
  const cwd = realpathSync.native(options.cwd);
  const code = await runCommandLine(args, {
    cwd: () => cwd,
    env: cleanEnvironment(options.env),
    clock: options.clock ?? systemClock,
    interrupt: new AbortController().signal,
    stdout: sink('stdout'),
    stderr: sink('stderr'),
  });
  return { code, signal: null, ...output, story: storyOf(args, options, code, output) };
}
