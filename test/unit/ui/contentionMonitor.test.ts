import assert from 'node:assert/strict';
import { Deferred } from '../../../src/base/async';
import type { ContendedPath } from '../../../src/session/api';
import { ContentionMonitor } from '../../../src/ui/contentionMonitor';
import { path } from './fixtures';
import { ManualClock } from './manualClock';

const contended = (name: string): readonly ContendedPath[] => [
  { path: path(name), sessions: ['a', 'b'], merge: 'unknown', pairs: [] },
];

function setUp() {
  const clock = new ManualClock();
  const questions: Deferred<readonly ContendedPath[]>[] = [];
  const errors: unknown[] = [];
  const monitor = new ContentionMonitor({
    source: {
      contention: () => {
        const question = new Deferred<readonly ContendedPath[]>();
        questions.push(question);
        return question.promise;
      },
    },
    clock,
    onError: (error) => errors.push(error),
  });
  let changes = 0;
  monitor.onDidChange(() => changes++);
  const answered = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { clock, questions, errors, monitor, answered, changes: () => changes };
}

describe('ContentionMonitor', () => {
  it('asks once for a burst of snapshots', () => {
    const { clock, questions, monitor } = setUp();
    monitor.touch();
    clock.advance(100);
    monitor.touch();
    clock.advance(20);
    assert.equal(questions.length, 1);
    clock.advance(1_000);
    assert.equal(questions.length, 1);
  });

  it('tells a change, and nothing while the answer stays the same', async () => {
    const { clock, questions, monitor, answered, changes } = setUp();
    for (let round = 0; round < 2; round++) {
      monitor.touch();
      clock.advance(120);
      questions[round]?.resolve(contended('a.ts'));
      await answered();
    }
    assert.equal(changes(), 1);
    assert.deepEqual(monitor.paths, contended('a.ts'));
  });

  it('clears when it no longer holds', async () => {
    const { clock, questions, monitor, answered, changes } = setUp();
    monitor.touch();
    clock.advance(120);
    questions[0]?.resolve(contended('a.ts'));
    await answered();
    monitor.touch();
    clock.advance(120);
    questions[1]?.resolve([]);
    await answered();
    assert.deepEqual(monitor.paths, []);
    assert.equal(changes(), 2);
  });

  it('drops an answer that comes after a later one', async () => {
    const { clock, questions, monitor, answered } = setUp();
    monitor.touch();
    clock.advance(120);
    monitor.touch();
    clock.advance(120);
    questions[1]?.resolve(contended('new.ts'));
    await answered();
    questions[0]?.resolve(contended('old.ts'));
    await answered();
    assert.deepEqual(monitor.paths, contended('new.ts'));
  });

  it('keeps what it knew when a question fails', async () => {
    const { clock, questions, errors, monitor, answered } = setUp();
    monitor.touch();
    clock.advance(120);
    questions[0]?.resolve(contended('a.ts'));
    await answered();
    monitor.touch();
    clock.advance(120);
    questions[1]?.reject(new Error('no'));
    await answered();
    assert.deepEqual(monitor.paths, contended('a.ts'));
    assert.equal(errors.length, 1);
  });
});
