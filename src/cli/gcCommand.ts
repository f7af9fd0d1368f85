import { showUnseen } from '../core/visibleText';
import type { MaintenanceResult, StoreSize } from '../session/api';
import type { Command } from './command';
import { gcJson } from './json';
import { counted } from './print';

export const gc: Command = {
  words: ['gc'],
  usage: '',
  summary: 'pack the snapshot store and remove what has been out of reach for a day',
  details: [
    'Snapshots, chains, bases, records and branches that a ref leads to stay, and so does all that is younger than a day.',
    'Checkpoints go on meanwhile. One process does it at a time; another one is told to wait (exit 4).',
  ],
  options: [],
  arguments: { least: 0, most: 0, paths: false },
  async run({ invocation }) {
    await invocation.checkUnconfined();
    const bulkhead = await invocation.open({ create: false });
    const result = await bulkhead.maintain({ signal: invocation.signal });
    return { json: gcJson(result), text: () => gcText(result) };
  },
};

function gcText(result: MaintenanceResult): string {
  const { before, after, swept } = result;
  return [
    `${sizeText(before)} became ${sizeText(after)}.`,
    ...(result.pruned > 0 ? [`Removed ${counted(result.pruned, 'object')} that nothing had led to for a day.`] : []),
    ...(swept.files > 0
      ? [`Removed ${counted(swept.files, 'leftover')} of killed processes, ${bytesText(swept.bytes)}.`]
      : []),
    ...result.skipped.map(({ step, reason }) => `Left out: ${step}. ${showUnseen(reason)}`),
  ].join('\n');
}

function sizeText({ loose, looseBytes, packs, packBytes }: StoreSize): string {
  return `${counted(loose, 'loose object')} and ${counted(packs, 'pack')}, ${bytesText(looseBytes + packBytes)}`;
}

function bytesText(bytes: number): string {
  return bytes < 1_000_000 ? `${String(Math.ceil(bytes / 1000))} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
