/** All checks that run in one conversation. */
import type { Check } from './check.ts';
import { deviceChecks } from './devices.ts';
import { fileChecks } from './files.ts';
import { kernelChecks } from './kernel.ts';
import { networkChecks } from './network.ts';
import { processChecks } from './processes.ts';

export const allChecks: Check[] = [
  ...fileChecks,
  ...kernelChecks,
  ...processChecks,
  ...deviceChecks,
  ...networkChecks,
];
