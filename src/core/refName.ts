import { BulkheadError } from '../base/errors';
import { type Oid, isOid } from './objectId';
import { WORKSPACE_ID, isSessionId, isSessionRef } from './sessionId';

/**
 * The refs of the snapshot store. All stand below `refs/bulkhead`, outside `refs/heads`, so that no branch list, push or fetch of
 * git's takes them along unasked. Every `session` may be `workspace`, the user's own checkout.
 */
const ROOT = 'refs/bulkhead';
const SESSIONS = `${ROOT}/sessions/`;
const WORKSPACE_REF = `${ROOT}/workspace`;

/** The newest snapshot. */
export function shadowRef(session: string): string {
  return checked(session) === WORKSPACE_ID ? WORKSPACE_REF : SESSIONS + session;
}

/** Undefined for any other ref, also below the same folder. */
export function sessionOfShadowRef(ref: string): string | undefined {
  if (ref === WORKSPACE_REF) {
    return WORKSPACE_ID;
  }
  const id = ref.startsWith(SESSIONS) ? ref.slice(SESSIONS.length) : '';
  return isSessionId(id) ? id : undefined;
}

/** Keeps the base commit alive. */
export function baseRef(session: string): string {
  return `${ROOT}/bases/${checked(session)}`;
}

/** The changing part of the session's record, a JSON blob. */
export function recordRef(session: string): string {
  return `${ROOT}/records/${checked(session)}`;
}

/** No session can have this id: ids are longer. */
export const STORE_CLAIM = 'store';

/** Who is restoring, applying or deleting; or, for `STORE_CLAIM`, who is tidying the store. */
export function claimRef(session: string): string {
  return `${ROOT}/claims/${session === STORE_CLAIM ? session : checked(session)}`;
}

/** The newest snapshot of a closed chain. */
export function closedRef(session: string, chain: number): string {
  if (!Number.isSafeInteger(chain) || chain < 0) {
    throw wrong('chain number', String(chain));
  }
  return `${ROOT}/closed/${checked(session)}/${String(chain)}`;
}

/** A branch of the clone's own. */
export function headRef(session: string, branch: string): string {
  return `${ROOT}/heads/${checked(session)}/${checkedName('branch', branch)}`;
}

/** The tip of a branch that was deleted or moved by force. */
export function lostRef(session: string, oid: Oid): string {
  if (!isOid(oid)) {
    throw wrong('object name', oid);
  }
  return `${ROOT}/lost/${checked(session)}/${oid}`;
}

/** A named snapshot. */
export function pinRef(session: string, name: string): string {
  return `${ROOT}/pins/${checked(session)}/${checkedName('pin', name)}`;
}

/** The rules of `git check-ref-format --branch`; `@` and `HEAD` are left out too, because git reads both as the current commit. */
export function isBranchName(text: string): boolean {
  if (text === '@' || text === 'HEAD' || text.startsWith('-') || text.endsWith('.')) {
    return false;
  }
  if (text.includes('..') || text.includes('@{') || /[\p{Cc}\p{Cs} ~^:?*[\\]/u.test(text.replace(C1, ''))) {
    return false;
  }
  return text
    .split('/')
    .every((component) => component !== '' && !component.startsWith('.') && !component.endsWith('.lock'));
}

/** Control characters to Unicode, two ordinary bytes to git. */
const C1 = /[\x80-\x9f]/g;

function checked(session: string): string {
  if (!isSessionRef(session)) {
    throw wrong('session', session);
  }
  return session;
}

function checkedName(what: string, name: string): string {
  if (!isBranchName(name)) {
    throw wrong(what, name);
  }
  return name;
}

function wrong(what: string, value: string): BulkheadError {
  return new BulkheadError('bug', 'ref-name', `No ref can be named after the ${what} ${JSON.stringify(value)}.`, {
    data: { what, value },
  });
}
