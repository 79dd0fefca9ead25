/**
 * Domain types and the interfaces between the rooms of the house.
 * Imports nothing of ours; everything else may import it.
 */
import type { Readable } from 'node:stream';

/** `<channel>:<id within the channel>`, such as `terminal:main`. */
export type ChatId = string;

/** Time and timers as one capability, so that a test can hold the clock. */
export interface Clock {
  now(): number;
  /** Calls `fire` after `delayMs`; the returned function cancels it. */
  after(delayMs: number, fire: () => void): () => void;
}

export type AttachmentKind = 'image' | 'audio' | 'video' | 'document';

/** A file that came with a message, kept in the group's folder. */
export interface Attachment {
  kind: AttachmentKind;
  /** Relative to the group's folder. */
  path: string;
  name: string;
  mime: string;
  sizeBytes: number;
}

/** A file as a channel offers it, before it is in the group's folder. */
export interface IncomingAttachment {
  kind: AttachmentKind;
  name: string;
  mime: string;
  /** Opens the bytes once; the receiver bounds them. Rejects when they cannot be had. */
  open(): Promise<Readable>;
}

/** What a message answers, as far as the channel knows it. */
export interface Quote {
  messageId: string;
  senderName: string;
  text: string;
}

/** A message from a person, as a channel hands it in. `(chatId, id)` is its identity. */
export interface InboundMessage {
  chatId: ChatId;
  id: string;
  /** The account, never the display name. */
  senderId: string;
  /** Shown, never trusted. */
  senderName: string;
  text: string;
  sentAtMs: number;
  quote?: Quote;
  attachments: IncomingAttachment[];
}

/** A stored message; `seq` is its order, given by SQLite. */
export interface StoredMessage {
  seq: number;
  chatId: ChatId;
  id: string;
  senderId: string;
  senderName: string;
  text: string;
  sentAtMs: number;
  quote: Quote | null;
  attachments: Attachment[];
}

/** A file on its way out: the host's own copy, which no agent can touch. */
export interface OutboundFile {
  path: string;
  name: string;
  mime: string;
  sizeBytes: number;
}

/** A message on its way out. A re-send carries the same id. */
export interface OutboundMessage {
  id: string;
  chatId: ChatId;
  text: string;
  file: OutboundFile | null;
  quote: Quote | null;
}

export type Delivery = { kind: 'acknowledged' } | { kind: 'refused'; reason: string };

/** One way to talk to people. */
export interface Channel {
  readonly name: string;
  /** Longest text of one message, in UTF-16 units. */
  readonly textMax: number;
  /** Resolves once the channel works or has begun to retry on its own. */
  connect(): Promise<void>;
  /**
   * Resolves when the channel's server has acknowledged or refused the message.
   * Rejects while the channel is down: the caller keeps the message and tries again.
   */
  deliver(message: OutboundMessage): Promise<Delivery>;
  /** What the agent is doing, as a sign of life; the channel refreshes it until told null. */
  showActivity(chatId: ChatId, text: string | null): void;
  /** One line for the start-up report and /status. */
  describe(): string;
  disconnect(): Promise<void>;
}

/** What the host offers to a channel. */
export interface ChannelHost {
  readonly assistantName: string;
  /** Resolves when all messages are committed, in order; only then may the channel acknowledge. */
  receive(messages: InboundMessage[]): Promise<void>;
  /** The channel (or this chat) can deliver again. */
  available(chatId?: ChatId): void;
  /** Registers a chat as a group on first use; throws UserError when the name is not allowed. */
  openGroup(request: { folder: string; chatId: ChatId; name: string }): Group;
  /** Whether everything that was said in the chat is answered and delivered. */
  settled(chatId: ChatId): Settled;
  /** Calls `listener` whenever `settled` may have changed; returns the way to stop. */
  onSettled(listener: (chatId: ChatId) => void): () => void;
}

/** `failed`: nothing is under way, but a message has no answer. */
export type Settled = 'open' | 'settled' | 'failed';

/** A chat that has an agent. `folder` is its identity on disk. */
export interface Group {
  folder: string;
  chatId: ChatId;
  name: string;
  isMain: boolean;
  requiresTrigger: boolean;
  /** The uid its agent has on the host when the host is root. */
  uid: number;
}

/** Who takes a turn. Today each group has one; its id is the group's folder. */
export interface Agent {
  id: string;
  group: Group;
}

export type TurnKind = 'message';
export type TurnState = 'queued' | 'running' | 'done' | 'failed' | 'stopped';

/** Why a container's life ended. Recorded once, on the run. */
export type RunEndReason =
  | 'idle'
  | 'evicted'
  | 'stopped'
  | 'shutdown'
  | 'turn-timeout'
  | 'session-lost'
  | 'new-session'
  | 'model-failed'
  | 'start-timeout'
  | 'start-failed'
  | 'crashed'
  | 'wire-broken'
  | 'host-died';

export interface RunEnd {
  reason: RunEndReason;
  detail: string;
}

/** An error whose message is meant for the person who caused it. */
export class UserError extends Error {
  override readonly name = 'UserError';
}
