import type { Bulkhead } from '../session/bulkhead';
import type { SessionRef } from '../session/api';

/** A folder of this window as it was opened, and where it really is: the two differ behind symbolic links. */
export interface OpenFolder {
  readonly shown: string;
  readonly real: string;
}

/** One repository among the folders of this window. */
export interface Repository {
  /** Names the storage in URIs and node ids. */
  readonly key: string;
  readonly name: string;
  /** Root of the user's checkout. */
  readonly root: string;
  /** Null while nothing was made for it yet: a new session makes it. */
  readonly bulkhead: Bulkhead | null;
  /** Why it could not be opened, for people. */
  readonly problem: string | null;
  /** The sessions (or `workspace`) whose work tree is open in this window. */
  readonly own: ReadonlySet<SessionRef>;
  readonly folders: readonly OpenFolder[];
}
