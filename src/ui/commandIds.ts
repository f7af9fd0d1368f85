import type { TreeNode } from './treeNodes';

/**
 * Every command of the extension with the type of its argument. Menus and rows of the Sessions view hand over a node;
 * from the palette there is none, and the command asks for what it needs.
 */
export interface CommandArguments {
  readonly 'bulkhead.newSession': TreeNode | undefined;
  readonly 'bulkhead.openSession': TreeNode | undefined;
  readonly 'bulkhead.openSessionInNewWindow': TreeNode | undefined;
  readonly 'bulkhead.openSessionInThisWindow': TreeNode | undefined;
  readonly 'bulkhead.openSessionInTerminal': TreeNode | undefined;
  readonly 'bulkhead.checkpointNow': TreeNode | undefined;
  readonly 'bulkhead.showSnapshotChanges': TreeNode | undefined;
  readonly 'bulkhead.compareWithBase': TreeNode | undefined;
  readonly 'bulkhead.compareWithWorkTree': TreeNode | undefined;
  readonly 'bulkhead.compareWithSnapshot': TreeNode | undefined;
  readonly 'bulkhead.openFileAtSnapshot': TreeNode | undefined;
  readonly 'bulkhead.openFileChanges': TreeNode | undefined;
  readonly 'bulkhead.restoreSnapshot': TreeNode | undefined;
  readonly 'bulkhead.restoreFile': TreeNode | undefined;
  readonly 'bulkhead.undoRestore': TreeNode | undefined;
  readonly 'bulkhead.redoRestore': TreeNode | undefined;
  readonly 'bulkhead.applyAsBranch': TreeNode | undefined;
  readonly 'bulkhead.renameSession': TreeNode | undefined;
  readonly 'bulkhead.resetSession': TreeNode | undefined;
  readonly 'bulkhead.deleteSession': TreeNode | undefined;
  readonly 'bulkhead.copySnapshotId': TreeNode | undefined;
  readonly 'bulkhead.showContention': undefined;
  readonly 'bulkhead.showLockHolders': undefined;
  readonly 'bulkhead.checkStore': TreeNode | undefined;
  readonly 'bulkhead.showSessionActions': undefined;
  readonly 'bulkhead.refresh': undefined;
  readonly 'bulkhead.showLog': undefined;
  readonly 'bulkhead.showMore': TreeNode | undefined;
}

export type CommandId = keyof CommandArguments;

/** All ids at run time; an id that is missing here does not compile. */
const everyId: Readonly<Record<CommandId, true>> = {
  'bulkhead.newSession': true,
  'bulkhead.openSession': true,
  'bulkhead.openSessionInNewWindow': true,
  'bulkhead.openSessionInThisWindow': true,
  'bulkhead.openSessionInTerminal': true,
  'bulkhead.checkpointNow': true,
  'bulkhead.showSnapshotChanges': true,
  'bulkhead.compareWithBase': true,
  'bulkhead.compareWithWorkTree': true,
  'bulkhead.compareWithSnapshot': true,
  'bulkhead.openFileAtSnapshot': true,
  'bulkhead.openFileChanges': true,
  'bulkhead.restoreSnapshot': true,
  'bulkhead.restoreFile': true,
  'bulkhead.undoRestore': true,
  'bulkhead.redoRestore': true,
  'bulkhead.applyAsBranch': true,
  'bulkhead.renameSession': true,
  'bulkhead.resetSession': true,
  'bulkhead.deleteSession': true,
  'bulkhead.copySnapshotId': true,
  'bulkhead.showContention': true,
  'bulkhead.showLockHolders': true,
  'bulkhead.checkStore': true,
  'bulkhead.showSessionActions': true,
  'bulkhead.refresh': true,
  'bulkhead.showLog': true,
  'bulkhead.showMore': true,
};

export const COMMAND_IDS: readonly CommandId[] = Object.keys(everyId).filter((id): id is CommandId => id in everyId);

/** What may be done in an untrusted workspace: listing and viewing. Every other command is refused there. */
export const WITHOUT_TRUST: ReadonlySet<CommandId> = new Set<CommandId>([
  'bulkhead.openSession',
  'bulkhead.openSessionInNewWindow',
  'bulkhead.openSessionInThisWindow',
  'bulkhead.showSnapshotChanges',
  'bulkhead.compareWithBase',
  'bulkhead.compareWithSnapshot',
  'bulkhead.openFileAtSnapshot',
  'bulkhead.openFileChanges',
  'bulkhead.copySnapshotId',
  'bulkhead.showContention',
  'bulkhead.showLockHolders',
  'bulkhead.showSessionActions',
  'bulkhead.refresh',
  'bulkhead.showLog',
  'bulkhead.showMore',
]);

/** What a person reads when the command failed: "Cannot restore the snapshot." */
export interface CommandHandler<K extends CommandId> {
  readonly failure: string;
  readonly run: (node: CommandArguments[K]) => Promise<void>;
}

/** One handler for each command: a missing or an extra one does not compile. */
export type CommandHandlers = { readonly [K in CommandId]: CommandHandler<K> };
