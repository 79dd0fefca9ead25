/**
 * Which files are tests, and how many run at once. Real processes and containers need long limits.
 */
import { defineConfig } from 'vitest/config';
import { testPool } from './scripts/test-pool.mjs';

const shared = {
  pool: await testPool(),
  testTimeout: 60_000,
  hookTimeout: 60_000,
  expect: { poll: { timeout: 20_000 } },
};
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
        // After the others and one at a time: an attack may use up its user’s share of the machine.
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
