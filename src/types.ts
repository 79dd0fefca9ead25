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
  hostPath: string;
  name: string;
  mime: string;
  sizeBytes: number;
}

export interface Attachment {
  kind: IncomingAttachment['kind'];
  /** Relative to the group's folder. */
  groupPath: string;
  name: string;
  mime: string;
  sizeBytes: number;
}

export interface Quote {
  messageId: string;
  senderName: string;
  text: string;
}

/** What a person said, as a channel brings it. `(chatId, id)` is its identity. */
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

/** Who put a message into an inbox. What is not a person's carries no person's authority. */
export type Sender =
  | { kind: 'person'; id: string; name: string }
  | { kind: 'clock' | 'agent' | 'host'; id: string };

/** In an agent's inbox. `(chatId, id)` is its identity. */
export interface StoredMessage {
  chatId: InboxId;
  id: string;
  /** Its order, given by SQLite. */
  seq: number;
  sender: Sender;
  text: string;
  sentAtMs: number;
  quote: Quote | null;
  attachments: Attachment[];
}

/** A message that another one answers, or that a reaction is put on. */
export interface Reference {
  messageId: string;
  senderId: string;
  text: string;
}

export type OutboundContent =
  | { kind: 'text'; text: string; about: Reference | null }
  | { kind: 'file'; file: OutboundFile; text: string; about: Reference | null }
  /** An empty emoji takes the reaction back. */
  | { kind: 'reaction'; emoji: string; about: Reference };

/** The id is the same when it is sent again. */
export type OutboundMessage = OutboundContent & { id: string; chatId: ChatId };

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
  /** Messages of one chat. Resolves when all are committed; only then may the channel acknowledge. */
  receive(messages: InboundMessage[]): Promise<void>;
  /** Whether the host would answer it itself: it need not wait for anything that came before it. */
  isCommand(message: InboundMessage): boolean;
  /** Resolves when it is committed. Of a message that is not there nothing is changed. */
  amend(amendment: Amendment): Promise<void>;
  /** Of other chats a channel keeps nothing but what `noteChat` takes. */
  listRegistered(): ChatId[];
  /** What list_groups shows. A null name leaves the known one. */
  noteChat(chatId: ChatId, name: string | null, lastMessageAtMs: number): void;
  /** Somebody starts to write: a head start for the agent, if a slot is free. */
  expectMessage(chatId: ChatId): void;
  readonly owner: Owner;
  /** The channel, or one chat, can deliver again. */
  available(chatId?: ChatId): void;
  /** The folder's group, in whatever chat; on first use registered for this one. Throws UserError. */
  openGroup(request: { folder: string; chatId: ChatId; name: string }): Group & { chatId: ChatId };
  /** `isMirror`: for who sees what leaves, whether or not it is delivered. */
  settled(chatId: ChatId, isMirror: boolean): Settled;
  /** Calls `listener` whenever `settled` may have changed. */
  onSettled(listener: (chatId: ChatId) => void): void;
}

/** The way to say something to the owner unasked, in the main chat. */
export interface Owner {
  /**
   * Says it unless the same `key` was told within a day. Of a topic `atMost.perDay` are said; the
   * next one is `atMost.last`, and then no more that day.
   */
  tell(text: string, notice: { key: string; atMost?: NoticeLimit }): void;
  /** What the key stands for is over: when it comes back it is told again. */
  forget(key: string): void;
}

export interface NoticeLimit {
  topic: string;
  perDay: number;
  last: string;
}

/** Whether all is answered and delivered; `failed`: not all, but nothing is under way. */
export type Settled = 'open' | 'settled' | 'failed';

export interface Group {
  /** Its identity on disk. */
  folder: string;
  /** Null while it talks nowhere. */
  chatId: ChatId | null;
  name: string;
  isMain: boolean;
  requiresTrigger: boolean;
  /** The accounts that wake its agent; null: everybody. */
  triggeredBy: string[] | null;
  /** Of its agents, when the host is root. */
  uid: number;
}

/** Where an agent's messages lie: the chat of its group, or `agent:<agent's id>`. */
export type InboxId = string;

/** Where an agent's words go: into a chat, under a name if it has one there, or to another agent. */
export type Voice =
  | { kind: 'chat'; chatId: ChatId; as?: string }
  | { kind: 'agent'; agentId: string };

/** Who takes a turn. */
export interface Agent {
  id: string;
  group: Group;
  inbox: InboxId;
  /** Null while its group talks nowhere. */
  voice: Voice | null;
  /** The names of those that it may use; null: all that its group may use. */
  tools: string[] | null;
  /** Null: the one that the SDK chooses. */
  model: string | null;
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
