/**
 * Preloaded into a host (node --import): kills it with SIGKILL at the n-th time that a labelled step
 * is passed, by any agent or by the one that is named. KILL_AT is `step`, `step:n` or `step@agent`.
 */
import { subscribe } from 'node:diagnostics_channel';

const [place = '', count = '1'] = (process.env.KILL_AT ?? '').split(':');
const [wanted, wantedAgent] = place.split('@');
let left = Number(count);

subscribe('nanoclaw:step', ({ name, agent }) => {
  if (name !== wanted || (wantedAgent !== undefined && agent !== wantedAgent)) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
});
