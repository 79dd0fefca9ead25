/**
 * Preloaded into a host (node --import). Collects garbage on SIGUSR2, so that readings of the
 * memory count only what the host keeps.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
process.on('SIGUSR2', () => collect());
