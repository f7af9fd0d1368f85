import type { Captures } from './captures';
import type { ContentionStatusBar } from './contentionStatusBar';
import type { Repositories } from './repositories';
import type { SessionTree } from './sessionTree';

/** What `activate` returns to the suite that runs inside the editor; nobody else gets it. */
export interface TestApi {
  readonly repositories: Repositories;
  readonly captures: Captures;
  readonly tree: SessionTree;
  readonly statusBar: ContentionStatusBar;
}
