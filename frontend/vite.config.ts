import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  plugins: [react()],
  worker: { format: 'es' },
  build: {
    outDir: path('../app/http/static'),
    emptyOutDir: true,
    // The content security policy allows no data: script, worker or style.
    assetsInlineLimit: 0,
    // Monaco alone is larger than the default limit.
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      // Directives for the compiler of React, of no use to anyone here.
      checks: { moduleLevelDirective: false },
      input: { index: path('index.html'), graphiql: path('graphiql.html') },
    },
  },
  server: {
    proxy: {
      '/graphql': { target: process.env.HEADWATER_URL ?? 'http://localhost:8321', ws: true },
    },
  },
});
