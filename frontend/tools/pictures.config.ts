/** `HEADWATER_URL=… npm run pictures` takes the pictures of the documentation from a running demonstration. */
import { defineConfig } from '@playwright/test';
import shared from '../playwright.config';

const { webServer: _, ...rest } = shared;

export default defineConfig({ ...rest, testDir: '.', testMatch: 'pictures.ts' });
