// A small project on disk, of the shape of ours, for rules that look at paths and types.
import fs from 'node:fs';
import path from 'node:path';
import { inRoot } from '../scripts/project.ts';

/** Below out/, so that packages are found as they are from src/. */
export function writeProject(name: string, files: Readonly<Record<string, string>>): string {
  const folder = inRoot('out/lint', name);
  fs.rmSync(folder, { recursive: true, force: true });
  for (const [file, text] of Object.entries({ ...files, 'tsconfig.json': tsconfig() })) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), text);
  }
  return folder;
}

function tsconfig(): string {
  return JSON.stringify({ extends: inRoot('tsconfig.json'), include: ['src', 'test'] });
}
