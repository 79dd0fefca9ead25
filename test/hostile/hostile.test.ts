import { deviceChecks } from './devices.ts';
import { fileChecks } from './files.ts';
import { kernelChecks } from './kernel.ts';
import { networkChecks } from './network.ts';
import { processChecks } from './processes.ts';
import { hostileSuite } from './suite.ts';

hostileSuite('a hostile agent', [
  ...fileChecks,
  ...kernelChecks,
  ...processChecks,
  ...deviceChecks,
  ...networkChecks,
]);
