/**
 * The way out: messages leave in order per chat and stay until the channel's server has
 * acknowledged or refused them. Knows nothing of agents.
 */
import { randomUUID } from 'node:crypto';
import type { Base } from './base.ts';
import { endOutbound, findNextPending, listPendingChats, saveOutbound } from './db/outbox.ts';
import { splitText } from './format.ts';
import { step } from './log.ts';
import type { Channel, ChatId, OutboundFile, OutboundMessage, Quote } from './types.ts';

export interface OutboxDependencies extends Omit<Base, 'config'> {
  channelOf(chatId: ChatId): Channel | undefined;
  /** A message has left or was refused. */
  delivered(chatId: ChatId): void;
  refused(message: OutboundMessage, reason: string): void;
}

const defaultTextMax = 4000;

export class Outbox {
  readonly #deps: OutboxDependencies;
  /** Chats with a delivery under way, and how to cut short its wait for another attempt. */
  readonly #busy = new Map<ChatId, () => void>();
  #closed = false;

  constructor(deps: OutboxDependencies) {
    this.#deps = deps;
  }

  /** Puts a text and perhaps a file into the outbox, in the caller's transaction; then `flush`. */
  add(
    chatId: ChatId,
    text: string,
    extra: {
      turnId?: number | undefined;
      file?: OutboundFile | undefined;
      quote?: Quote | undefined;
    } = {},
  ): void {
    const pieces = splitText(text, this.#deps.channelOf(chatId)?.textMax ?? defaultTextMax);
    if (extra.file && pieces.length === 0) pieces.push('');
    pieces.forEach((piece, index) => {
      const { file = null, quote = null } = index === 0 ? extra : {};
      const message = { id: randomUUID(), chatId, text: piece, file, quote };
      saveOutbound(this.#deps.store, message, extra.turnId ?? null, this.#deps.clock.now());
    });
  }

  /** Delivers what is pending everywhere. */
  flushAll(): void {
    for (const chatId of listPendingChats(this.#deps.store)) this.flush(chatId);
  }

  /** Delivers what is pending in a chat; also ends the wait after a failed attempt. */
  flush(chatId: ChatId): void {
    const wake = this.#busy.get(chatId);
    if (wake) wake();
    else if (!this.#closed) void this.#deliverAll(chatId);
  }

  close(): void {
    this.#closed = true;
    for (const wake of this.#busy.values()) wake();
  }

  async #deliverAll(chatId: ChatId): Promise<void> {
    this.#busy.set(chatId, () => {});
    for (let failures = 0; !this.#closed; ) {
      const message = findNextPending(this.#deps.store, chatId);
      if (!message) break;
      failures = (await this.#deliver(message)) ? 0 : failures + 1;
      if (failures > 0) await this.#wait(chatId, failures);
    }
    // In one breath with the look that found nothing, so that no flush falls in between.
    this.#busy.delete(chatId);
  }

  /** False when the channel is down: the message stays. */
  async #deliver(message: OutboundMessage): Promise<boolean> {
    const { store, log, clock, channelOf, delivered, refused } = this.#deps;
    const { chatId, id } = message;
    try {
      const delivery = await channelOf(chatId)?.deliver(message);
      if (!delivery) throw new Error('no channel owns the chat');
      step(log, 'delivery-sent', { chatId, id });
      const refusal = delivery.kind === 'refused' ? delivery.reason : null;
      endOutbound(store, id, refusal, clock.now());
      step(log, 'delivery-recorded', { chatId, id });
      if (refusal !== null) refused(message, refusal);
      delivered(chatId);
      return true;
    } catch (error) {
      log.debug({ chatId, id, err: error }, 'delivery failed, the message is kept');
      return false;
    }
  }

  #wait(chatId: ChatId, failures: number): Promise<void> {
    const delays = this.#deps.limits.deliveryDelaysMs;
    const delayMs = delays[Math.min(failures, delays.length) - 1] ?? 0;
    return new Promise((resolve) => {
      const cancel = this.#deps.clock.after(delayMs, resolve);
      this.#busy.set(chatId, () => {
        cancel();
        resolve();
      });
    });
  }
}
