/**
 * The way out. Each message stays in the store until the channel's server has acknowledged or
 * refused it, or until it is withdrawn. A chat has two lanes, one for the host's own words and one
 * for its agents'; each is delivered in order and neither waits for the other. Knows nothing of
 * agents.
 */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Base } from './base.ts';
import type { Config } from './config.ts';
import {
  endPiece,
  findNextPending,
  findNextPiece,
  hasPieces,
  listPending,
  listPendingChats,
  type Piece,
  refuseOutbound,
  saveOutbound,
  savePieces,
  withdrawPending,
} from './db/outbox.ts';
import { deferred } from './deferred.ts';
import { splitText } from './format.ts';
import { step } from './log.ts';
import { Paces } from './pace.ts';
import type {
  Channel,
  ChatId,
  Delivery,
  Lane,
  OutboundContent,
  OutboundFile,
  OutboundMessage,
} from './types.ts';

export interface OutboxDependencies extends Omit<Base, 'config'> {
  config: Pick<Config, 'filesDir'>;
  channelOf(chatId: ChatId): Channel | undefined;
  /** Called for each message that waits to be delivered, again at every flush. */
  leaving(message: OutboundMessage): void;
  /** Called once a message is acknowledged or refused. */
  ended(chatId: ChatId): void;
  /** Joins the transaction that records the delivery of a message, or of a part of it. */
  delivered(chatId: ChatId): void;
  /** Joins the transaction that records the refusal. */
  refused(message: OutboundMessage, reason: string): void;
}

/** Pending messages of a chat that one flush shows to mirrors, the newest. */
const leavingMax = 100;
const wholeTextName = 'the whole text.txt';
/** What the machine forgets of a delivery is sent again with the same ids, and shown once. */
const delivering = { flush: false };

/** A lane of a chat, while something is pending there. */
interface Loop {
  key: string;
  chatId: ChatId;
  lane: Lane;
  failures: number;
  /** Texts overtake a file that is long on its way; another file does not. */
  isUploading: boolean;
  /** Ends its sleep, if it sleeps. */
  wake(): void;
}

export class Outbox {
  readonly #deps: OutboxDependencies;
  readonly #paces: Paces;
  readonly #loops = new Map<string, Loop>();
  /** By the message's id: what a channel delivers now. Aborting it withdraws a file. */
  readonly #sending = new Map<string, { isFile: boolean; withdrawn: AbortController }>();
  #closed = false;

  constructor(deps: OutboxDependencies) {
    this.#deps = deps;
    this.#paces = new Paces(deps.clock);
  }

  /**
   * Stores content in the caller's transaction; delivery starts after the commit. By default it is
   * the host that speaks. An empty text becomes no message. Returns the message's id.
   */
  add(
    chatId: ChatId,
    content: OutboundContent,
    speaker: { lane: Lane; turnId?: number | null } = { lane: 'host' },
  ): string {
    const { store } = this.#deps;
    const id = randomUUID();
    if (content.kind === 'text' && !content.text.trim()) return id;
    const message = { ...content, id, chatId };
    saveOutbound(store, message, speaker);
    store.afterCommit(() => {
      this.#deps.leaving(message);
      this.#goOn(chatId);
    });
    return id;
  }

