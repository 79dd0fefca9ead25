/** What is a test, and how many run at once. Real processes and containers need long limits. */
import { defineConfig } from 'vitest/config';
import { testPool } from './scripts/test-pool.mjs';

const shared = { pool: await testPool(), testTimeout: 60_000, hookTimeout: 60_000 };
const hostile = 'test/hostile/**/*.test.ts';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...shared,
          name: 'all',
          include: ['{src,container,test,scripts}/**/*.test.ts'],
          exclude: [hostile, 'node_modules'],
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // After the others, one at a time: what an attack takes from its user, no other test misses.
        test: {
          ...shared,
          name: 'hostile',
          include: [hostile],
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
