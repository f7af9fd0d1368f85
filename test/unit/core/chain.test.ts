import assert from 'node:assert/strict';
import { CHAIN_MAX_AGE_S, CHAIN_MAX_SNAPSHOTS, firstInChain, nextInChain } from '../../../src/core/chain';

describe('chain', () => {
  const start = 1_700_000_000;

  it('counts on', () => {
    assert.deepEqual(firstInChain(start), { number: 1, ordinal: 1, started: start });
    assert.deepEqual(nextInChain(firstInChain(start), start + 5), {
      kind: 'same',
      chain: { number: 1, ordinal: 2, started: start },
    });
  });

  it('holds 4,096 snapshots', () => {
    const last = { number: 3, ordinal: CHAIN_MAX_SNAPSHOTS - 1, started: start };
    const full = nextInChain(last, start);
    assert.deepEqual(full, { kind: 'same', chain: { ...last, ordinal: 4096 } });
    assert.deepEqual(nextInChain(full.chain, start + 1), {
      kind: 'new',
      chain: { number: 4, ordinal: 1, started: start + 1 },
      closedNumber: 3,
    });
  });

  it('ends after 24 hours', () => {
    const last = firstInChain(start);
    assert.equal(nextInChain(last, start + CHAIN_MAX_AGE_S - 1).kind, 'same');
    assert.equal(nextInChain(last, start + CHAIN_MAX_AGE_S).kind, 'new');
  });

  it('bears a clock that was set back', () => {
    assert.equal(nextInChain(firstInChain(start), start - 10 * CHAIN_MAX_AGE_S).kind, 'same');
  });
});
