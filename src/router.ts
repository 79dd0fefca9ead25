/**
 * The way in for what people say. Stores each message before anything else happens to it, and
 * decides whom it is for: the host (a command), the chat's agent, or nobody yet (context). Runs no
 * turn.
 */
import { join } from 'node:path';
import type { Base } from './base.ts';
import type { FindCommand } from './commands.ts';
import { findAgentByInbox } from './db/agents.ts';
import { noteChat } from './db/groups.ts';
import {
  editMessage,
  emptyMessage,
  findMessage,
  type NewMessage,
  saveMessage,
  trimContext,
} from './db/messages.ts';
import { mentions } from './format.ts';
import { step } from './log.ts';
import type { Kept, Media } from './media.ts';
import type { Outbox } from './outbox.ts';
import { type Outcome, settle } from './outcome.ts';
import { removeInside } from './safe-open.ts';
import { boundedId, clip, quoted } from './text.ts';
import type { Amendment, ChatId, Group, InboundMessage, Owner, Quote } from './types.ts';
import { checkQuote, cleaned, isOwnText, plainMentions } from './words.ts';

export interface RouterDependencies extends Base {
  outbox: Outbox;
  owner: Owner;
  media: Media;
  findCommand: FindCommand;
  wake(agentId: string): void;
}

/** A message that calls the agent without its name. */
interface Heard extends InboundMessage {
  isAddressed?: boolean;
}

interface Arrival {
  message: Heard;
  kept: Kept;
}

/** Messages or an amendment being received. Those of one chat are committed in order. */
interface Receipt {
  chatId: ChatId;
  done: Promise<void>;
  /** Set by /stop: it is stored, but wakes nobody. */
  isStopped: boolean;
}

export class Router {
  readonly #deps: RouterDependencies;
  readonly #receipts = new Set<Receipt>();

  constructor(deps: RouterDependencies) {
    this.#deps = deps;
  }

