// Runs one operation in a process of its own and is killed at one of its steps, or stands still there; see killSwitch.ts.
import { arm, disarm, type KillOrder, type StandStill } from './killSwitch';
import { silentLog } from '../../src/base/log';
import { repoPathFromText } from '../../src/core/repoPath';
import type { Bulkhead } from '../../src/session/bulkhead';
import { createHost } from '../../src/session/host';
import { openBulkhead } from '../../src/session/openBulkhead';

export type KillWork =
  | { readonly kind: 'create'; readonly name: string; readonly carryUncommitted: boolean }
  | { readonly kind: 'checkpoint'; readonly session: string; readonly paths?: readonly string[] }
  | { readonly kind: 'restore'; readonly session: string; readonly target: string }
  | { readonly kind: 'undo'; readonly session: string }
  | { readonly kind: 'apply'; readonly session: string }
  | { readonly kind: 'remove'; readonly session: string }
  | { readonly kind: 'rename'; readonly session: string; readonly name: string }
  | { readonly kind: 'reset'; readonly session: string }
  | { readonly kind: 'maintain' }
  /** What the next window does: finishes what was cut off, and may be cut off in it. */
  | { readonly kind: 'recover' };

export interface KillTask {
  readonly repository: string;
  readonly storage: string;
  readonly work: KillWork;
  readonly kill: KillOrder | StandStill;
  /** Opening the storage is part of what is counted: a first start makes it. */
  readonly withOpening: boolean;
}

export interface KillReport {
  readonly steps: number;
  readonly trace: readonly string[];
}

async function run(bulkhead: Bulkhead, work: KillWork): Promise<void> {
  switch (work.kind) {
    case 'create':
      await bulkhead.createSession({
        name: work.name,
        from: { kind: 'head' },
        carryUncommitted: work.carryUncommitted,
      });
      return;
    case 'checkpoint':
      await bulkhead.checkpoint({
        session: work.session,
        trigger: work.paths === undefined ? 'manual' : 'save',
        agent: 'codex',
        ...(work.paths === undefined
          ? {}
          : { paths: work.paths.map(repoPathFromText).filter((path) => path !== undefined) }),
      });
      return;
    case 'restore':
      await bulkhead.restore({ session: work.session, target: work.target, consent: 'all', agent: 'user' });
      return;
    case 'undo':
      await bulkhead.undo({ session: work.session, consent: 'all', agent: 'user' });
      return;
    case 'apply':
      await bulkhead.apply({ session: work.session, mode: 'branch' });
      return;
    case 'remove':
      await bulkhead.removeSession(work.session, { force: true });
      return;
    case 'reset':
      await bulkhead.resetSession(work.session, { force: true });
      return;
    case 'rename':
      await bulkhead.renameSession(work.session, work.name);
      return;
    case 'maintain':
      await bulkhead.maintain();
      return;
    case 'recover':
      await bulkhead.recover({ sweep: true });
  }
}

async function main(): Promise<KillReport> {
  const { repository, storage, work, kill, withOpening } = JSON.parse(process.argv[2] ?? '') as KillTask;
  const host = await createHost({ log: silentLog, product: 'test' });
  if (withOpening) {
    arm(kill);
  }
  const bulkhead = await openBulkhead(host, { repository, storage, create: true });
  try {
    arm(kill);
    await run(bulkhead, work);
    return disarm();
  } finally {
    disarm();
    await bulkhead.shutdown();
  }
}

main().then(
  (report) => {
    process.stdout.write(JSON.stringify(report));
  },
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
