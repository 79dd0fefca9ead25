/** The channels there are. A further one is one file here and one entry below. */
import type { Server } from 'node:net';
import { TerminalChannel } from '../channels/terminal/channel.ts';
import type { Config } from './config.ts';
import type { Log } from './log.ts';
import type { Channel, ChannelHost, ChatId } from './types.ts';

export interface ChannelContext {
  host: ChannelHost;
  config: Config;
  log: Log;
  /** The local socket on which terminals attach. */
  socket: Server;
}

export function createChannels(context: ChannelContext): Channel[] {
  return [new TerminalChannel(context)];
}

/** The channel that owns a chat: the one named by the part before the colon. */
export function channelOf(channels: readonly Channel[], chatId: ChatId): Channel | undefined {
  const name = chatId.slice(0, chatId.indexOf(':'));
  return channels.find((channel) => channel.name === name);
}
