/** What most parts of the host are given. */
import type { Server } from 'node:net';
import type { Config, Limits } from './config.ts';
import type { Store } from './db.ts';
import type { Log } from './log.ts';
import type { ChannelHost, Clock } from './types.ts';

export interface Base {
  config: Config;
  limits: Limits;
  clock: Clock;
  log: Log;
  store: Store;
}

/** What a channel is given. */
export interface ChannelContext extends Pick<Base, 'config' | 'limits' | 'clock' | 'log'> {
  host: ChannelHost;
  /** The local socket on which terminals attach. */
  socket: Server;
}
