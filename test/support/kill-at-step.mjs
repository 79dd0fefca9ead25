/**
 * Preloaded into a host (node --import): kills it with SIGKILL at the n-th time that a
 * message passes a labelled step, named by KILL_AT as `step` or `step:n`.
 */
import { subscribe } from 'node:diagnostics_channel';

const [wanted, count = '1'] = (process.env.KILL_AT ?? '').split(':');
let left = Number(count);

subscribe('nanoclaw:step', ({ name }) => {
  if (name !== wanted) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
});
