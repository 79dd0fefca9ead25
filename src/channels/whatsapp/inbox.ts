/**
 * Hands the messages of the inbox to the host, chat by chat, and removes them only when the host
 * has committed them. Does not look for duplicates: the host drops them.
 */
import { proto, type WAMessage } from 'baileys';
import type { Log } from '../../log.ts';
import type {
  Amendment,
  ChannelHost,
  Clock,
  InboundMessage,
  QuoteClaim,
  Words,
} from '../../types.ts';
import { type Addresses, chatIdOf, isGroupJid } from './addresses.ts';
import { type Incoming, readMessage, type Said } from './content.ts';
import { type FindSocket, mediaAttachment } from './media.ts';
import type { StoredRow, WhatsAppStore } from './store.ts';

/** Rows read at a time. */
const rowsMax = 500;
const retryMs = 5000;
/** Pause between hand-overs: each costs commits, so messages in quick succession share one. */
const batchMs = 50;
/** The longest hold, if the server never says that its backlog is sent. */
const holdMaxMs = 30_000;
/** The backlog has arrived when nothing has come for this long after the server said so. */
const quietMs = 300;

export interface InboxDependencies {
  findSocket: FindSocket;
  store: WhatsAppStore;
  addresses: Addresses;
  host: ChannelHost;
  clock: Clock;
  log: Log;
  /** Called after messages of the chat were handed over. */
  heard(chat: string): void;
  /** Whether the sender may delete what others said in this group. */
  mayChange(chat: string, sender: string): Promise<boolean>;
}

interface InboxRow extends Omit<StoredRow, 'message'> {
  message: WAMessage;
}

type IncomingOf<Kind extends Incoming['kind']> = Extract<Incoming, { kind: Kind }>;

export class Inbox {
  readonly #deps: InboxDependencies;
  /** Chats with a hand-over under way. */
  readonly #busy = new Set<string>();
  #hold: 'no' | 'yes' | 'ending' = 'yes';
  #cancelHold = () => {};
  #closed = false;

  constructor(deps: InboxDependencies) {
    this.#deps = deps;
  }

  /**
   * Pauses all hand-overs while the server sends its backlog. New messages would overtake it, since
   * Baileys passes the backlog on more slowly.
   */
  hold(): void {
    this.#hold = 'yes';
    this.#releaseAfter(holdMaxMs);
  }

  /** The server has sent its backlog. Ends the hold once the rest of it has arrived here. */
  endHold(): void {
    if (this.#hold === 'no') return;
    this.#hold = 'ending';
    this.#releaseAfter(quietMs);
  }

  release(): void {
    this.#cancelHold();
    this.#hold = 'no';
    this.pump();
  }

  #releaseAfter(delayMs: number): void {
    this.#cancelHold();
    this.#cancelHold = this.#deps.clock.after(delayMs, () => this.release());
  }

