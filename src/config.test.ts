import { expect, test } from 'vitest';
import { defaultLimits, limitsFor } from './config.ts';

const gibibyte = 1024 ** 3;

test.each([
  ['a small machine keeps two', 0.5, 1, 2],
  ['memory is what counts', 3.9, 8, 3],
  ['processors are what counts', 64, 2, 8],
  ['a large machine stops at sixteen', 512, 128, 16],
])('slots are sized by the machine: %s', (_, gibibytes, processors, containersMax) => {
  const limits = limitsFor({ memoryBytes: gibibytes * gibibyte, processors });
  expect(limits).toEqual({ ...defaultLimits, containersMax });
});
