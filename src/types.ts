/** Domain types, and the interfaces between the parts. Imports nothing of ours. */
import type { Readable } from 'node:stream';

/** `<channel>:<id within the channel>`, such as `terminal:main`. */
export type ChatId = string;

/** Passed in, so that a test can hold the clock. */
export interface Clock {
  now(): number;
  /** The returned function cancels it. */
  after(delayMs: number, fire: () => void): () => void;
}

export interface IncomingAttachment {
  kind: 'image' | 'audio' | 'video' | 'document';
  name: string;
  mime: string;
  /** Called once; the receiver bounds the bytes. Rejects when they cannot be had. */
  open(): Promise<Readable>;
}

/** The host's own copy, which no agent can touch. */
export interface OutboundFile {
  path: string;
  name: string;
  mime: string;
  sizeBytes: number;
}

/** `path` is relative to the group's folder. */
export interface Attachment extends OutboundFile {
  kind: IncomingAttachment['kind'];
}

export interface Quote {
  messageId: string;
  senderName: string;
  text: string;
}

/** From a person. `(chatId, id)` is its identity. */
interface Message {
  chatId: ChatId;
  id: string;
  /** The account, never the display name. */
  senderId: string;
  /** Shown, never trusted. */
  senderName: string;
  text: string;
  sentAtMs: number;
}

export interface InboundMessage extends Message {
  quote?: Quote;
  attachments: IncomingAttachment[];
  /** Calls the assistant in the channel's own way, by a reply to it, say. */
  isAddressed?: boolean;
  /** Wakes nobody (a reaction, say): context for what does. */
  isContext?: boolean;
}

/** A person changes a message of theirs, or takes it back when `text` is null. */
export interface Amendment {
  chatId: ChatId;
  /** Its own; `messageId` is the one that it changes. */
  id: string;
  messageId: string;
  /** Null when the channel has checked that they may change what others said. */
  senderId: string | null;
  text: string | null;
  sentAtMs: number;
}

export interface StoredMessage extends Message {
  /** Its order, given by SQLite. */
  seq: number;
  quote: Quote | null;
  attachments: Attachment[];
}

export interface OutboundMessage {
  /** The same when it is sent again. */
  id: string;
  chatId: ChatId;
  text: string;
  file: OutboundFile | null;
  /** The message that it answers; as a reaction (`text` is the emoji), that it is put on. */
  about: { messageId: string; senderId: string; text: string } | null;
  isReaction: boolean;
}

export type Delivery = { kind: 'acknowledged' } | { kind: 'refused'; reason: string };

export interface Channel {
  readonly name: string;
  readonly textMax: number;
  /** Resolves once it works or retries on its own. */
  connect(): Promise<void>;
  /** Resolves to the server's word. Rejects while the channel is down: then again later. */
  deliver(message: OutboundMessage): Promise<Delivery>;
  /** What the agent is doing, to be shown until told null. */
  showActivity(chatId: ChatId, text: string | null): void;
  /** The agent has taken up these messages of one chat. */
  showTaken?(messages: StoredMessage[]): void;
  /** A message on its way, through whatever channel; told perhaps more than once. */
  mirror?(message: OutboundMessage): void;
  describe(): string;
  disconnect(): Promise<void>;
}

/** What the host offers to a channel. */
export interface ChannelHost {
  readonly assistantName: string;
  /** Resolves when all are committed, in order; only then may the channel acknowledge. */
  receive(messages: InboundMessage[]): Promise<void>;
  /** Resolves when it is committed. Of a message that is not there nothing is changed. */
  amend(amendment: Amendment): Promise<void>;
  /** Of other chats a channel keeps nothing but what `noteChat` takes. */
  listRegistered(): ChatId[];
  /** What list_groups shows. A null name leaves the known one. */
  noteChat(chatId: ChatId, name: string | null, lastMessageAtMs: number): void;
  /** Somebody starts to write: a head start for the agent, if a slot is free. */
  expectMessage(chatId: ChatId): void;
  /** Says something to the owner in the main chat. */
  tellOwner(text: string): void;
  /** The channel, or one chat, can deliver again. */
  available(chatId?: ChatId): void;
  /** The folder's group, in whatever chat; on first use registered for this one. Throws UserError. */
  openGroup(request: Pick<Group, 'folder' | 'chatId' | 'name'>): Group;
  /** `isMirror`: for who sees what leaves, whether or not it is delivered. */
  settled(chatId: ChatId, isMirror: boolean): Settled;
  /** Calls `listener` whenever `settled` may have changed. */
  onSettled(listener: (chatId: ChatId) => void): void;
}

/** Whether all is answered and delivered; `failed`: not all, but nothing is under way. */
export type Settled = 'open' | 'settled' | 'failed';

export interface Group {
  /** Its identity on disk. */
  folder: string;
  chatId: ChatId;
  name: string;
  isMain: boolean;
  requiresTrigger: boolean;
  /** The accounts that wake its agent; null: everybody. */
  triggeredBy: string[] | null;
  /** Of its agent, when the host is root. */
  uid: number;
}

/** Who takes a turn. Today one a group; its id is the folder. */
export interface Agent {
  id: string;
  group: Group;
}

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
  | 'folder-full'
  | 'too-many-requests'
  | 'host-died';

export interface RunEnd {
  reason: RunEndReason;
  detail: string;
}

/** An error whose message is meant for the person who caused it. */
export class UserError extends Error {
  override readonly name = 'UserError';
}
