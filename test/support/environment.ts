import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './temporary';

/** The variables that name a person's folders, all inside one temporary home. */
export interface OwnHome {
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
}

export function newHome(): OwnHome {
  const home = temporaryFolder('home');
  const folder = (name: string): string => {
    const path = join(home, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  return {
    home,
    env: {
      HOME: home,
      USERPROFILE: home,
      XDG_STATE_HOME: folder('.local/state'),
      XDG_DATA_HOME: folder('.local/share'),
      XDG_CONFIG_HOME: folder('.config'),
      XDG_CACHE_HOME: folder('.cache'),
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
    },
  };
}

let shared: OwnHome | undefined;

/** The home of all tests in this process that ask for none of their own. */
export function sharedHome(): OwnHome {
  shared ??= newHome();
  return shared;
}

/** An environment with nothing of the person who runs the tests but what a process needs to start. */
export function cleanEnvironment(overrides: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const kept: NodeJS.ProcessEnv = {};
  for (const name of ['PATH', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot', 'COMSPEC', 'PATHEXT', 'NODE_COMPILE_CACHE']) {
    if (process.env[name] !== undefined) {
      kept[name] = process.env[name];
    }
  }
  return { ...kept, LC_ALL: 'C.UTF-8', TZ: 'UTC', ...sharedHome().env, ...overrides };
}

/** For tests that run the engine in this process: the temporary home while they last. Call inside `describe`. */
export function useOwnHome(): void {
  const names = [
    ...Object.keys(sharedHome().env),
    'BULKHEAD_STORAGE',
    'BULKHEAD_AGENT',
    'BULKHEAD_SESSION',
    'BULKHEAD_CLONE',
  ];
  const saved = new Map<string, string | undefined>();
  before('take an own home', () => {
    for (const name of names) {
      saved.set(name, process.env[name]);
      set(name, sharedHome().env[name]);
    }
  });
  after('give the home back', () => {
    for (const [name, value] of saved) {
      set(name, value);
    }
  });
}

function set(name: string, value: string | undefined): void {
  if (value === undefined) {
    Reflect.deleteProperty(process.env, name);
  } else {
    process.env[name] = value;
  }
}
