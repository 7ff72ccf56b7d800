import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from '@playwright/test';

const repository = fileURLToPath(new URL('..', import.meta.url));

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('No free port');
  return address.port;
}

/** The demonstration under test: the one named by HEADWATER_URL, or one started for this run alone. */
async function service() {
  if (process.env.HEADWATER_URL) return {};
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'headwater-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  // The workers of Playwright read this file too, and shall find the address.
  process.env.HEADWATER_URL = `http://127.0.0.1:${port}`;
  return {
    webServer: {
      command: '.venv/bin/python -m demo',
      cwd: repository,
      env: {
        HEADWATER_LOG_LEVEL: 'warning',
        HEADWATER_STORE: `sqlite:///${join(directory, 'store.db')}`,
        HEADWATER_PORT: String(port),
      },
      url: `${process.env.HEADWATER_URL}/graphql?query=%7B__typename%7D`,
      timeout: 90_000,
      // The demonstration ends the service it started.
      gracefulShutdown: { signal: 'SIGTERM' as const, timeout: 20_000 },
    },
  };
}

const started = await service();

export default defineConfig({
  testDir: 'tests',
  workers: 1,
  forbidOnly: Boolean(process.env.CI),
  reporter: 'list',
  timeout: 60_000,
  expect: { timeout: 15_000 },
  use: {
    baseURL: process.env.HEADWATER_URL ?? '',
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
  ...started,
});
