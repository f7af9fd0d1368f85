// Runs a server and ends it when the process that wanted it is gone, however that one ended: its
// end of our stdin closes even when it was killed. We lead a process group, and end all of it.
import { spawn } from 'node:child_process';
import fs from 'node:fs';

const [temporary = '', command = '', ...args] = process.argv.slice(2);
if (temporary === '' || command === '') {
  throw new Error('guard: a temporary folder and a command are needed');
}
const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });

let ending = false;
function end(): void {
  if (ending) return;
  ending = true;
  // Our own signal comes back to us as well; the flag above makes that harmless.
  process.kill(-process.pid, 'SIGTERM');
  setTimeout(last, 2500);
}

/** Nobody is left to remove the folder when we end because our owner was killed. */
function last(): void {
  fs.rmSync(temporary, { recursive: true, force: true });
  process.kill(-process.pid, 'SIGKILL');
}

process.on('SIGTERM', end);
process.stdin.on('end', end).on('error', end).resume();
child.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
child.on('exit', (code) => {
  // Extension hosts get a moment more than the server.
  if (ending) setTimeout(last, 300);
  else process.exit(code ?? 1);
});
