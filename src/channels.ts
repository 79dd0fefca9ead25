/** The channels there are. A further one is a folder in channels/ and one entry below. */
import type { ChannelContext } from './base.ts';
import { TerminalChannel } from './channels/terminal/channel.ts';
import { isLinked } from './channels/whatsapp/linked.ts';
import type { Config } from './config.ts';
import type { Channel, ChatId } from './types.ts';

export type CreateChannels = (context: ChannelContext) => Channel[];

/** Loads those that are set up; what they need of memory and time is not spent otherwise. */
export async function loadChannels(config: Config): Promise<CreateChannels> {
  if (!isLinked(config)) return (context) => [new TerminalChannel(context)];
  const { WhatsAppChannel } = await import('./channels/whatsapp/channel.ts');
  return (context) => [new TerminalChannel(context), new WhatsAppChannel(context)];
}

/** The channel that owns a chat: the one named by the part before the colon. */
export function channelOf(channels: readonly Channel[], chatId: ChatId): Channel | undefined {
  const name = chatId.slice(0, chatId.indexOf(':'));
  return channels.find((channel) => channel.name === name);
}
