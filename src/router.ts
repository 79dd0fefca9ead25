/**
 * The way in for what people say. Stores each message before anything else happens to it, and
 * decides whom it is for: the host (a command), the chat's agent, or nobody yet (context). Runs no
 * turn.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
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
import { imageType } from './image-type.ts';
import { step } from './log.ts';
import type { Outbox } from './outbox.ts';
import { type Outcome, settle } from './outcome.ts';
import { createInside, readInside, removeInside } from './safe-open.ts';
import { clip, fileName, quoted } from './text.ts';
import {
  type Amendment,
  type Attachment,
  type ChatId,
  type Group,
  type InboundMessage,
  type IncomingAttachment,
  type Owner,
  UserError,
} from './types.ts';

export interface RouterDependencies extends Base {
  outbox: Outbox;
  owner: Owner;
  findCommand: FindCommand;
  wake(agentId: string): void;
}

interface Arrival {
  message: NewMessage;
  /** It would have woken the agent, but it is too late for an answer. */
  isStale: boolean;
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
    for (const message of messages) {
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

  /** Commits a command and its answer at once. Files that come with it are not kept. */
  async #carryOut(message: InboundMessage): Promise<void> {
    const { store, clock, outbox } = this.#deps;
    const { chatId, sentAtMs } = message;
    const decide = this.#findCommand(message);
    if (!decide) return;
    const stored = storable(message, this.#cut(message.text), 'command');
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

  #findCommand(message: InboundMessage): (() => Outcome) | undefined {
    const { store, findCommand } = this.#deps;
    // First, since it asks no store: nearly every message is none.
    const carryOut = message.isContext && !message.reaction ? undefined : findCommand(message);
    if (!carryOut || this.#isLate(message)) return undefined;
    const group = findAgentByInbox(store, message.chatId)?.group;
    return group && mayTrigger(message, group) ? () => carryOut(group) : undefined;
  }

  async #receive(messages: InboundMessage[], receipt: Receipt): Promise<void> {
    const { store, clock, limits, wake } = this.#deps;
    const { chatId } = receipt;
    const agent = findAgentByInbox(store, chatId);
    const arrivals: Arrival[] = [];
    for (const message of messages)
      if (agent && !findMessage(store, chatId, message.id))
        arrivals.push(await this.#prepare(message, agent.group));
    store.transaction(() => {
      for (const { sentAtMs } of messages) noteChat(store, chatId, null, sentAtMs);
      if (!agent) return;
      const fresh = arrivals.filter(({ message }) => {
        if (receipt.isStopped && message.role === 'wakes') message.role = 'context';
        const isFresh = saveMessage(store, message, clock.now());
        if (isFresh) this.#noteStored(message);
        if (isFresh && message.role === 'wakes') store.afterCommit(() => wake(agent.id));
        return isFresh;
      });
      trimContext(store, chatId, limits.contextMessagesMax, clock.now());
      this.#tellStale(agent.group, fresh);
    });
  }

  #noteStored({ chatId, id }: NewMessage): void {
    const { store, log } = this.#deps;
    store.afterCommit(() => step(log, 'message-stored', { chatId, id }));
  }

  async #amend(amendment: Amendment, receipt: Receipt): Promise<void> {
    const { store, clock, config, wake } = this.#deps;
    const { chatId, id, messageId, senderId, text, sentAtMs } = amendment;
    const message = findMessage(store, chatId, messageId);
    const agent = findAgentByInbox(store, chatId);
    if (!message || !agent || message.sender.kind !== 'person') return;
    const { id: authorId, name: senderName } = message.sender;
    if (senderId !== null && senderId !== authorId) return;
    if (text === null) {
      emptyMessage(store, message.seq, clock.now());
      const dir = join(config.groupsDir, agent.group.folder);
      for (const { groupPath } of message.attachments) removeInside(dir, groupPath);
    } else if (message.isPrompted) {
      const isAddressed = message.role === 'wakes';
      const edited: InboundMessage = {
        chatId,
        id,
        senderId: authorId,
        senderName,
        text: `[edited] ${text}`,
        sentAtMs,
        quote: { messageId, senderName, text: message.text },
        attachments: [],
        isAddressed,
        isContext: !isAddressed,
      };
      await this.#receive([edited], receipt);
    } else {
      const isMute = receipt.isStopped || this.#isLate({ sentAtMs });
      const calls = !isMute && this.#isCall({ senderId: authorId, text }, agent.group);
      const role = calls ? 'wakes' : message.role;
      editMessage(store, message.seq, this.#cut(text), role);
      if (role === 'wakes') wake(agent.id);
    }
  }

  /** Whether the message wakes the group's agent, by its sender and its text. */
  #isCall(message: Caller, group: Group): boolean {
    if (message.isContext || !mayTrigger(message, group)) return false;
    if (group.isMain || !group.requiresTrigger || message.isAddressed) return true;
    return mentions(message.text, this.#deps.config.assistantName);
  }

  #isLate({ sentAtMs }: Pick<InboundMessage, 'sentAtMs'>): boolean {
    const { clock, limits } = this.#deps;
    return clock.now() - sentAtMs > limits.staleMessageMs;
  }

  #tellStale({ folder, name }: Group, arrivals: Arrival[]): void {
    const { limits, owner } = this.#deps;
    const stale = arrivals.filter(({ isStale }) => isStale);
    const last = stale.at(-1);
    if (!last) return;
    const text = `${stale.length} messages in ${quoted(name)} came more than ${limits.staleMessageMs / 3_600_000} hours late. I have read them but answer only if asked again.`;
    owner.tell(text, { key: `late ${folder} ${last.message.id}` });
  }

  async #prepare(message: InboundMessage, group: Group): Promise<Arrival> {
    const { limits } = this.#deps;
    const calls = this.#isCall(message, group);
    const isStale = calls && this.#isLate(message);
    const offered = message.attachments.slice(0, limits.attachmentsMax);
    const kept = await Promise.all(offered.map((file) => this.#keep(file, group)));
    const problems = kept.filter((file) => typeof file === 'string');
    const text = [this.#cut(message.text), ...problems].join('\n');
    const role = calls && !isStale ? 'wakes' : 'context';
    const attachments = kept.filter((file) => typeof file !== 'string');
    return { isStale, message: { ...storable(message, text, role), attachments } };
  }

  /**
   * Saves a file in the group's folder. Resolves to a line for the prompt when it cannot be saved.
   */
  async #keep(file: IncomingAttachment, group: Group): Promise<Attachment | string> {
    const { config, limits, log, clock } = this.#deps;
    const { name, mime } = file;
    const day = new Date(clock.now()).toISOString().slice(0, 10);
    const groupPath = `media/${day}-${randomUUID().slice(0, 8)}-${fileName(name)}`;
    const dir = join(config.groupsDir, group.folder);
    const bytesMax = limits.attachmentBytesMax;
    try {
      // The group may not have had a run yet.
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      const sizeBytes = await createInside(dir, groupPath, await file.open(), {
        bytesMax,
        timeoutMs: limits.attachmentTimeoutMs,
        uid: group.uid,
      });
      const isImage = imageType(readInside(dir, groupPath, { bytesMax, first: 64 }));
      const kind = file.kind === 'image' && !isImage ? 'document' : file.kind;
      return { kind, groupPath, name, mime, sizeBytes };
    } catch (error) {
      log.warn({ err: error, group: group.folder, name }, 'an attachment was not kept');
      const problem = error instanceof UserError ? error.message : 'it could not be read';
      return `[${file.kind} ${name} is missing: ${problem}]`;
    }
  }

  /** Clips a text. Replaces null characters too, because SQLite would end the text there. */
  #cut(original: string): string {
    const max = this.#deps.limits.messageTextMax;
    const text = original.replaceAll('\0', '\uFFFD');
    const more = text.length - max;
    return more > 0 ? `${clip(text, max, '')}\n[${more} more characters were cut]` : text;
  }
}

type Caller = Pick<InboundMessage, 'senderId' | 'text' | 'isAddressed' | 'isContext'>;

/** Everybody may in the main chat, so that the owner cannot be locked out. */
function mayTrigger({ senderId }: Caller, { isMain, triggeredBy }: Group): boolean {
  return isMain || triggeredBy === null || triggeredBy.includes(senderId);
}

function storable(message: InboundMessage, text: string, role: NewMessage['role']): NewMessage {
  const { chatId, id, senderId, senderName, sentAtMs, quote = null } = message;
  const sender = { kind: 'person', id: senderId, name: senderName } as const;
  return { chatId, id, sender, text, sentAtMs, quote, attachments: [], role };
}
