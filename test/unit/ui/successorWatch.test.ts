import assert from 'node:assert/strict';
import { Emitter } from '../../../src/base/event';
import type { Session } from '../../../src/session/api';
import { SuccessorWatch } from '../../../src/ui/successorWatch';
import { session } from './fixtures';
import { ManualClock } from './manualClock';

const OLD = 'aaaabbbbcccc';

function setUp(own: readonly string[] = [OLD]) {
  const clock = new ManualClock();
  const errors: unknown[] = [];
  const changed = new Emitter<void>((error) => errors.push(error));
  const successors = new Map<string, Session | Error>();
  const asked: string[] = [];
  const told: string[] = [];
  const watch = new SuccessorWatch({
    source: {
      onDidChangeSessions: changed.event,
      successorOf: async (ref) => {
        asked.push(ref);
        const answer = successors.get(ref) ?? null;
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
    own: new Set(own),
    clock,
    onReset: (old, successor) => told.push(`${old} ${successor.id}`),
    onError: (error) => errors.push(error),
  });
  const look = async () => {
    clock.advance(100);
    await new Promise<void>((resolve) => setImmediate(resolve));
  };
  const change = async () => {
    changed.fire();
    await look();
  };
  return { watch, successors, asked, told, errors, look, change };
}

describe('SuccessorWatch', () => {
  it('tells once that a session of the window was reset, and again when its successor was', async () => {
    const { successors, told, look, change } = setUp();
    await look();
    await change();
    assert.deepEqual(told, []);
    successors.set(OLD, session({ id: 'newnewnewnew' }));
    await change();
    await change();
    assert.deepEqual(told, [`${OLD} newnewnewnew`]);
    successors.set(OLD, session({ id: 'nextnextnext' }));
    await change();
    assert.deepEqual(told.slice(1), [`${OLD} nextnextnext`]);
  });

  it('looks at the start too: the session may have been reset before the window was opened', async () => {
    const { successors, told, look } = setUp();
    successors.set(OLD, session({ id: 'newnewnewnew' }));
    await look();
    assert.equal(told.length, 1);
  });

  it('asks nothing in a window that shows the checkout only, and nothing when it was disposed', async () => {
    const checkout = setUp(['workspace']);
    await checkout.change();
    assert.deepEqual(checkout.asked, []);
    const closed = setUp();
    closed.watch.dispose();
    await closed.change();
    assert.deepEqual(closed.asked, []);
  });

  it('passes a failure on, and looks again after the next change', async () => {
    const { successors, told, errors, look, change } = setUp();
    const failure = new Error('damaged');
    successors.set(OLD, failure);
    await look();
    assert.deepEqual(errors, [failure]);
    successors.set(OLD, session({ id: 'newnewnewnew' }));
    await change();
    assert.equal(told.length, 1);
  });
});