  /**
   * Takes messages of one chat. Resolves when all are committed, in the order given. Commands are
   * carried out first, even before earlier messages whose files are still being downloaded: to a
   * command, these are on their way. A message that is stored already changes nothing. For a chat
   * without a group, only the time is stored.
   */
  async receive(messages: InboundMessage[]): Promise<void> {
    const done: Promise<void>[] = [];
    let before: InboundMessage[] = [];
    for (const message of messages.map(cleaned)) {
      if (!this.isCommand(message)) before.push(message);
      else {
        done.push(this.#accept(before), this.#carryOut(message));
        before = [];
      }
    }
    await Promise.all([...done, this.#accept(before)]);
  }

  async #accept(messages: InboundMessage[]): Promise<void> {
    const chatId = messages[0]?.chatId;
    if (messages.some((message) => message.chatId !== chatId))
      throw new Error('messages of more than one chat');
    if (chatId !== undefined)
      await this.#inOrder(chatId, (receipt) => this.#receive(messages, receipt));
  }

  /**
   * Resolves when it is committed. A deletion empties the message and removes its files. An edit
   * changes a message that is in no prompt yet; otherwise the agent gets it as a new message.
   */
  amend(amendment: Amendment): Promise<void> {
    return this.#inOrder(amendment.chatId, (receipt) => this.#amend(amendment, receipt));
  }

  /** Whether messages of the chat are still being received. */
  isReceiving(chatId: ChatId): boolean {
    return this.#receiptsOf(chatId).length > 0;
  }

  /** Messages of the chat that are still being received are stored, but wake nobody. */
  stopReceiving(chatId: ChatId): void {
    for (const receipt of this.#receiptsOf(chatId)) receipt.isStopped = true;
  }

  #receiptsOf(chatId: ChatId): Receipt[] {
    return [...this.#receipts].filter((receipt) => receipt.chatId === chatId);
  }

  async #inOrder(chatId: ChatId, work: (receipt: Receipt) => Promise<void>): Promise<void> {
    const before = this.#receiptsOf(chatId).map(({ done }) => done);
    const receipt: Receipt = { chatId, done: Promise.resolve(), isStopped: false };
    receipt.done = Promise.allSettled(before).then(() => work(receipt));
    this.#receipts.add(receipt);
    return receipt.done.finally(() => this.#receipts.delete(receipt));
  }

  /** Commits a command and its answer at once. */
  async #carryOut(message: InboundMessage): Promise<void> {
    const { store, clock, outbox } = this.#deps;
    const { chatId, sentAtMs } = message;
    const decide = this.#findCommand(message);
    if (!decide) return;
    const stored = { ...this.#storable(message), attachments: [], role: 'command' as const };
    store.transaction(() => {
      noteChat(store, chatId, null, sentAtMs);
      if (!saveMessage(store, stored, clock.now())) return;
      outbox.add(chatId, { kind: 'text', text: this.#answer(decide), about: null });
      this.#noteStored(stored);
    });
  }

  /** A command that breaks is answered too, or its channel would hand it over for ever. */
  #answer(decide: () => Outcome): string {
    const { store, log } = this.#deps;
    try {
      return settle(store, decide).text;
    } catch (error) {
      log.error({ err: error }, 'a command broke');
      return 'That failed on my side; my log says why.';
    }
  }

  isCommand(message: InboundMessage): boolean {
    return this.#findCommand(message) !== undefined;
  }

  /** Only what was typed as a message of its own can be a command, or a reaction. */
  #findCommand(message: InboundMessage): (() => Outcome) | undefined {
    const { store, findCommand } = this.#deps;
    const { chatId, origin, attachments, isContext, reaction } = message;
    const isTyped = origin === 'typed' && attachments.length === 0 && !isContext;
    if (!isTyped && !reaction) return undefined;
    // First, since it asks no store: nearly every message is none.
    const carryOut = findCommand(message);
    if (!carryOut || this.#isLate(message)) return undefined;
    const group = findAgentByInbox(store, chatId)?.group;
    return group && mayTrigger(message, group) ? () => carryOut(group) : undefined;
  }

  async #receive(messages: Heard[], receipt: Receipt): Promise<void> {
    const { store, clock, limits, media, wake } = this.#deps;
    const { chatId } = receipt;
    const agent = findAgentByInbox(store, chatId);
    const arrivals: Arrival[] = [];
    for (const message of messages)
      if (agent && !findMessage(store, chatId, message.id))
        arrivals.push({ message, kept: await media.keepAll(message.attachments, agent.group) });
    const commit = () => {
      for (const { sentAtMs } of messages) noteChat(store, chatId, null, sentAtMs);
      if (!agent) return;
      // One by one, because a message may quote the one before it.
      const stale = arrivals.filter(({ message, kept }) => {
        const stored = this.#storable(message);
        const calls = this.#isCall({ ...message, quote: stored.quote }, agent.group);
        const isStale = calls && this.#isLate(message);
        const role = calls && !isStale && !receipt.isStopped ? 'wakes' : 'context';
        const text = [stored.text, ...kept.problems].join('\n');
        const { attachments } = kept;
        const isFresh = saveMessage(store, { ...stored, text, attachments, role }, clock.now());
        if (isFresh) this.#noteStored(message);
        if (isFresh && role === 'wakes') store.afterCommit(() => wake(agent.id));
        return isFresh && isStale;
      });
      trimContext(store, chatId, limits.contextMessagesMax, clock.now());
      this.#tellStale(agent.group, stale);
    };
    // The agent begins meanwhile. If the machine dies, the channel has the message and brings it again.
    store.transaction(commit, { flush: false });
    await store.flushed();
  }

  #noteStored({ chatId, id }: Pick<NewMessage, 'chatId' | 'id'>): void {
    const { store, log } = this.#deps;
    store.afterCommit(() => step(log, 'message-stored', { chatId, id }));
  }

  async #amend(amendment: Amendment, receipt: Receipt): Promise<void> {
    const { store, clock, config, wake } = this.#deps;
    const { chatId, id, senderId, words, sentAtMs } = amendment;
    const messageId = boundedId(amendment.messageId);
    const message = findMessage(store, chatId, messageId);
    const agent = findAgentByInbox(store, chatId);
    if (!message || !agent || message.sender.kind !== 'person') return;
    const { id: authorId, name: senderName } = message.sender;
    if (senderId !== null && senderId !== authorId) return;
    if (words === null) {
      emptyMessage(store, message.seq, clock.now());
      const dir = join(config.groupsDir, agent.group.folder);
      for (const { groupPath } of message.attachments) removeInside(dir, groupPath);
      return;
    }
    // An edit makes nothing that others wrote into the sender's own words.
    const origin = isOwnText(words) ? message.origin : words.origin;
    if (message.isPrompted) {
      const isAddressed = message.role === 'wakes';
      const edited: Heard = {
        ...words,
        chatId,
        id,
        senderId: authorId,
        senderName,
        text: `[edited] ${words.text}`,
        origin,
        sentAtMs,
        quote: { messageId, senderName, text: '', isOfAssistant: false },
        attachments: [],
        isAddressed,
        isContext: !isAddressed,
      };
      await this.#receive([cleaned(edited)], receipt);
    } else {
      const isMute = receipt.isStopped || this.#isLate({ sentAtMs });
      const mentions = plainMentions(words);
      const edited = { text: this.#cut(words.text), origin, mentions };
      const calls =
        !isMute && this.#isCall({ ...edited, senderId: authorId, quote: null }, agent.group);
      const role = calls ? 'wakes' : message.role;
      editMessage(store, message.seq, edited, role);
      if (role === 'wakes') wake(agent.id);
    }
  }

  /**
   * Whether the message wakes the group's agent: by its sender, what its sender wrote, and what it
   * replies to.
   */
  #isCall(message: Caller, group: Group): boolean {
    if (message.isContext || !mayTrigger(message, group)) return false;
    if (group.isMain || !group.requiresTrigger || message.isAddressed) return true;
    if (message.origin === 'forwarded') return false;
    if (message.quote?.source === 'assistant') return true;
    return isOwnText(message) && mentions(message.text, this.#deps.config.assistantName);
  }

  #isLate({ sentAtMs }: Pick<InboundMessage, 'sentAtMs'>): boolean {
    const { clock, limits } = this.#deps;
    return clock.now() - sentAtMs > limits.staleMessageMs;
  }

  #tellStale({ folder, name }: Group, stale: Arrival[]): void {
    const { limits, owner } = this.#deps;
    const last = stale.at(-1);
    if (!last) return;
    const text = `${stale.length} messages in ${quoted(name)} came more than ${limits.staleMessageMs / 3_600_000} hours late. I have read them but answer only if asked again.`;
    owner.tell(text, { key: `late ${folder} ${last.message.id}` });
  }

  /** The message as it is stored, but for its role and its files. */
  #storable(message: InboundMessage) {
    const { chatId, id, senderId, senderName, text, origin, mentions, sentAtMs } = message;
    const sender = { kind: 'person', id: senderId, name: senderName } as const;
    const quote = message.quote ? checkQuote(this.#deps, chatId, message.quote) : null;
    return { chatId, id, sender, text: this.#cut(text), origin, mentions, sentAtMs, quote };
  }

  /** Clips a text. Replaces null characters too, because SQLite would end the text there. */
  #cut(original: string): string {
    const max = this.#deps.limits.messageTextMax;
    const text = original.replaceAll('\0', '\uFFFD');
    const more = text.length - max;
    return more > 0 ? `${clip(text, max, '')}\n[${more} more characters were cut]` : text;
  }
}

interface Caller extends Pick<Heard, 'senderId' | 'text' | 'origin' | 'isAddressed' | 'isContext'> {
  quote: Quote | null;
}

/** Everybody may in the main chat, so that the owner cannot be locked out. */
function mayTrigger(
  { senderId }: Pick<Caller, 'senderId'>,
  { isMain, triggeredBy }: Group,
): boolean {
  return isMain || triggeredBy === null || triggeredBy.includes(senderId);
}
