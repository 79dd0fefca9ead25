/** What is a test, and how many run at once. Real processes and containers need long limits. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{src,container,channels,runtimes,cli,demo,test,scripts}/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
