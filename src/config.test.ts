import { expect, test } from 'vitest';
import { defaultLimits, limitsFor, loadConfig } from './config.ts';

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

test.each(['two words', 'späte', 'two\u0007'])(
  'a credential that no header can hold is refused: %j',
  (key) => {
    expect(() => loadConfig({ ANTHROPIC_API_KEY: key }, '/nowhere')).toThrow(
      /cannot be used.*ASCII/s,
    );
  },
);
