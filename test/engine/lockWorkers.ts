import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { cleanEnvironment } from '../support/environment';
import type { LockOrder, LockTask } from './lock.worker';

/** A process that takes locks and claims when it is told to. */
export class LockWorker {
  readonly child: ChildProcess;
  readonly #answers: string[] = [];
  #wake: (() => void) | undefined;

  private constructor(child: ChildProcess) {
    this.child = child;
    child.on('message', (answer: string) => {
      this.#answers.push(answer);
      this.#wake?.();
    });
    child.on('exit', () => this.#wake?.());
  }

  static async start(task: LockTask, env: NodeJS.ProcessEnv = {}): Promise<LockWorker> {
    const child = fork(join(import.meta.dirname, '..', 'engine', 'lock.worker.js'), [JSON.stringify(task)], {
      env: cleanEnvironment(env),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const worker = new LockWorker(child);
    await worker.#answer();
    return worker;
  }

  /** One order at a time. */
  order(order: LockOrder): Promise<string> {
    this.child.send(order);
    return this.#answer();
  }

  async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = once(this.child, 'exit');
      this.child.kill('SIGKILL');
      await gone;
    }
  }

  async #answer(): Promise<string> {
    for (;;) {
      const answer = this.#answers.shift();
      if (answer !== undefined) {
        return answer;
      }
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error('the worker has ended');
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
