// What was measured, as text for people and as JSON for programs.
import { writeFileSync } from 'node:fs';
import type { Samples } from './measure';

export interface Line {
  readonly row: string;
  readonly files: number;
  readonly who: string;
  readonly p50: number;
  readonly p95: number;
  readonly runs: number;
}

export interface Target {
  readonly row: string;
  readonly files: number;
  readonly what: string;
  readonly measured: number;
  readonly atMost: number;
  readonly unit: 'x' | 'ms' | 'MB' | 'processes';
  readonly met: boolean;
}

/** Something that this version does not have, or a number without a target. */
export interface Note {
  readonly row: string;
  readonly files: number;
  readonly text: string;
}

export class Report {
  readonly lines: Line[] = [];
  readonly targets: Target[] = [];
  readonly notes: Note[] = [];
  #headed = false;

  /** Prints one table: contenders, slowest last, each against ours. */
  table(row: string, files: number, contenders: ReadonlyMap<string, Samples>): void {
    const [first] = contenders.values();
    const lines = [...contenders].map(([who, samples]): Line => ({
      row,
      files,
      who,
      p50: samples.p50,
      p95: samples.p95,
      runs: samples.count,
    }));
    this.lines.push(...lines);
    const width = Math.max(...lines.map(({ who }) => who.length), 40);
    console.log(`\n${row}, ${number(files)} files`);
    console.log(`  ${''.padEnd(width)}        p50        p95   runs   Bulkhead is`);
    for (const { who, p50, p95, runs } of lines) {
      const ratio = first === undefined || p50 === first.p50 ? '' : `${factor(first.p50 / p50)} of it`;
      console.log(
        `  ${who.padEnd(width)} ${milliseconds(p50)} ${milliseconds(p95)} ${String(runs).padStart(6)}   ${ratio}`.trimEnd(),
      );
    }
    this.#headed = true;
  }

  target(row: string, files: number, what: string, measured: number, atMost: number, unit: Target['unit']): void {
    const met = measured <= atMost;
    this.targets.push({ row, files, what, measured, atMost, unit, met });
    if (!this.#headed) console.log(`\n${row}, ${number(files)} files`);
    this.#headed = true;
    console.log(
      `  ${met ? 'met   ' : 'MISSED'} ${what}: ${show(measured, unit)} (target: at most ${show(atMost, unit)})`,
    );
  }

  note(row: string, files: number, text: string): void {
    this.notes.push({ row, files, text });
    if (!this.#headed) console.log(`\n${row}, ${number(files)} files`);
    this.#headed = true;
    console.log(`  ${text}`);
  }

  /** What follows belongs to another row. */
  next(): void {
    this.#headed = false;
  }

  /** All targets once more, in one list. */
  summary(): void {
    console.log('\nTargets');
    for (const { row, files, what, measured, atMost, unit, met } of this.targets) {
      const name = `${row} (${number(files)}): ${what}`;
      console.log(`  ${met ? 'met   ' : 'MISSED'} ${name.padEnd(78)} ${show(measured, unit)} of ${show(atMost, unit)}`);
    }
    const missed = this.targets.filter(({ met }) => !met).length;
    console.log(`  ${this.targets.length - missed} met, ${missed} missed`);
  }

  write(files: readonly string[], machine: object): void {
    const { lines, targets, notes } = this;
    const text = `${JSON.stringify({ machine, lines, targets, notes }, null, 2)}\n`;
    for (const file of files) writeFileSync(file, text);
  }
}

export function number(value: number): string {
  return value.toLocaleString('en');
}

function show(value: number, unit: Target['unit']): string {
  switch (unit) {
    case 'x':
      return factor(value);
    case 'ms':
      return `${precise(value)} ms`;
    case 'MB':
      return `${precise(value)} MB`;
    case 'processes':
      return String(value);
  }
}

/** Small ones as a fraction: "1/150". */
function factor(value: number): string {
  return value < 0.2 ? `1/${precise(1 / value)}` : `${value.toFixed(2)} x`;
}

function precise(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function milliseconds(value: number): string {
  return `${precise(value)} ms`.padStart(10);
}