  /**
   * Withdraws what the agent has said and is not on its way, in the caller's transaction. A file is
   * on its way once it is uploaded. Returns the number of messages.
   */
  withdraw(agentId: string): number {
    const { store, clock } = this.#deps;
    const onTheirWay = [...this.#sending].flatMap(([id, { isFile }]) => (isFile ? [] : id));
    const ids = withdrawPending(store, agentId, onTheirWay, clock.now());
    store.afterCommit(() => {
      for (const id of ids) this.#sending.get(id)?.withdrawn.abort();
    });
    return ids.length;
  }

  flushAll(): void {
    for (const chatId of listPendingChats(this.#deps.store)) this.flush(chatId);
  }

  /**
   * Starts to deliver what is pending, and shows it to mirrors again; a retry that waits is made at
   * once. Waits for nothing.
   */
  flush(chatId: ChatId): void {
    if (this.#closed) return;
    for (const message of listPending(this.#deps.store, chatId, leavingMax))
      this.#deps.leaving(message);
    this.#goOn(chatId);
  }

  #goOn(chatId: ChatId): void {
    if (this.#closed) return;
    for (const lane of ['host', 'agent'] as const) {
      const key = `${lane} ${chatId}`;
      const known = this.#loops.get(key);
      if (known) known.wake();
      else {
        const loop = { key, chatId, lane, failures: 0, isUploading: false, wake() {} };
        this.#loops.set(key, loop);
        void this.#run(loop);
      }
    }
  }

  /** Starts no further delivery. */
  close(): void {
    this.#closed = true;
    for (const loop of this.#loops.values()) loop.wake();
  }

  async #run(loop: Loop): Promise<void> {
    const { store, limits } = this.#deps;
    while (!this.#closed) {
      const message = findNextPending(store, loop.chatId, loop.lane, loop.isUploading);
      if (!message && !loop.isUploading) break;
      if (!message) await this.#sleep(loop);
      else if (message.kind === 'file') {
        loop.isUploading = true;
        const upload = this.#deliver(message, loop).then(() => {
          loop.isUploading = false;
          loop.wake();
        });
        const held = deferred<void>();
        const cancel = this.#deps.clock.after(limits.uploadHoldMs, held.resolve);
        await Promise.race([upload, held.promise]);
        cancel();
      } else await this.#deliver(message, loop);
      if (loop.failures > 0) await this.#sleep(loop, this.#retryDelayMs(loop.failures));
    }
    // Nothing is awaited since the query found no message, so no flush is missed.
    this.#loops.delete(loop.key);
  }

  /** Until the loop is woken, or for so long. */
  #sleep(loop: Loop, forMs?: number): Promise<void> {
    const { promise, resolve } = deferred<void>();
    const cancel =
      forMs === undefined ? () => {} : this.#deps.clock.after(forMs, () => loop.wake());
    loop.wake = () => {
      cancel();
      loop.wake = () => {};
      resolve();
    };
    return this.#closed ? Promise.resolve() : promise;
  }

  #retryDelayMs(failures: number): number {
    const delays = this.#deps.limits.deliveryDelaysMs;
    return delays[failures - 1] ?? delays.at(-1) ?? 0;
  }

  /** Delivers a message piece by piece. Counts a failure while the channel is down. */
  async #deliver(message: OutboundMessage, loop: Loop): Promise<void> {
    const { store, log, channelOf } = this.#deps;
    const { id, chatId } = message;
    try {
      const channel = channelOf(chatId);
      if (!channel) throw new Error('no channel owns the chat');
      if (!hasPieces(store, id)) {
        const pieces = await this.#layOut(message, loop.lane, channel);
        store.transaction(() => savePieces(store, id, pieces), delivering);
      }
      while (!this.#closed && findNextPiece(store, id)) {
        await this.#pace(loop, channel);
        // It may be withdrawn by now.
        const piece = this.#closed ? undefined : findNextPiece(store, id);
        if (piece) await this.#send(message, piece, channel);
      }
      loop.failures = 0;
    } catch (error) {
      loop.failures += 1;
      const { failures } = loop;
      // A long outage is reported ever less often: after 4, 8, 16 and so on failures.
      const level = failures > 3 && Number.isInteger(Math.log2(failures)) ? 'warn' : 'debug';
      log[level]({ chatId, id, failures, err: error }, 'delivery failed, the message is kept');
    }
  }

  /** The file and the quote go with the first piece. A long text becomes a beginning and a file. */
  async #layOut(message: OutboundMessage, lane: Lane, channel: Channel): Promise<Piece[]> {
    const { limits, config } = this.#deps;
    const { id } = message;
    const piece = (number: number, text: string, file: OutboundFile | null = null): Piece => {
      const own = number === 0 ? id : `${id}.${number}`;
      return { id: own, sentAs: channel.sentAs?.(own) ?? own, text, file };
    };
    if (message.kind === 'reaction') return [piece(0, message.emoji)];
    const own = message.kind === 'file' ? message.file : null;
    // The host writes no Markdown, and what it shows of others' words must stay as it is.
    const laidOut = lane === 'agent' ? await channel.layOut?.(message.text) : undefined;
    const [first = '', ...rest] = laidOut ?? splitText(message.text, channel.textMax);
    if (rest.length < limits.piecesMax)
      return [piece(0, first, own), ...rest.map((text, index) => piece(index + 1, text))];
    const hostPath = join(config.filesDir, `${id}.txt`);
    writeFileSync(hostPath, message.text);
    const sizeBytes = Buffer.byteLength(message.text);
    const whole = { hostPath, name: wholeTextName, mime: 'text/plain', sizeBytes };
    return [piece(0, first, own), piece(1, '', whole)];
  }

  /** What the host says is counted, but does not wait. */
  async #pace({ chatId, lane }: Loop, channel: Channel): Promise<void> {
    const { pace, name } = channel;
    if (!pace) return;
    const waitMs = Math.max(this.#paces.take(chatId, pace.chat), this.#paces.take(name, pace.all));
    if (lane === 'agent' && waitMs > 0) {
      const waited = deferred<void>();
      this.#deps.clock.after(waitMs, waited.resolve);
      await waited.promise;
    }
  }

  async #send(message: OutboundMessage, piece: OutboundMessage, channel: Channel): Promise<void> {
    const { store, log, clock, delivered, refused, ended } = this.#deps;
    const { id, chatId } = message;
    const withdrawn = new AbortController();
    this.#sending.set(id, { isFile: piece.kind === 'file', withdrawn });
    let delivery: Delivery;
    try {
      delivery = await channel.deliver(piece, withdrawn.signal);
    } catch (error) {
      if (withdrawn.signal.aborted) return;
      throw error;
    } finally {
      this.#sending.delete(id);
    }
    step(log, 'delivery-sent', { chatId, id: piece.id });
    const record = () => {
      if (delivery.kind === 'refused') {
        refuseOutbound(store, id, delivery.reason, clock.now());
        refused(message, delivery.reason);
      } else {
        endPiece(store, piece.id, id, clock.now());
        delivered(chatId);
      }
    };
    store.transaction(record, delivering);
    step(log, 'delivery-recorded', { chatId, id: piece.id });
    ended(chatId);
  }
}
