import assert from 'node:assert/strict';
import { Deferred } from '../../../src/base/async';
import { Coalescer } from '../../../src/ui/coalescer';
import { ManualClock } from './manualClock';

function setUp(work: (key: string) => Promise<void>) {
  const clock = new ManualClock();
  const errors: unknown[] = [];
  const coalescer = new Coalescer<string>({ clock, delayMs: 50, work, onError: (error) => errors.push(error) });
  return { clock, errors, coalescer };
}

describe('Coalescer', () => {
  it('works once for a burst, after the delay', async () => {
    const done: string[] = [];
    const { clock, coalescer } = setUp(async (key) => void done.push(key));
    coalescer.touch('a');
    coalescer.touch('a');
    coalescer.touch('b');
    clock.advance(49);
    assert.deepEqual(done, []);
    clock.advance(1);
    await coalescer.settled();
    assert.deepEqual(done, ['a', 'b']);
  });

  it('works again, not twice at a time, when touched meanwhile', async () => {
    const gates = [new Deferred<undefined>(), new Deferred<undefined>()];
    let started = 0;
    const { clock, coalescer } = setUp(async () => {
      await gates[started++]?.promise;
    });
    coalescer.touch('a');
    clock.advance(50);
    coalescer.touch('a');
    coalescer.touch('a');
    clock.advance(500);
    assert.equal(started, 1);
    gates[0]?.resolve(undefined);
    await coalescer.settled();
    clock.advance(50);
    assert.equal(started, 2);
    gates[1]?.resolve(undefined);
    await coalescer.settled();
    clock.advance(500);
    assert.equal(started, 2);
  });

  it('reports a failure and goes on', async () => {
    let calls = 0;
    const { clock, errors, coalescer } = setUp(async () => {
      calls++;
      throw new Error('no');
    });
    for (let round = 0; round < 2; round++) {
      coalescer.touch('a');
      clock.advance(50);
      await coalescer.settled();
    }
    assert.equal(calls, 2);
    assert.equal(errors.length, 2);
  });

  it('does nothing after it was disposed', () => {
    let calls = 0;
    const { clock, coalescer } = setUp(async () => {
      calls++;
    });
    coalescer.touch('a');
    coalescer.dispose();
    coalescer.touch('b');
    clock.advance(500);
    assert.equal(calls, 0);
  });
});
