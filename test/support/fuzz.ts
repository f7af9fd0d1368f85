import assert from 'node:assert/strict';
import { BulkheadError } from '../../src/base/errors';
import type { SeededRandom } from './seededRandom';

/** Bytes that mean something to one parser or another. */
const TOKENS = [
  '\0',
  '\n',
  '\r\n',
  '\t',
  ' ',
  '/',
  '..',
  '.git',
  '-',
  '--',
  '=',
  ':',
  '"',
  '{',
  '}',
  '[',
  'null',
  '1e999',
  '__proto__',
  '0',
  '-1',
  '99999999999999999999',
  'blob',
  'tree',
  '40000',
  '160000',
  'ref: ',
  'f'.repeat(40),
  '\ufeff',
  '\u202e',
  '\ud800',
  '😀',
  '\xff',
].map((text) => Buffer.from(text, 'utf8'));

/** Makes inputs that a parser has to cope with, from what it is meant to read. */
export class Fuzzer {
  readonly random: SeededRandom;

  constructor(random: SeededRandom) {
    this.random = random;
  }

  /** Random, a valid one with some faults, cut short, two halves, or very long. */
  bytes(valid: readonly Buffer[]): Buffer {
    const { random } = this;
    const one = random.pick(valid);
    switch (random.integer(0, 9)) {
      case 0:
        return random.bytes(random.integer(0, 200));
      case 1:
        return one.subarray(0, random.integer(0, one.length));
      case 2:
        return Buffer.concat([
          one.subarray(0, random.integer(0, one.length)),
          random.pick(valid).subarray(random.integer(0, 20)),
        ]);
      case 3:
        return random.chance(0.1) ? Buffer.concat(new Array<Buffer>(2000).fill(one)) : Buffer.concat([one, one]);
      case 4:
        return Buffer.concat(Array.from({ length: random.integer(0, 30) }, () => random.pick(TOKENS)));
      case 5:
        return random.chance(0.1) ? Buffer.alloc(300_000, random.pick(TOKENS)) : one;
      default:
        return this.#withFaults(one);
    }
  }

  #withFaults(bytes: Buffer): Buffer {
    const { random } = this;
    let result = Buffer.from(bytes);
    for (let left = random.integer(1, 4); left > 0; left--) {
      const at = random.integer(0, result.length);
      const end = Math.min(result.length, at + random.integer(0, 8));
      switch (random.integer(0, 3)) {
        case 0:
          result = Buffer.concat([result.subarray(0, at), random.pick(TOKENS), result.subarray(at)]);
          break;
        case 1:
          result = Buffer.concat([result.subarray(0, at), result.subarray(end)]);
          break;
        case 2:
          result = Buffer.concat([result.subarray(0, at), random.bytes(end - at), result.subarray(end)]);
          break;
        case 3:
          result = Buffer.concat([result.subarray(0, end), result.subarray(at)]);
          break;
      }
    }
    return result;
  }

  text(valid: readonly string[]): string {
    return this.bytes(valid.map((text) => Buffer.from(text))).toString('utf8');
  }
}

/** The value of a parser, or undefined when it refused with an error of ours; any other error fails, and shows the input. */
export function accepts<T>(name: string, input: unknown, parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    requireRefusal(name, input, error);
    return undefined;
  }
}

/** The same for one that reads files. */
export async function acceptsLater<T>(name: string, input: unknown, parse: () => Promise<T>): Promise<T | undefined> {
  try {
    return await parse();
  } catch (error) {
    requireRefusal(name, input, error);
    return undefined;
  }
}

function requireRefusal(name: string, input: unknown, error: unknown): void {
  if (!(error instanceof BulkheadError)) {
    const shown = Buffer.isBuffer(input)
      ? `${input.subarray(0, 2000).toString('base64')} (base64)`
      : JSON.stringify(input);
    assert.fail(
      `${name} threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\nfor ${shown.slice(0, 4000)}`,
    );
  }
}
