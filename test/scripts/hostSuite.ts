// Runs the suite in test/host/suite inside a real VS Code through @vscode/test-electron: desktop
// VS Code where a display and a download are to be had, else our launcher around code-server.
import { downloadAndUnzipVSCode, runTests } from '@vscode/test-electron';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cacheFolder, inRoot, root } from './project.ts';
import { onEndSignal } from './run.ts';
import { sampleRepository } from './sample.ts';

const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'bh-suite-'));
const output = path.join(temporary, 'output.txt');
process.once('exit', () => fs.rmSync(temporary, { recursive: true, force: true, maxRetries: 5 }));
// runTests waits for its child, which gets the same signal and cleans up.
onEndSignal((signal) => setTimeout(() => process.exit(signal === 'SIGINT' ? 130 : 143), 2500).unref());

const executable = (await desktop()) ?? inRoot('test/host/vscode');
fs.writeFileSync(output, '');
const follow = followFile(output);
let failure: unknown;
try {
  await runTests({
    vscodeExecutablePath: executable,
    extensionDevelopmentPath: root,
    extensionTestsPath: inRoot('out/test/host/suite/index'),
    launchArgs: [
      sampleRepository(path.join(temporary, 'harbour')),
      `--user-data-dir=${path.join(temporary, 'data')}`,
      `--extensions-dir=${path.join(temporary, 'extensions')}`,
      '--disable-workspace-trust',
    ],
    extensionTestsEnv: { BULKHEAD_SUITE_OUTPUT: output },
  });
} catch (error) {
  failure = error;
}
follow.stop();
if (failure !== undefined) {
  console.error(failure instanceof Error ? failure.message : failure);
  process.exitCode = 1;
}

async function desktop(): Promise<string | undefined> {
  const wanted = process.env['BULKHEAD_TEST_DESKTOP'];
  const display = process.platform !== 'linux' || Boolean(process.env['DISPLAY'] ?? process.env['WAYLAND_DISPLAY']);
  if (wanted === '0' || (wanted !== '1' && !display)) {
    console.log('Running in code-server with a headless browser');
    return undefined;
  }
  try {
    const file = await downloadAndUnzipVSCode({
      cachePath: path.join(cacheFolder(), 'desktop'),
      timeout: 15_000,
    });
    console.log('Running in desktop VS Code');
    return file;
  } catch (error) {
    if (wanted === '1') throw error;
    console.log('Running in code-server with a headless browser: desktop VS Code cannot be downloaded');
    return undefined;
  }
}

/** Shows what is written to the file while it is being written. */
function followFile(file: string): { stop: () => void } {
  let shown = 0;
  const show = () => {
    const bytes = fs.readFileSync(file).subarray(shown);
    shown += bytes.length;
    process.stdout.write(bytes);
  };
  const timer = setInterval(show, 200);
  return {
    stop: () => {
      clearInterval(timer);
      show();
    },
  };
}
