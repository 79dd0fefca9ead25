import os from 'node:os';
import { expect, test } from 'vitest';
import { needsInternet } from './internet.ts';

test('x', needsInternet, () => {
  expect(os.networkInterfaces().lo?.length).toBe(3);
});
