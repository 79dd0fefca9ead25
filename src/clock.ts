/** The clock of the machine, and work that repeats by any clock. */
import type { Log } from './log.ts';
import type { Clock } from './types.ts';

/** Node's timers fire at once if the delay is longer: https://nodejs.org/api/timers.html */
const timerMaxMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, fire) => {
    let timer: NodeJS.Timeout;
    const wait = (leftMs: number) => {
      const again = () => wait(leftMs - timerMaxMs);
      timer = leftMs > timerMaxMs ? setTimeout(again, timerMaxMs) : setTimeout(fire, leftMs);
    };
    wait(delayMs);
    return () => clearTimeout(timer);
  },
};

/**
 * Calls `work` at once and then every `ms` milliseconds. What it throws is logged, because the next
 * time may be better. Returns a function that stops it.
 */
export function every(
  { clock, log }: { clock: Clock; log: Log },
  ms: number,
  work: () => void,
): () => void {
  let cancel = () => {};
  const round = () => {
    cancel = clock.after(ms, round);
    try {
      work();
    } catch (error) {
      log.error({ err: error }, 'a sweep failed');
    }
  };
  round();
  return () => cancel();
}
