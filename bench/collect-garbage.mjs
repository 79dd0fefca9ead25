/**
 * Preloaded into a host (node --import): collects its garbage at SIGUSR2, so that two readings
 * of its memory compare what it keeps.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
process.on('SIGUSR2', () => collect());
