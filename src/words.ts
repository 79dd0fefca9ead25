/**
 * Whose words a message holds. Bounds and cleans what others chose, and believes of a quote only what
 * our own store knows: whoever quotes could show any text as anybody's.
 */
import type { Base } from './base.ts';
import { findMessage } from './db/messages.ts';
import { findSaid } from './db/outbox.ts';
import { boundedId, clip, plainName } from './text.ts';
import type { ChatId, InboundMessage, Mention, Quote, QuoteClaim, Words } from './types.ts';

const mentionsMax = 20;

/** Whether the sender wrote the text. */
export function isOwnText({ origin }: Pick<Words, 'origin'>): boolean {
  return origin === 'typed' || origin === 'caption';
}

/** The message with id, name and mentions as the store keeps them. */
export function cleaned<Message extends InboundMessage>(message: Message): Message {
  const senderName = plainName(message.senderName) || 'no name';
  return { ...message, id: boundedId(message.id), senderName, mentions: plainMentions(message) };
}

export function plainMentions({ mentions }: Pick<Words, 'mentions'>): Mention[] {
  return mentions.slice(0, mentionsMax).map((each) => ({ ...each, name: plainName(each.name) }));
}

export function checkQuote(
  { store, config, limits }: Pick<Base, 'store' | 'config' | 'limits'>,
  chatId: ChatId,
  claim: QuoteClaim,
): Quote {
  const messageId = boundedId(claim.messageId);
  const ours = claim.isOfAssistant ? findSaid(store, chatId, messageId) : undefined;
  const theirs = findMessage(store, chatId, messageId);
  let quote: Quote = {
    messageId,
    senderName: plainName(claim.senderName),
    text: claim.text,
    source: 'claim',
  };
  if (ours)
    quote = { messageId, senderName: config.assistantName, text: ours.text, source: 'assistant' };
  else if (theirs?.sender.kind === 'person') {
    const files = theirs.attachments.map(({ kind }) => `[${kind}]`);
    const text = [...files, theirs.text].join(' ').trim();
    quote = { messageId, senderName: theirs.sender.name, text, source: 'person' };
  }
  return { ...quote, text: clip(quote.text, limits.quoteTextMax) };
}
