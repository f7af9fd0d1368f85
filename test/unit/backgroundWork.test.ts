import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { inRoot } from '../scripts/project';

/** A fork or a reset that nobody asked for leaves a session that silently collects writes. */
describe('background work', () => {
  const callersOf = (method: string): string[] =>
    globSync('src/**/*.ts', { cwd: inRoot('.') })
      .filter((file) => readFileSync(inRoot(file), 'utf8').includes(`.${method}(`))
      .sort();

  it('never makes or forks a session: only the commands of a person do', () => {
    assert.deepEqual(callersOf('createSession'), ['src/cli/sessionCommands.ts', 'src/ui/sessionCommands.ts']);
  });

  it('never resets a session: only the commands of a person do', () => {
    assert.deepEqual(callersOf('resetSession'), ['src/cli/sessionCommands.ts', 'src/ui/resetCommand.ts']);
  });
});
