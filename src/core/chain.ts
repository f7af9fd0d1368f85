/**
 * Where a snapshot stands in its session. A session's history is a row of chains, because walking one very long chain is slow:
 * a new one starts without a parent and names the last snapshot of the one before.
 */
export interface ChainPosition {
  /** Of the chain in the session, from 1. */
  readonly number: number;
  /** Of the snapshot in the chain, from 1. */
  readonly ordinal: number;
  /** When the chain began, in seconds since 1970-01-01 UTC. */
  readonly started: number;
}

export const CHAIN_MAX_SNAPSHOTS = 4096;
export const CHAIN_MAX_AGE_S = 86_400;

export type NextInChain =
  | { readonly kind: 'same'; readonly chain: ChainPosition }
  /** `closedNumber`: of the chain that ends with the snapshot before. */
  | { readonly kind: 'new'; readonly chain: ChainPosition; readonly closedNumber: number };

/** The position of a session's first snapshot. */
export function firstInChain(nowSeconds: number): ChainPosition {
  return { number: 1, ordinal: 1, started: nowSeconds };
}

/** A clock that was set back makes no chain old. */
export function nextInChain(last: ChainPosition, nowSeconds: number): NextInChain {
  if (last.ordinal >= CHAIN_MAX_SNAPSHOTS || nowSeconds - last.started >= CHAIN_MAX_AGE_S) {
    return {
      kind: 'new',
      chain: { number: last.number + 1, ordinal: 1, started: nowSeconds },
      closedNumber: last.number,
    };
  }
  return { kind: 'same', chain: { ...last, ordinal: last.ordinal + 1 } };
}
