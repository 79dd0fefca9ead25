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
  /** Called once. The receiver limits the bytes. Rejects when the file is not available. */
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

/**
 * How a text came about. `typed`: its sender wrote it. `caption`: its sender wrote it for a file.
 * `forwarded`: others wrote it. `described`: the channel's words for what is no text. Only what is
 * typed can be a command, and only what is typed or a caption can call the agent by name.
 */
export type Origin = 'typed' | 'caption' | 'forwarded' | 'described';

/** An account that a text mentions. */
export interface Mention {
  /** As it stands in the text: `@` and digits. */
  call: string;
  accountId: string;
  /** Shown, never trusted. Enters no text before the prompt is made. */
  name: string;
}

/** What a person wrote, or somebody for them: never with a name that others have chosen. */
export interface Words {
  text: string;
  origin: Origin;
  mentions: Mention[];
}

/** A message that another one quotes, as the quoting program shows it. */
export interface QuoteClaim {
  messageId: string;
  senderName: string;
  text: string;
  /** It is shown as a message of the assistant's account. */
  isOfAssistant: boolean;
}

export interface Quote extends Omit<QuoteClaim, 'isOfAssistant'> {
  /** Whose message our own store knows it to be. `claim`: it knows none, and only the quote says so. */
  source: 'assistant' | 'person' | 'claim';
}

/** What a person said, as a channel received it. `(chatId, id)` is its identity. */
export interface InboundMessage extends Words {
  chatId: ChatId;
  id: string;
  /** The account, never the display name. */
  senderId: string;
  /** Shown, never trusted. */
  senderName: string;
  /** The owner's own account wrote it, and not the assistant with that account. */
  isOwner?: boolean;
  sentAtMs: number;
  /** A quote of what the assistant has said in this chat calls it. */
  quote?: QuoteClaim;
  /** What it is, if it is a reaction. None if it takes one back. */
  reaction?: { messageId: string; emoji: string };
  attachments: IncomingAttachment[];
  /** Wakes no agent (such as a reaction). It is context for a message that does. */
  isContext?: boolean;
}

/** A person edits a message, or deletes it when `words` is null. */
export interface Amendment {
  chatId: ChatId;
  /** Its own id; `messageId` is that of the message that it changes. */
  id: string;
  messageId: string;
  /** Null when the channel has checked that the sender may change messages of others. */
  senderId: string | null;
  words: Words | null;
  sentAtMs: number;
}

/** Who put a message into an inbox. Only a person's message carries a person's authority. */
export type Sender =
  | { kind: 'person'; id: string; name: string }
  | { kind: 'clock' | 'agent' | 'host'; id: string };

/** A message in an agent's inbox. `(chatId, id)` is its identity. */
export interface StoredMessage extends Words {
  chatId: InboxId;
  id: string;
  /** Its place in the order, assigned by SQLite. */
  seq: number;
  sender: Sender;
  sentAtMs: number;
  quote: Quote | null;
  attachments: Attachment[];
}

/** The message that a reply quotes or that a reaction is for. */
export interface Reference {
  messageId: string;
  senderId: string;
  text: string;
}

export type OutboundContent =
  | { kind: 'text'; text: string; about: Reference | null }
  | { kind: 'file'; file: OutboundFile; text: string; about: Reference | null }
  /** An empty emoji removes the reaction. */
  | { kind: 'reaction'; emoji: string; about: Reference };

/** A retry carries the same id. */
export type OutboundMessage = OutboundContent & { id: string; chatId: ChatId };

/** Who speaks: the host for itself, or an agent. What the host says overtakes. */
export type Lane = 'host' | 'agent';

/** So many messages at once, then one in each interval. */
export interface Pace {
  burst: number;
  everyMs: number;
}

export type Delivery = { kind: 'acknowledged' } | { kind: 'refused'; reason: string };

