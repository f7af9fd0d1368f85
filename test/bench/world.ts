// One repository of one size, with a session in it: shared by the rows of that size.
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { Session } from '../../src/session/api';
import { removeFolder } from '../support/temporary';
import { cloneFixture, fixture, PathList, type Shape } from './fixtures';
import type { Options } from './options';
import { type Ours, openOurs } from './ours';
import type { Report } from './table';

export interface Bench {
  readonly options: Options;
  readonly report: Report;
  readonly cache: string;
  /** Everything below it goes at the end. */
  readonly folder: string;
  readonly say: (text: string) => void;
}

export interface World {
  readonly bench: Bench;
  readonly files: number;
  readonly folder: string;
  /** The user's repository and checkout; what looks at whole work trees is measured here. */
  readonly user: string;
  readonly storage: string;
  readonly ours: Ours;
  readonly session: Session;
  /** The session's clone; what is told the path is measured here. */
  readonly clone: string;
  readonly paths: PathList;
}

export async function makeWorld(bench: Bench, shape: Shape, files: number): Promise<World> {
  const bare = await fixture(bench.cache, shape, files, bench.say);
  bench.say(`cloning ${files.toLocaleString('en')} files and making a session`);
  const folder = mkdtempSync(join(bench.folder, `${shape}-${files}-`));
  const user = join(folder, 'project');
  cloneFixture(bare, user);
  const storage = join(folder, 'storage');
  const ours = await openOurs(user, storage);
  const session = await ours.bulkhead.createSession({ name: 'bench', from: { kind: 'head' } });
  const clone = session.path!;
  return {
    bench,
    files,
    folder,
    user,
    storage,
    ours,
    session,
    clone,
    paths: new PathList(shape, files, bench.options.seed),
  };
}

export async function closeWorld(world: World): Promise<void> {
  await world.ours.bulkhead.shutdown();
  world.bench.say('cleaning up');
  removeFolder(world.folder);
}
