import AxeBuilder from '@axe-core/playwright';
import { expect, type Page, test } from '@playwright/test';
import { ADDRESS, type Alert, alerts, ask, COLUMN } from './demonstration';
import { watch } from './watch';

let raised: Alert[] = [];

test.beforeAll(async ({ request }) => {
  test.setTimeout(240_000);
  raised = await alerts(request);
});

const graph = (page: Page) => page.getByTestId('graph');
const list = (page: Page) => page.getByRole('region', { name: 'Impact list' });
const spot = (page: Page, key: string) => graph(page).locator(`[data-spot="${key}"]`);
const row = (page: Page, key: string) => list(page).locator(`[data-key="${key}"]`);
const keys = (page: Page) =>
  graph(page)
    .locator('[data-spot]')
    .evaluateAll((spots) => spots.map((each) => (each as HTMLElement).dataset.spot ?? '').sort());

interface Impact {
  total: number;
  counts: { byWhen: { when: string; count: number }[] };
  columns: { key: string[]; when: string[] };
}

async function impact(page: Page, kinds: string[] = []): Promise<Impact> {
  const { lineage } = await ask<{ lineage: Impact }>(
    page.request,
    `query ($start: ID!, $kinds: [AssetKind!]!) {
      lineage(start: $start, select: { kinds: $kinds }) {
        ... on Lineage { total columns counts { byWhen { when count } } }
      }
    }`,
    { start: COLUMN, kinds },
  );
  return lineage;
}

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme });

    test('search, asset, impact, and why', async ({ page }) => {
      const finish = await watch(page);
      await page.goto('/');
      const search = page.getByRole('combobox', { name: 'Search assets' });
      await expect(search).toBeFocused();
      await expect(graph(page)).toHaveCount(0);

      await page.keyboard.type('flavanoids');
      await expect(page.getByRole('option').first()).toContainText('flavanoids');
      await page.keyboard.press('Enter');
      await expect(page).toHaveURL(ADDRESS);
      await expect(page.getByRole('heading', { level: 1 })).toHaveText('flavanoids');

      // The whole answer, in the words of the headline and of the list.
      const all = await impact(page);
      const historic = all.counts.byWhen.find(({ when }) => when === 'HISTORIC')?.count ?? 0;
      const shown = all.total - historic;
      const total = `${all.total} assets`;
      await expect(page.getByTestId('count')).toHaveText(
        historic > 0 ? `${shown} of ${total}` : total,
      );
      const consumers = (await impact(page, ['CONSUMER'])).columns.key;
      await expect(page.getByTestId('sentence')).toContainText(`${consumers.length} consumers`);
      await expect(page.getByTestId('sentence')).toContainText('complete');

      // One filter for both.
      await page.getByRole('button', { name: /^consumers/ }).click();
      await expect(page.getByTestId('count')).toContainText(`${consumers.length} of ${total}`);
      await expect(list(page).locator('[data-key]')).toHaveCount(consumers.length);
      expect(await keys(page)).toEqual([...consumers, COLUMN].sort());

      // One selection for both, with what proves it.
      const chosen = 'consumer:cellar/web-shop';
      await row(page, chosen).click();
      await expect(spot(page, chosen)).toHaveAttribute('aria-pressed', 'true');
      const { paths } = await ask<{ paths: { paths: { length: number }[] } }>(
        page.request,
        `query ($source: ID!, $target: ID!) {
          paths(source: $source, target: $target) { ... on Paths { paths { length } } }
        }`,
        { source: COLUMN, target: chosen },
      );
      const steps = page.getByTestId('way').locator('.evidence');
      await expect(steps).toHaveCount(paths.paths[0]?.length ?? 0);
      await expect(steps.first()).toContainText('by manifest:cellar/data');

      const other = 'consumer:cellar/crate-sorter';
      await spot(page, other).click();
      await expect(row(page, other)).toHaveAttribute('aria-pressed', 'true');
      await expect(row(page, chosen)).toHaveAttribute('aria-pressed', 'false');

      // A link shows a colleague the same.
      const before = await keys(page);
      await page.reload();
      await expect(row(page, other)).toHaveAttribute('aria-pressed', 'true');
      await expect(spot(page, other)).toHaveAttribute('aria-pressed', 'true');
      expect(await keys(page)).toEqual(before);
      finish();
    });

    test('an alert, from the list to its cause and its consumers', async ({ page }) => {
      const finish = await watch(page);
      const alert = raised.find(({ title }) => title.includes('flavanoid_share')) ?? raised[0];
      if (!alert) throw new Error('There is no alert');
      await page.goto('/alerts');
      await page.getByRole('link', { name: alert.title }).click();
      await expect(page.getByRole('heading', { level: 1 })).toHaveText(alert.title);

      const { asset } = await ask<{
        asset: {
          causes: { asset: { id: string } }[];
          consumers: { nodes: { id: string; title: string }[] };
        };
      }>(
        page.request,
        `query ($id: ID!) { asset(key: $id) { ... on Alert {
          causes { asset { id } } consumers { nodes { id title } }
        } } }`,
        { id: alert.id },
      );
      const affected = page.getByRole('region', { name: 'Who is affected' });
      for (const { title } of asset.consumers.nodes) {
        await expect(affected.getByRole('link', { name: title, exact: true })).toBeVisible();
      }
      for (const { id } of asset.consumers.nodes) await expect(spot(page, id)).toBeAttached();
      await expect(spot(page, asset.causes[0]?.asset.id ?? '')).toBeAttached();
      finish();
    });

    test('nothing on any screen is out of reach', async ({ page }) => {
      test.slow();
      for (const address of [
        '/',
        `${ADDRESS}?selected=consumer:cellar/web-shop`,
        `${ADDRESS}?tab=facts`,
        '/n/deployment:cellar/cultivar-api?tab=history',
        '/alerts',
        `/alerts/${raised[0]?.id}`,
      ]) {
        await page.goto(address);
        await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
        await expect(page.locator('.pending')).toHaveCount(0);
        const { violations } = await new AxeBuilder({ page }).analyze();
        expect(violations, `${address}: ${JSON.stringify(violations, null, 1)}`).toEqual([]);
      }
    });
  });
}