export interface Channel {
  readonly name: string;
  /** The longest text of one message, in UTF-16 units. */
  readonly textMax: number;
  /** How fast agents' messages may follow each other in one chat, and in all of them together. */
  readonly pace?: { chat: Pace; all: Pace };
  /** Resolves when the channel is connected, or keeps retrying in the background. */
  connect(): Promise<void>;
  /**
   * Resolves to the server's answer. Rejects while the channel is down; the outbox retries. Rejects
   * too when `withdrawn` is aborted before a file is uploaded.
   */
  deliver(message: OutboundMessage, withdrawn: AbortSignal): Promise<Delivery>;
  /**
   * A text in the channel's own formatting, in pieces of at most `textMax`. Called once for each
   * message; never rejects. Without it, the text is only cut.
   */
  layOut?(text: string): Promise<string[]>;
  /** The id by which people's messages refer to the message `id`. Without it, `id` itself. */
  sentAs?(id: string): string;
  /** Shows what the agents of the chat are doing, until it is called with null. */
  showActivity(chatId: ChatId, text: string | null): void;
  /** Shows that an agent has started on these messages, which are all of one chat. */
  showTaken?(messages: StoredMessage[]): void;
  /** Called with each message that waits for delivery by any channel, perhaps more than once. */
  mirror?(message: OutboundMessage): void;
  describe(): string;
  disconnect(): Promise<void>;
}

/** What the host offers to a channel. */
export interface ChannelHost {
  readonly assistantName: string;
  /** Messages of one chat. Resolves when all are committed; only then may they be acknowledged. */
  receive(messages: InboundMessage[]): Promise<void>;
  /** Whether the host answers it itself. A command need not wait for earlier messages. */
  isCommand(message: InboundMessage): boolean;
  /** Resolves when it is committed. A message that does not exist is ignored. */
  amend(amendment: Amendment): Promise<void>;
  /** The chats of groups. Of any other chat, a channel keeps only what `noteChat` takes. */
  listRegistered(): ChatId[];
  /** Records a chat for list_groups. A null name keeps the known one. */
  noteChat(chatId: ChatId, name: string | null, lastMessageAtMs: number): void;
  /** Somebody starts to type: starts the agent's container early, if a slot is free. */
  expectMessage(chatId: ChatId): void;
  readonly owner: Owner;
  /** The channel, or one chat, can deliver again: retries at once. */
  available(chatId?: ChatId): void;
  /**
   * The folder's group, whatever its chat is; on first use it is registered for this one. Throws
   * UserError when the name is not allowed.
   */
  openGroup(request: { folder: string; chatId: ChatId; name: string }): Group & { chatId: ChatId };
  /** With `isMirror`, messages that are not delivered yet do not count. */
  settled(chatId: ChatId, isMirror: boolean): Settled;
  /** Calls `listener` whenever `settled` may have changed. */
  onSettled(listener: (chatId: ChatId) => void): void;
}

/** Notices to the owner, in the main chat. */
export interface Owner {
  /**
   * Sends the text, unless a notice with the same `key` was sent in the last 24 hours. With
   * `atMost`, sends `perDay` notices of its topic in 24 hours, then `last` once, then nothing. With
   * `chatId`, the notice is for the people of that chat.
   */
  tell(text: string, notice: { key: string; atMost?: NoticeLimit; chatId?: ChatId }): void;
  /** The cause of a notice is gone: if it comes back, the owner is told again. */
  forget(key: string): void;
}

export interface NoticeLimit {
  topic: string;
  perDay: number;
  last: string;
}

/**
 * Whether all is answered and delivered. `failed`: something is not, and nothing is in progress.
 */
export type Settled = 'open' | 'settled' | 'failed';

export interface Group {
  /** Its identity on disk. */
  folder: string;
  /** Null while the group has no chat. */
  chatId: ChatId | null;
  name: string;
  isMain: boolean;
  requiresTrigger: boolean;
  /** The accounts that may wake its agent; null: everybody. */
  triggeredBy: string[] | null;
  /** The user id of its agents' processes, where the host is root. */
  uid: number;
}

/** An agent's inbox: the id of its group's chat, or `agent:<agent's id>`. */
export type InboxId = string;

/**
 * Where an agent's words go: to a chat, under the name `as` if there is one, or to another agent.
 */
export type Voice =
  | { kind: 'chat'; chatId: ChatId; as?: string }
  | { kind: 'agent'; agentId: string };

/** Who takes a turn. */
export interface Agent {
  id: string;
  group: Group;
  inbox: InboxId;
  /** Null while its group has no chat. */
  voice: Voice | null;
  /** The names of the tools that it may use; null: all that its group may use. */
  tools: string[] | null;
  /** Null: the SDK's default. */
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
