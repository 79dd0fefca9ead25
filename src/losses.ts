/**
 * What is said about messages that a channel's server has refused: to the agent that wrote them, to
 * the owner, and to the chat with the next message that gets through. Each hears of a cause once.
 */
import { type Agents, theHost } from './agents.ts';
import type { Base } from './base.ts';
import { findMainGroup } from './db/groups.ts';
import { findTurnOf, takeRefusals, wordsOf } from './db/outbox.ts';
import { clip } from './text.ts';
import type { ChatId, OutboundMessage, Owner } from './types.ts';

const beginningMax = 80;
const perDayMax = 5;

export interface LossDependencies extends Base {
  agents: Agents;
  owner: Owner;
}

/** Joins the transaction that records the refusal. */
export function noteLoss(
  { store, log, agents, owner }: LossDependencies,
  message: OutboundMessage,
  reason: string,
): void {
  const { id, chatId } = message;
  log.error({ chatId, id, reason }, 'the server refused a message');
  const author = findTurnOf(store, id);
  if (author)
    agents.post(author.agentId, {
      id: `refused ${author.turnId} ${reason}`,
      sender: theHost,
      text: `A message of yours was not delivered: ${reason} It began: ${clip(wordsOf(message), beginningMax)}`,
      isContext: true,
    });
  // In main itself it would be refused as well.
  if (findMainGroup(store)?.chatId === chatId) return;
  const atMost = {
    topic: 'refused',
    perDay: perDayMax,
    last: 'Messages to further chats were refused today. My log has all of them.',
  };
  const text = `A message to ${chatId} was refused: ${reason}`;
  owner.tell(text, { key: `refused ${chatId} ${reason}`, atMost });
}

/** Joins the transaction that records a delivery to the chat. */
export function tellLosses({ store, clock, owner }: LossDependencies, chatId: ChatId): void {
  for (const [reason, count] of takeRefusals(store, chatId, clock.now())) {
    const what = count === 1 ? 'A message of mine' : `${count} messages of mine`;
    const text = `${what} did not get through here: ${reason}`;
    owner.tell(text, { key: `lost ${chatId} ${reason}`, chatId });
  }
}
