import { displayPath, isUtf8Path, pathBytes, type RepoPath } from '../core/repoPath';
import type {
  ApplyResult,
  CheckpointResult,
  ContendedPath,
  DiffResult,
  LockInfo,
  MaintenanceResult,
  PathChange,
  RemoveResult,
  ResetResult,
  RestorePlan,
  RestoreResult,
  Session,
  Snapshot,
  StoreReport,
  StoreSize,
} from '../session/api';
import { isHealthy } from '../session/findings';

/**
 * The documents of `--json`. Scripts rely on every name here: fields are only ever added.
 * A name that is not UTF-8 is shown with replacement characters, and exactly in a field beside it that ends in `Base64`.
 */

export function sessionJson(session: Session) {
  return {
    id: session.id,
    name: session.name,
    path: session.path,
    state: session.state,
    base: session.base === null ? null : { commit: session.base.commit, tree: session.base.tree },
    shadowRef: session.shadowRef,
    branch: session.branch,
    snapshots: session.snapshots,
    newest: session.newest,
    created: timeJson(session.created),
    ...damageJson(session),
  };
}

export function checkpointJson(result: CheckpointResult) {
  return {
    session: result.session,
    snapshot: result.snapshot,
    newest: result.newest,
    tree: result.tree,
    changed: result.changed.map(changeJson),
    skipped: result.skipped.map(({ path, reason }) => ({ ...pathJson('path', path), reason })),
  };
}

export function snapshotJson(snapshot: Snapshot) {
  return {
    oid: snapshot.oid,
    session: snapshot.session,
    time: timeJson(snapshot.time),
    trigger: snapshot.trigger,
    agent: snapshot.agent,
    turn: snapshot.turn,
    subject: snapshot.subject,
    files: snapshot.files,
    added: snapshot.added,
    deleted: snapshot.deleted,
    ...damageJson(snapshot),
  };
}

export function diffJson(result: DiffResult) {
  return {
    from: result.from,
    to: result.to,
    files: result.files.map((file) => ({
      ...pathJson('path', file.path),
      ...pathJson('oldPath', file.oldPath),
      status: file.status,
      oldMode: file.oldMode,
      newMode: file.newMode,
      added: file.added,
      deleted: file.deleted,
    })),
  };
}

export function restoreJson(result: RestoreResult) {
  return { plan: planJson(result.plan), snapshot: result.snapshot, undo: result.undo };
}

export function planJson(plan: RestorePlan) {
  return {
    ...pathsJson('write', plan.write),
    ...pathsJson('delete', plan.delete),
    keep: plan.keep.map(({ path, reason }) => ({ ...pathJson('path', path), reason })),
    contested: plan.contested.map(({ path, agent, snapshot }) => ({
      ...pathJson('path', path),
      agent,
      snapshot,
    })),
    risky: plan.risky.map(({ path, category }) => ({ ...pathJson('path', path), category })),
  };
}

export function contentionJson(contended: ContendedPath) {
  return {
    ...pathJson('path', contended.path),
    sessions: contended.sessions,
    merge: contended.merge,
    pairs: contended.pairs.map(({ a, b, merge, lines }) => ({ a, b, merge, lines })),
  };
}

export function applyJson(result: ApplyResult) {
  return {
    files: result.files.map(changeJson),
    ...pathsJson('conflicts', result.conflicts),
    branch: result.branch,
    patch: result.patch,
    undo: result.undo,
  };
}

export function removeJson(result: RemoveResult) {
  return { session: result.session, snapshot: result.snapshot, trashed: result.trashed };
}

export function resetJson(result: ResetResult) {
  return { session: sessionJson(result.session), made: result.made, snapshot: result.snapshot };
}

/**
 * `kind`: `lock`, `lease`, `claim`, or `git` for a lock file of git's own. `session` and `name`: the session it is about,
 * by id and name. `purpose`, `agent`, `pid`, `host`, `since`: what the holder tells of itself, else null. `ageMs`: since it
 * was taken or, when that is not told, since its last sign of life. `state`: `alive`, `dead` (it keeps nobody waiting),
 * `newer` (held by a later version of Bulkhead), `unknown`. `place`: its file, or the claim's ref in the snapshot store.
 */
export function lockJson(lock: LockInfo) {
  return {
    kind: lock.kind,
    session: lock.session,
    name: lock.name,
    purpose: lock.purpose,
    agent: lock.agent,
    pid: lock.pid,
    host: lock.host,
    since: timeJson(lock.since),
    ageMs: lock.ageMs,
    state: lock.state,
    place: lock.place,
  };
}

export function storeReportJson(report: StoreReport) {
  return {
    healthy: isHealthy(report.findings),
    storage: report.storage,
    repository: report.repository,
    git: report.git,
    findings: report.findings.map(({ severity, code, session, subject, message, safe, advice, repairable }) => ({
      severity,
      code,
      session,
      subject,
      message,
      safe,
      advice,
      repairable,
    })),
    repairs: report.repairs.map(({ code, subject, what }) => ({ code, subject, what })),
    reportFile: report.reportFile,
  };
}

export function gcJson(result: MaintenanceResult) {
  const size = ({ loose, looseBytes, packs, packed, packBytes }: StoreSize) => ({
    loose,
    looseBytes,
    packs,
    packed,
    packBytes,
  });
  return {
    time: timeJson(result.time),
    before: size(result.before),
    after: size(result.after),
    full: result.full,
    pruned: result.pruned,
    swept: { files: result.swept.files, bytes: result.swept.bytes },
    closedRefs: result.closedRefs,
    skipped: result.skipped.map(({ step, reason }) => ({ step, reason })),
  };
}

/** Only where something is lost: nobody has to ask for it every time. */
function damageJson({ damage }: { readonly damage: string | null }): { readonly damage?: string } {
  return damage === null ? {} : { damage };
}

function changeJson({ path, status }: PathChange) {
  return { ...pathJson('path', path), status };
}

function timeJson(time: number | null): string | null {
  return time === null ? null : new Date(time).toISOString();
}

function pathJson<Key extends string>(
  key: Key,
  path: RepoPath | null,
): Record<Key, string | null> & Partial<Record<`${Key}Base64`, string>> {
  return {
    [key]: path === null ? null : displayPath(path),
    ...(path === null || isUtf8Path(path) ? {} : { [`${key}Base64`]: pathBytes(path).toString('base64') }),
  } as Record<Key, string | null> & Partial<Record<`${Key}Base64`, string>>;
}

/** A list of names; the list beside it, with null for each name that needs none, is there only when one name needs it. */
function pathsJson<Key extends string>(
  key: Key,
  paths: readonly RepoPath[],
): Record<Key, string[]> & Partial<Record<`${Key}Base64`, (string | null)[]>> {
  const exact = paths.some((path) => !isUtf8Path(path));
  return {
    [key]: paths.map(displayPath),
    ...(exact
      ? {
          [`${key}Base64`]: paths.map((path) => (isUtf8Path(path) ? null : pathBytes(path).toString('base64'))),
        }
      : {}),
  } as Record<Key, string[]> & Partial<Record<`${Key}Base64`, (string | null)[]>>;
}
