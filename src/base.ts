/** What most parts of the host are given. */
import type { Config, Limits } from './config.ts';
import type { Store } from './db.ts';
import type { Log } from './log.ts';
import type { Clock } from './types.ts';

export interface Base {
  config: Config;
  limits: Limits;
  clock: Clock;
  log: Log;
  store: Store;
}
