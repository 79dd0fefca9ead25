/** What is a test, and how many run at once. Real processes and containers need long limits. */
import { defineConfig } from 'vitest/config';
import { testPool } from './scripts/test-pool.mjs';

export default defineConfig({
  test: {
    include: ['{src,container,channels,runtimes,egress,cli,demo,test,scripts}/**/*.test.ts'],
    pool: await testPool(),
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
