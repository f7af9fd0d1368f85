import assert from 'node:assert/strict';
import {
  CLAIM_CAP_MS,
  describeHolder,
  formatHolder,
  type Holder,
  HOLDER_TTL_MS,
  mayBeTaken,
  parseHolder,
  spanText,
} from '../../../src/core/holder';

const holder: Holder = {
  format: 1,
  host: 'harbour',
  pid: 123,
  boot: 'b1',
  started: '42',
  space: 'pid:[1]',
  thread: 0,
  agent: 'codex',
  nonce: '01234567',
  purpose: 'restore',
  since: 1_000_000,
  time: 1_060_000,
};

describe('holder', () => {
  it('reads what it wrote', () => {
    assert.deepEqual(parseHolder(formatHolder(holder)), { kind: 'ok', holder });
  });

  it('reads a record of the first version, which had neither a beginning nor a space of numbers', () => {
    const { since, space, ...old } = holder;
    assert.deepEqual(parseHolder(JSON.stringify(old)), {
      kind: 'ok',
      holder: { ...holder, since: old.time, space: null },
    });
    assert.ok(since < old.time && space !== null);
  });

  it('knows a later format whatever else it holds', () => {
    assert.deepEqual(parseHolder('{"format":2}'), { kind: 'newer', format: 2 });
    assert.deepEqual(parseHolder(JSON.stringify({ ...holder, format: 99 })), { kind: 'newer', format: 99 });
  });

  it('takes all else for unreadable', () => {
    const texts = ['', '{', 'null', '7', '[]', '{}', '{"format":0}', '{"format":1.5}', '{"format":"2"}'];
    for (const field of ['host', 'pid', 'boot', 'started', 'thread', 'agent', 'nonce', 'purpose', 'time'] as const) {
      texts.push(JSON.stringify({ ...holder, [field]: undefined }), JSON.stringify({ ...holder, [field]: {} }));
    }
    for (const text of texts) {
      assert.deepEqual(parseHolder(text), { kind: 'unreadable' }, text);
    }
  });

  describe('may be taken over', () => {
    const now = 10_000_000;
    const capMs = CLAIM_CAP_MS;
    const judge = (liveness: 'alive' | 'dead' | 'unknown', since: number | null, renewed: number | null): boolean =>
      mayBeTaken({
        liveness,
        since: since === null ? null : now - since,
        renewed: renewed === null ? null : now - renewed,
        now,
        capMs,
      });

    it('at once when it is proven dead', () => {
      assert.equal(judge('dead', 0, 0), true);
    });

    it('not for silence while it is proven alive', () => {
      assert.equal(judge('alive', 2 * HOLDER_TTL_MS, 2 * HOLDER_TTL_MS), false);
      assert.equal(judge('alive', capMs, capMs), false);
      // The clock was set back behind its beginning.
      assert.equal(judge('alive', -2 * capMs, -2 * capMs), false);
    });

    it('one time to live after its cap, alive or not, renewed or not', () => {
      assert.equal(judge('alive', capMs + HOLDER_TTL_MS, 0), false);
      assert.equal(judge('alive', capMs + HOLDER_TTL_MS + 1, 0), true);
      assert.equal(judge('unknown', capMs + HOLDER_TTL_MS + 1, 0), true);
    });

    it('without proof when its last sign of life is further away than the time to live, past or future', () => {
      assert.equal(judge('unknown', HOLDER_TTL_MS, HOLDER_TTL_MS), false);
      assert.equal(judge('unknown', HOLDER_TTL_MS + 1, HOLDER_TTL_MS + 1), true);
      assert.equal(judge('unknown', 2 * HOLDER_TTL_MS, HOLDER_TTL_MS), false);
      assert.equal(judge('unknown', null, -HOLDER_TTL_MS - 1), true);
      assert.equal(judge('unknown', null, -HOLDER_TTL_MS), false);
    });

    it('never when nobody can tell its age', () => {
      assert.equal(judge('unknown', null, null), false);
    });
  });

  it('tells how long it has been held, not when it was renewed', () => {
    assert.equal(describeHolder(holder, 1_065_000), 'restore by codex (process 123 on harbour, for 65 s)');
  });

  it('tells spans in the unit that fits', () => {
    assert.deepEqual(
      [-5, 0, 119_000, 120_000, 119 * 60_000, 120 * 60_000].map((ms) => spanText(ms)),
      ['0 s', '0 s', '119 s', '2 min', '119 min', '2 h'],
    );
  });
});
