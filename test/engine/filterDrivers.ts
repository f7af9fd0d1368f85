import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../support/temporary';

/** A driver as git-lfs is one: a pointer in the repository, the content in a folder of its own. Started for each file. */
export function singleRuns(): readonly string[] {
  const folder = temporaryFolder('filter');
  const script = join(folder, 'filter.sh');
  writeFileSync(
    script,
    `#!/bin/sh
file=$(mktemp '${folder}/in.XXXXXX')
cat > "$file"
if [ "$1" = clean ]; then
  key=$(sha256sum < "$file" | cut -c1-64)
  mv "$file" '${folder}/'"$key"
  echo "pointer $key"
elif head -c 8 "$file" | grep -q '^pointer '; then
  cat '${folder}/'"$(cut -d ' ' -f 2 "$file")"
else
  cat "$file"
fi
`,
    { mode: 0o755 },
  );
  return driver({ clean: `'${script}' clean`, smudge: `'${script}' smudge` });
}

function driver(programs: Readonly<Record<string, string>>): readonly string[] {
  return [
    '-c',
    'filter.pointer.required=true',
    ...Object.entries(programs).flatMap(([key, value]) => ['-c', `filter.pointer.${key}=${value}`]),
  ];
}

/** The same kind of driver as one process that serves many files, in git's own protocol. */
export function longRunning(): readonly string[] {
  const folder = temporaryFolder('filter');
  const script = join(folder, 'filter.mjs');
  writeFileSync(
    script,
    `import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync, readSync, writeSync } from 'node:fs';
const store = ${JSON.stringify(folder)};
function clean(bytes) {
  const key = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(store + '/' + key, bytes);
  return Buffer.from('pointer ' + key + '\\n');
}
function smudge(bytes) {
  const key = /^pointer ([0-9a-f]{64})\\n$/.exec(bytes.toString('latin1'))?.[1];
  return key === undefined ? bytes : readFileSync(store + '/' + key);
}
const take = (count) => {
  const buffer = Buffer.alloc(count);
  for (let at = 0; at < count; ) {
    const got = readSync(0, buffer, at, count - at);
    if (got === 0) process.exit(0);
    at += got;
  }
  return buffer;
};
const packet = () => {
  const length = parseInt(take(4).toString(), 16);
  return length === 0 ? null : take(length - 4);
};
const list = () => {
  const packets = [];
  for (let next = packet(); next !== null; next = packet()) packets.push(next);
  return packets;
};
const put = (bytes) => {
  const all = Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, '0')), bytes]);
  for (let at = 0; at < all.length; ) at += writeSync(1, all, at);
};
const flush = () => writeSync(1, '0000');
list();
put(Buffer.from('git-filter-server\\n'));
put(Buffer.from('version=2\\n'));
flush();
list();
put(Buffer.from('capability=clean\\n'));
put(Buffer.from('capability=smudge\\n'));
flush();
for (;;) {
  const header = list().map(String);
  const body = Buffer.concat(list());
  const result = header.some((line) => line === 'command=clean\\n') ? clean(body) : smudge(body);
  put(Buffer.from('status=success\\n'));
  flush();
  for (let at = 0; at < result.length; at += 65000) put(result.subarray(at, at + 65000));
  flush();
  flush();
}
`,
  );
  return driver({ process: `'${process.execPath}' '${script}'` });
}
