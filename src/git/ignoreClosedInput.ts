import type { Writable } from 'node:stream';

/**
 * A git that ends before it has read all of its input closes the pipe; writing on then emits EPIPE (or EOF on Windows)
 * on stdin, and an `error` event that nobody listens to would end the whole process. How git ended is known from its exit.
 */
export function ignoreClosedInput(input: Writable): void {
  input.on('error', () => undefined);
}
