import { expect, type Locator, type Page, test } from '@playwright/test';
import { watch } from './watch';

const queryEditor = (page: Page) => page.locator('.graphiql-query-editor .monaco-editor').first();

/** Opens GraphiQL and waits for the editors and the schema. */
async function open(page: Page) {
  const answer = page.waitForResponse((response) => response.request().method() === 'POST');
  await page.goto('/graphql');
  await expect(queryEditor(page)).toBeVisible();
  await answer;
}

async function replace(page: Page, editor: Locator, text: string) {
  await editor.click();
  await page.keyboard.press('Control+A');
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(text);
}

/**
 * Runs the query typed, until it has had its effect: GraphiQL reads a document a moment after it
 * was typed, and till then its button runs, or offers a choice of, the former operations.
 */
async function run(page: Page, effect: () => Promise<void>) {
  await expect(async () => {
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: /Execute query/ }).click();
    await effect();
  }).toPass();
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(`a query is typed, run and answered (${colorScheme})`, async ({ page }) => {
    await page.emulateMedia({ colorScheme });
    const finish = await watch(page);
    await open(page);
    await expect(queryEditor(page)).toContainText('Welcome to Headwater');

    await replace(page, queryEditor(page), '{ answer: __typename }');
    await run(page, () =>
      expect(page.locator('.result-window')).toContainText('"answer": "Query"', { timeout: 2_000 }),
    );

    const background = await page
      .locator('.graphiql-container')
      .evaluate((element) => getComputedStyle(element).backgroundColor);
    const lightness = Number(/[\d.]+/.exec(background)?.[0]);
    expect(lightness > 128, background).toBe(colorScheme === 'light');
    finish();
  });
}

test('the schema completes and checks what is typed, in workers of our own', async ({ page }) => {
  const finish = await watch(page);
  const workers: string[] = [];
  page.on('worker', (worker) => workers.push(new URL(worker.url()).pathname));
  await open(page);

  await replace(page, queryEditor(page), '{  }');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('Control+Space');
  await expect(page.locator('.suggest-widget')).toContainText('__typename');
  await page.keyboard.press('Escape');

  await replace(page, queryEditor(page), '{ noSuchField }');
  await expect(queryEditor(page).locator('.squiggly-error')).toBeVisible();
  expect(workers.length).toBeGreaterThan(0);
  expect(workers.every((path) => path.startsWith('/assets/'))).toBe(true);
  finish();
});

test('the documentation of the schema can be read', async ({ page }) => {
  const finish = await watch(page);
  await open(page);
  await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
  await page.locator('.graphiql-doc-explorer').getByText('Query', { exact: true }).click();
  await expect(page.locator('.graphiql-doc-explorer')).toContainText('Fields');
  finish();
});

test('a token in the headers pane goes with queries and subscriptions', async ({ page }) => {
  await open(page);
  await page.getByRole('button', { name: 'Headers' }).click();
  const headers = page.locator('.graphiql-editor-tool .monaco-editor').last();
  await replace(page, headers, '{"Authorization": "Bearer hw_test"}');

  const tokens: (string | undefined)[] = [];
  page.on('request', (request) => {
    if (request.postData()?.includes('asked: __typename')) {
      tokens.push(request.headers().authorization);
    }
  });
  await replace(page, queryEditor(page), '{ asked: __typename }');
  await run(page, () => expect.poll(() => tokens[0], { timeout: 2_000 }).toBe('Bearer hw_test'));

  // Refused by validation, but only after the socket has been opened with the token.
  const frames: string[] = [];
  page.on('websocket', (socket) => {
    socket.on('framesent', (frame) => frames.push(String(frame.payload)));
  });
  await replace(page, queryEditor(page), 'subscription { __typename }');
  await run(page, () => expect.poll(() => frames.length, { timeout: 2_000 }).toBeGreaterThan(0));
  expect(JSON.parse(frames[0] ?? '')).toEqual({
    type: 'connection_init',
    payload: { Authorization: 'Bearer hw_test' },
  });
});

test('a link can carry a query', async ({ page }) => {
  const finish = await watch(page);
  await page.goto(`/graphql?query=${encodeURIComponent('{ linked: __typename }')}`);
  await expect(queryEditor(page)).toContainText('linked: __typename');
  finish();
});

test('the explorer leads to GraphiQL', async ({ page }) => {
  const finish = await watch(page);
  await page.goto('/');
  await page.getByRole('link', { name: 'API' }).click();
  await expect(queryEditor(page)).toBeVisible();
  finish();
});
