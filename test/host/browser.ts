import { chromium, type Browser } from 'playwright-core';
import type { Host } from './install.ts';

export async function launchBrowser(host: Host): Promise<Browser> {
  return chromium.launch({
    executablePath: host.browser,
    env: { ...process.env, ...host.browserEnvironment },
    // Ours to handle: otherwise playwright exits before anything is cleaned up.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-dev-shm-usage',
    ],
  });
}
