/**
 * The way out. The messages of a chat are delivered in order, and each stays in the store until the
 * channel's server has acknowledged or refused it. Knows nothing of agents.
 */
import { randomUUID } from 'node:crypto';
import type { Base } from './base.ts';
import {
  endOutbound,
  findNextPending,
  listPending,
  listPendingChats,
  saveOutbound,
} from './db/outbox.ts';
import { splitText } from './format.ts';
import { step } from './log.ts';
import type { Channel, ChatId, OutboundContent, OutboundMessage } from './types.ts';

export interface OutboxDependencies extends Omit<Base, 'config'> {
  channelOf(chatId: ChatId): Channel | undefined;
  /** Called for each message that waits to be delivered, again at every flush. */
  leaving(message: OutboundMessage): void;
  /** Called once a message is acknowledged or refused. */
  delivered(chatId: ChatId): void;
  refused(message: OutboundMessage, reason: string): void;
}

const defaultTextMax = 4000;
/** Pending messages of a chat that one flush shows to mirrors, the newest. */
const leavingMax = 100;

export class Outbox {
  readonly #deps: OutboxDependencies;
  /** Chats with a delivery in progress, and the function that ends its wait for a retry. */
  readonly #busy = new Map<ChatId, () => void>();
  #closed = false;

  constructor(deps: OutboxDependencies) {
    this.#deps = deps;
  }

  /**
   * Stores content in the caller's transaction; delivery starts after the commit. A text longer
   * than the channel's `textMax` becomes several messages.
   */
  add(chatId: ChatId, content: OutboundContent, turnId: number | null = null): void {
    const { store, channelOf } = this.#deps;
    const textMax = channelOf(chatId)?.textMax ?? defaultTextMax;
    for (const piece of piecesOf(content, textMax))
      saveOutbound(store, { ...piece, id: randomUUID(), chatId }, turnId);
    store.afterCommit(() => this.flush(chatId));
  }

  flushAll(): void {
    for (const chatId of listPendingChats(this.#deps.store)) this.flush(chatId);
  }

  /** Starts to deliver what is pending; a retry that waits is made at once. Waits for nothing. */
  flush(chatId: ChatId): void {
    for (const message of listPending(this.#deps.store, chatId, leavingMax))
      this.#deps.leaving(message);
    const wake = this.#busy.get(chatId);
    if (wake) wake();
    else if (!this.#closed) void this.#deliverAll(chatId);
  }

  /** Starts no further delivery. */
  close(): void {
    this.#closed = true;
    for (const wake of this.#busy.values()) wake();
  }

  async #deliverAll(chatId: ChatId): Promise<void> {
    this.#busy.set(chatId, () => {});
    for (let failures = 0; !this.#closed; ) {
      const message = findNextPending(this.#deps.store, chatId);
      if (!message) break;
      failures = (await this.#deliver(message, failures)) ? 0 : failures + 1;
      if (failures > 0) await this.#wait(chatId, failures);
    }
    // Nothing is awaited since the query found no message, so no flush is missed.
    this.#busy.delete(chatId);
  }

  /** False while the channel is down. */
  async #deliver(message: OutboundMessage, failures: number): Promise<boolean> {
    const { store, log, clock, channelOf, delivered, refused } = this.#deps;
    const { chatId, id } = message;
    try {
      const delivery = await channelOf(chatId)?.deliver(message);
      if (!delivery) throw new Error('no channel owns the chat');
      step(log, 'delivery-sent', { chatId, id });
      endOutbound(store, id, delivery.kind, clock.now());
      step(log, 'delivery-recorded', { chatId, id });
      if (delivery.kind === 'refused') refused(message, delivery.reason);
      delivered(chatId);
      return true;
    } catch (error) {
      // A long outage is reported ever less often: after 4, 8, 16 and so on failures.
      const level = failures > 2 && Number.isInteger(Math.log2(failures)) ? 'warn' : 'debug';
      log[level]({ chatId, id, failures, err: error }, 'delivery failed, the message is kept');
      return false;
    }
  }

  #wait(chatId: ChatId, failures: number): Promise<void> {
    const delays = this.#deps.limits.deliveryDelaysMs;
    const delayMs = delays[failures - 1] ?? delays.at(-1) ?? 0;
    return new Promise((resolve) => {
      const cancel = this.#deps.clock.after(delayMs, resolve);
      this.#busy.set(chatId, () => {
        cancel();
        resolve();
      });
    });
  }
}

/** The file and the quote go with the first piece. An empty text becomes no message. */
function piecesOf(content: OutboundContent, textMax: number): OutboundContent[] {
  if (content.kind === 'reaction') return [content];
  const [first = '', ...rest] = splitText(content.text, textMax);
  if (!first && content.kind === 'text') return [];
  const more = rest.map((text) => ({ kind: 'text' as const, text, about: null }));
  return [{ ...content, text: first }, ...more];
}
