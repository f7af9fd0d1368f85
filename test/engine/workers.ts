import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { WorkerResult, WorkerTask } from './engine.worker';
import type { EngineWorld } from './world';

/** One process that runs a task. */
export interface Worker {
  readonly child: ChildProcess;
  /** It has opened the engine and waits. */
  readonly ready: Promise<void>;
  readonly result: Promise<WorkerResult>;
  /** It has what it was told to hold, or stands where it was told to stop. */
  readonly holding: Promise<void>;
}

/** @param maxFiles how many descriptors it may have */
export function startWorker(world: EngineWorld, work: WorkerTask['work'], maxFiles?: number): Worker {
  const task: WorkerTask = { repository: world.repo.dir, storage: world.storage, work };
  const args = [join(import.meta.dirname, 'engine.worker.js'), JSON.stringify(task)];
  const options: SpawnOptions = { env: world.environment, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] };
  const child =
    maxFiles === undefined
      ? spawn(process.execPath, args, options)
      : spawn('sh', ['-c', `ulimit -n ${String(maxFiles)}; exec "$0" "$@"`, process.execPath, ...args], options);
  const ready = new Promise<void>((resolve, reject) => {
    child.on('message', (message) => {
      if (message === 'ready') {
        resolve();
      }
    });
    child.on('exit', () => {
      reject(new Error('the worker ended before it was ready'));
    });
  });
  const holding = new Promise<void>((resolve) => {
    child.on('message', (message) => {
      if (message === 'holding') {
        resolve();
      }
    });
  });
  const result = new Promise<WorkerResult>((resolve, reject) => {
    child.on('message', (message) => {
      if (typeof message === 'object') {
        resolve(message as WorkerResult);
      }
    });
    child.on('exit', (code, signal) => {
      reject(new Error(`the worker ended without a result (${String(code ?? signal)})`));
    });
  });
  // Whoever kills a worker does not wait for its result.
  result.catch(() => undefined);
  return { child, ready, result, holding };
}

/** Runs all tasks at once: no worker begins before each of them is ready. */
export async function race(world: EngineWorld, tasks: readonly WorkerTask['work'][]): Promise<WorkerResult[]> {
  const workers = tasks.map((task) => startWorker(world, task));
  await Promise.all(workers.map(({ ready }) => ready));
  for (const { child } of workers) {
    child.send('go');
  }
  const results = await Promise.all(workers.map(({ result }) => result));
  for (const { child } of workers) {
    if (child.exitCode === null && child.signalCode === null) {
      await once(child, 'exit');
    }
  }
  return results;
}
