import { fileURLToPath } from 'node:url';
import { expect, type Page, test } from '@playwright/test';
import { ADDRESS, alerts } from '../tests/demonstration';

const folder = fileURLToPath(new URL('../../docs/pictures/', import.meta.url));

/** After what moves has come to rest. */
async function take(page: Page, name: string): Promise<void> {
  await expect(page.locator('.pending')).toHaveCount(0);
  await page.waitForLoadState('networkidle');
  await page.screenshot({ path: `${folder}${name}.png`, animations: 'disabled' });
}

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(colorScheme, () => {
    test.use({
      colorScheme,
      viewport: { width: 1600, height: 900 },
      contextOptions: { reducedMotion: 'reduce' },
    });

    test('the screens', async ({ page, request }) => {
      const alert = (await alerts(request)).find(({ title }) => title.includes('flavanoid'));
      await page.goto('/');
      await take(page, `explorer-home-${colorScheme}`);
      await page.goto(
        `${ADDRESS}?kind=feature,deployment,consumer&selected=consumer:cellar/web-shop`,
      );
      await expect(page.getByTestId('way')).toBeVisible();
      await page.getByRole('button', { name: 'Show all' }).click();
      await take(page, `explorer-impact-${colorScheme}`);
      await page.setViewportSize({ width: 1440, height: 1300 });
      await page.goto(`/alerts/${alert?.id}`);
      await expect(page.getByTestId('graph')).toBeVisible();
      await take(page, `explorer-alert-${colorScheme}`);
    });
  });
}