test('the graph is walked by keyboard', async ({ page }) => {
  await page.goto(`${ADDRESS}?kind=deployment,consumer`);
  await expect(spot(page, COLUMN)).toHaveAttribute('tabindex', '0');
  await expect(graph(page).locator('[data-spot][tabindex="0"]')).toHaveCount(1);

  await spot(page, COLUMN).focus();
  await page.keyboard.press('ArrowRight');
  const reached = await page.evaluate(() => (document.activeElement as HTMLElement).dataset.spot);
  expect(reached).toMatch(/^(deployment|consumer):/);
  await page.keyboard.press('Space');
  await expect(row(page, reached ?? '')).toHaveAttribute('aria-pressed', 'true');
  await page.keyboard.press('Escape');
  await expect(page).not.toHaveURL(/selected=/);
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(`/n/${reached}`);

  await page.locator('body').press('/');
  await expect(page.getByRole('combobox', { name: 'Search assets' })).toBeFocused();
});

test('what happens to an alert is seen without loading anew', async ({ page }) => {
  const alert = raised.at(-1);
  if (!alert) throw new Error('There is no alert');
  await page.goto('/alerts');
  const line = page.getByRole('listitem').filter({ hasText: alert.title });
  await expect(line).toContainText(alert.state.toLowerCase());
  await ask(page.request, 'mutation ($id: ID!) { acknowledgeAlert(id: $id) { __typename } }', {
    id: alert.id,
  });
  await expect(line).toContainText('acknowledged');

  await line.getByRole('link', { name: alert.title }).click();
  await page.getByRole('button', { name: 'Resolve' }).click();
  await expect(page.getByText('The alert is resolved.')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Resolve' })).toHaveCount(0);
  await page.goto('/alerts?state=resolved');
  await expect(page.getByRole('link', { name: alert.title })).toBeVisible();
});

test('a service with tokens is asked for one, once', async ({ page }) => {
  const seen: (string | undefined)[] = [];
  await page.route('/graphql', async (route) => {
    const headers = route.request().headers();
    seen.push(headers.authorization);
    if (headers.authorization !== 'Bearer hw_right') {
      await route.fulfill({ status: 401, json: { errors: [{ message: 'no token' }] } });
      return;
    }
    const { authorization: _, ...rest } = headers;
    await route.continue({ headers: rest });
  });
  const frames: string[] = [];
  page.on('websocket', (socket) => {
    socket.on('framesent', (frame) => frames.push(String(frame.payload)));
  });
  await page.goto(ADDRESS);
  const dialog = page.getByRole('dialog', { name: 'A token is needed' });
  await dialog.getByLabel('Token').fill('hw_wrong');
  await page.keyboard.press('Enter');
  await expect(dialog.getByRole('alert')).toContainText('does not accept');
  await dialog.getByLabel('Token').fill('hw_right');
  await page.keyboard.press('Enter');
  await expect(page.getByTestId('sentence')).toBeVisible();
  await expect(dialog).toBeHidden();

  await page.reload();
  await expect(page.getByTestId('sentence')).toBeVisible();
  await expect(dialog).toBeHidden();
  await expect.poll(() => frames.some((frame) => frame.includes('Bearer hw_right'))).toBe(true);
  expect(seen).toContain(undefined);
});

test('what is unknown or nowhere is said so', async ({ page }) => {
  await page.goto('/n/dataset:w/nothing');
  await expect(page.getByRole('alert')).toContainText('dataset:w/nothing');
  await page.goto('/n/%25');
  await expect(page.getByRole('alert')).toBeVisible();
});

test('stored text with markup is shown as text', async ({ page }) => {
  const finish = await watch(page);
  const name = `<img src=x onerror=x>-${Date.now()}`;
  await ask(
    page.request,
    `mutation ($name: String!) {
      registerDataset(input: { namespace: "markup", name: $name, description: "<b>bold</b>" }) { __typename }
    }`,
    { name },
  );
  await page.goto(`/n/dataset:markup/${encodeURIComponent(encodeURIComponent(name))}?tab=facts`);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(name);
  await expect(page.getByText('<b>bold</b>').first()).toBeVisible();
  finish();
});
