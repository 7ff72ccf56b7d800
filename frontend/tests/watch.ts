import { expect, type Page } from '@playwright/test';

/** Collects what a page must never do; call before `goto`, and the result after the actions. */
export async function watch(page: Page): Promise<() => void> {
  const faults: string[] = [];
  const home = new URL(process.env.HEADWATER_URL ?? '').host;
  await page.exposeFunction('reportViolation', (violation: string) => faults.push(violation));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      (window as unknown as { reportViolation(text: string): void }).reportViolation(
        `CSP ${event.effectiveDirective}: ${event.blockedURI} ${event.sourceFile ?? ''}`,
      );
    });
  });
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`exception: ${error.stack ?? error.message}`));
  page.on('websocket', (socket) => {
    if (new URL(socket.url()).host !== home) faults.push(`foreign socket: ${socket.url()}`);
  });
  page.context().on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol !== 'data:' && url.host !== home) faults.push(`foreign: ${request.url()}`);
  });
  page.context().on('response', (response) => {
    if (response.status() >= 400) faults.push(`${response.status()} ${response.url()}`);
  });
  return () => expect(faults).toEqual([]);
}