  /**
   * Starts a hand-over for each chat with rows and none under way. `arrived` is the message that
   * led to the call. Chats do not wait for each other.
   */
  pump(arrived?: WAMessage): void {
    if (this.#hold === 'ending') this.#releaseAfter(quietMs);
    if (this.#closed || this.#hold !== 'no') return;
    const { addresses, clock } = this.#deps;
    const busyChat = arrived && addresses.chatOf(arrived);
    if (busyChat && this.#busy.has(busyChat)) {
      // The next hand-over of its chat includes it; only a command does not wait for that.
      const row = { seq: 0, message: arrived, wasOffline: false, receivedAtMs: clock.now() };
      if (this.#upToCommand(busyChat, [row]).length > 0)
        void this.#overtake(busyChat, this.#listRows().get(busyChat) ?? []);
      return;
    }
    for (const [chat, rows] of this.#listRows())
      if (!this.#busy.has(chat)) void this.#take(chat, rows);
  }

  #listRows(): Map<string, InboxRow[]> {
    const { store, addresses } = this.#deps;
    const chats = new Map<string, InboxRow[]>();
    for (const { message: bytes, ...row } of store.listInbox(rowsMax)) {
      const message = this.#decode(bytes, row.seq);
      if (!message) continue;
      const chat = addresses.chatOf(message);
      const rows = chats.get(chat);
      if (rows) rows.push({ ...row, message });
      else chats.set(chat, [{ ...row, message }]);
    }
    for (const rows of chats.values()) rows.sort(byServerTime);
    return chats;
  }

  /** The messages that can be handed over now, up to the last command. */
  #upToCommand(chat: string, rows: InboxRow[]): InboundMessage[] {
    const { host, findSocket } = this.#deps;
    const messages = rows.flatMap((row) => {
      const incoming = readMessage(row.message);
      if (incoming.kind !== 'message' || (incoming.media && !findSocket())) return [];
      return this.#inbound(chat, row, incoming);
    });
    return messages.slice(0, 1 + messages.findLastIndex((message) => host.isCommand(message)));
  }

  /**
   * Hands over the commands of these rows, with what was said before them; the host knows all of it
   * when it comes again.
   */
  async #overtake(chat: string, rows: InboxRow[]): Promise<void> {
    const { host, log } = this.#deps;
    try {
      await host.receive(this.#upToCommand(chat, rows));
    } catch (error) {
      log.warn({ err: error }, 'a command waits for its turn');
    }
  }

  /** Drops a message that is nested so deeply that decoding it again overflows the stack. */
  #decode(bytes: Uint8Array, seq: number): WAMessage | undefined {
    try {
      return proto.WebMessageInfo.decode(bytes) as WAMessage;
    } catch (error) {
      this.#deps.log.error({ err: error }, 'a message could not be read and is dropped');
      this.#deps.store.removeFromInbox([seq]);
      return undefined;
    }
  }

  close(): void {
    this.#cancelHold();
    this.#closed = true;
  }

  async #take(chat: string, rows: InboxRow[]): Promise<void> {
    const { log, clock } = this.#deps;
    const goOn = () => {
      this.#busy.delete(chat);
      this.pump();
    };
    this.#busy.add(chat);
    try {
      if ((await this.#handOver(chat, rows)) > 0) clock.after(batchMs, goOn);
      // The first row needs a connection. A new connection calls pump.
      else this.#busy.delete(chat);
    } catch (error) {
      if (this.#closed) return;
      log.error({ err: error }, 'the inbox could not be handed over; it is kept');
      clock.after(retryMs, goOn);
    }
  }

  /** Resolves to the number of rows, from the first on, that the host has committed. */
  async #handOver(chat: string, rows: InboxRow[]): Promise<number> {
    const { store, addresses, host, findSocket, heard } = this.#deps;
    const done: number[] = [];
    let batch: InboundMessage[] = [];
    await this.#overtake(chat, rows);
    for (const row of rows) {
      const incoming = readMessage(row.message);
      // Needs a connection: to request an expired file, and to look up who is an admin.
      const isPlain = incoming.kind === 'message' ? !incoming.media : incoming.kind !== 'deletion';
      if (!isPlain && !findSocket()) break;
      if (incoming.kind === 'message') batch.push(this.#inbound(chat, row, incoming));
      if (incoming.kind === 'edit' || incoming.kind === 'deletion') {
        await host.receive(batch);
        batch = [];
        await host.amend(await this.#amendment(chat, row, incoming));
      }
      done.push(row.seq);
    }
    const last = rows.findLast(({ message }) => !message.key.fromMe);
    if (last && !isGroupJid(chat))
      host.noteChat(chatIdOf(chat), addresses.nameOf(chat), sentAt(last));
    await host.receive(batch);
    if (this.#closed) return 0;
    store.removeFromInbox(done);
    if (done.length > 0) heard(chat);
    return done.length;
  }

  #inbound(chat: string, row: InboxRow, incoming: IncomingOf<'message'>): InboundMessage {
    const { store, addresses } = this.#deps;
    const { message } = row;
    const { id, said, isContext, media, reaction } = incoming;
    const sender = addresses.senderOf(message);
    const isOwn = message.key.fromMe === true;
    addresses.learnName(sender, message.pushName);
    const senderName = isOwn ? (message.pushName ?? 'the owner') : addresses.nameOf(sender);
    const sentAtMs = sentAt(row);
    const quote = this.#quote(chat, incoming);
    return {
      ...this.#words(said),
      chatId: chatIdOf(chat),
      id,
      senderId: chatIdOf(sender),
      senderName,
      isOwner: store.get('mode') === 'shared' ? isOwn : !isOwn && addresses.isOwner(sender, chat),
      sentAtMs,
      attachments: media ? [mediaAttachment(message, media, this.#deps.findSocket)] : [],
      isContext,
      ...(quote && { quote }),
      ...(reaction && { reaction }),
    };
  }

  /** Says who is mentioned, and writes a call of the assistant by its name. */
  #words({ text, origin, mentions }: Said): Words {
    const { store, addresses, host } = this.#deps;
    const isShared = store.get('mode') === 'shared';
    const calls = mentions.filter(({ jid }) => !isShared && addresses.isAssistant(jid));
    const written = calls.reduce(
      (words, { call }) =>
        words.replace(new RegExp(`${call}(?!\\d)`, 'g'), `@${host.assistantName}`),
      text,
    );
    return {
      text: written,
      origin,
      mentions: mentions
        .filter((mention) => !calls.includes(mention))
        .map(({ call, jid }) => ({ call, ...addresses.accountOf(jid) })),
    };
  }

  #quote(chat: string, { quote }: IncomingOf<'message'>): QuoteClaim | null {
    const { addresses } = this.#deps;
    if (!quote) return null;
    const { messageId, participantJid, text } = quote;
    const author = participantJid ?? chat;
    const isOfAssistant = participantJid === null || addresses.isAssistant(participantJid);
    return { messageId, senderName: addresses.nameOf(author), text, isOfAssistant };
  }

  async #amendment(
    chat: string,
    row: InboxRow,
    incoming: IncomingOf<'edit' | 'deletion'>,
  ): Promise<Amendment> {
    const { addresses, mayChange } = this.#deps;
    const { id, messageId } = incoming;
    const sender = addresses.senderOf(row.message);
    const words = incoming.kind === 'edit' ? this.#words(incoming.said) : null;
    // A group's admin may delete what others said; nobody may edit it.
    const isAdmin = words === null && isGroupJid(chat) && (await mayChange(chat, sender));
    const senderId = isAdmin ? null : chatIdOf(sender);
    return { chatId: chatIdOf(chat), id, messageId, senderId, words, sentAtMs: sentAt(row) };
  }
}

/** In whole seconds; within one second, in order of arrival. */
function byServerTime({ message: left }: InboxRow, { message: right }: InboxRow): number {
  return Number(left.messageTimestamp ?? 0) - Number(right.messageTimestamp ?? 0);
}

/**
 * In ms. The server's time counts for what waited there, the time of arrival for everything else.
 */
function sentAt({ message, wasOffline, receivedAtMs }: InboxRow): number {
  return wasOffline ? Number(message.messageTimestamp ?? 0) * 1000 : receivedAtMs;
}
