/**
 * The WhatsApp channel: connects the parts beside it, delivers messages and shows what the agent is
 * doing. Decides nothing about agents, groups or turns, and never ends the host.
 */
import { createHash } from 'node:crypto';
import {
  type AnyMessageContent,
  proto,
  type WAMessage,
  type WAPresence,
  type WASocket,
} from 'baileys';
import type { ChannelContext } from '../../base.ts';
import { clip } from '../../text.ts';
import type {
  Channel,
  ChatId,
  Delivery,
  OutboundMessage,
  Reference,
  StoredMessage,
} from '../../types.ts';
import { Addresses, chatIdOf, isGroupJid } from './addresses.ts';
import { Connection, type ConnectionState } from './connection.ts';
import { Formatter } from './formatter.ts';
import { Inbox } from './inbox.ts';
import { storePath } from './linked.ts';
import { outgoingContent } from './media.ts';
import { WhatsAppStore } from './store.ts';
import { Unreadable } from './unreadable.ts';

/** WhatsApp shows "typing" for about ten seconds, so it is sent again before that. */
const typingMs = 8000;
/** How often the time of the last connection is saved. */
const onlineNoteMs = 60_000;
/** How long WhatsApp keeps messages for a device that is offline. */
const keptByServerMs = 14 * 24 * 60 * 60_000;
const quoteTextMax = 500;
/** Told once, until the connection is back. */
const endedNotice = 'whatsapp ended';
const groupsMax = 1000;

export class WhatsAppChannel implements Channel {
  readonly name = 'whatsapp';
  readonly textMax = 4000;
  /** An account that sends much faster looks like a machine gone wild, and may be restricted. */
  readonly pace = { chat: { burst: 5, everyMs: 250 }, all: { burst: 20, everyMs: 100 } };
  readonly #context: ChannelContext;
  readonly #store: WhatsAppStore;
  readonly #addresses: Addresses;
  /** Put before what the assistant sends; null if it has a number of its own. */
  readonly #signature: string | null;
  readonly #formatter: Formatter;
  readonly #connection: Connection;
  readonly #inbox: Inbox;
  readonly #unreadable: Unreadable;
  /** Chats where the agent is at work, each with a function that stops the refreshing. */
  readonly #typing = new Map<ChatId, () => void>();
  /** Chats whose typing we have subscribed to on this connection. */
  readonly #watched = new Set<string>();
  #cancelOnlineNote = () => {};

  constructor(context: ChannelContext) {
    const { config, limits, log, clock, host } = context;
    this.#context = context;
    this.#store = new WhatsAppStore(storePath(config));
    const isShared = this.#store.get('mode') === 'shared';
    this.#signature = isShared ? `*${host.assistantName}:*` : null;
    this.#formatter = new Formatter(context, this.textMax - (this.#signature?.length ?? 0) - 1);
    this.#addresses = new Addresses(this.#store, host.assistantName);
    this.#connection = new Connection({
      store: this.#store,
      log,
      clock,
      webSocketUrl: config.whatsAppUrl,
      keepAliveMs: limits.keepAliveMs,
      isKept: (message) => this.#isKept(message),
      kept: (message) => {
        this.#unreadable.arrived(message.key.id ?? '');
        this.#inbox.pump(message);
      },
      stateChanged: (state) => this.#stateChanged(state),
      socketMade: (socket) => this.#listen(socket),
    });
    this.#inbox = new Inbox({
      store: this.#store,
      addresses: this.#addresses,
      host,
      clock,
      log,
      findSocket: () => this.#connection.socket,
      heard: (chat) => this.#watch(chat),
      mayChange: (chat, sender) => this.#isAdmin(chat, sender),
    });
    this.#unreadable = new Unreadable(clock, (message) => this.#keep(message));
  }

  async connect(): Promise<void> {
    this.#connection.start();
  }

  async deliver(message: OutboundMessage, withdrawn: AbortSignal): Promise<Delivery> {
    const jid = this.#addresses.jidOf(message.chatId);
    const about = message.about && this.#messageAbout(jid, message.about);
    const quoted = message.kind === 'reaction' ? undefined : (about ?? undefined);
    const content = this.#content(message, about);
    return this.#connection.send(jid, content, this.sentAs(message.id), { quoted, withdrawn });
  }

  /** Every attempt has the same id, so that the server and the phones drop duplicates. */
  sentAs(id: string): string {
    return `3EB0${createHash('sha256').update(id).digest('hex').slice(0, 18)}`.toUpperCase();
  }

  layOut(text: string): Promise<string[]> {
    return this.#formatter.layOut(text);
  }

  showActivity(chatId: ChatId, text: string | null): void {
    const cancel = this.#typing.get(chatId);
    if (text === null) {
      if (!this.#typing.delete(chatId)) return;
      cancel?.();
      this.#sendPresence(chatId, 'paused');
    } else if (!cancel) this.#showTyping(chatId);
  }

  showTaken(messages: StoredMessage[]): void {
    const people = messages.filter(({ sender }) => sender.kind === 'person');
    const keys = people.map(({ chatId, id, sender: { id: senderId } }) => {
      const remoteJid = this.#addresses.jidOf(chatId);
      const sender = isGroupJid(remoteJid) && this.#addresses.jidOf(senderId);
      return { remoteJid, id, fromMe: false, ...(sender && { participant: sender }) };
    });
    this.#quietly((socket) => socket.readMessages(keys));
  }

  describe(): string {
    return `whatsapp (${describeState(this.#connection.state, this.#context.clock.now())})`;
  }

  async disconnect(): Promise<void> {
    this.#cancelOnlineNote();
    for (const cancel of this.#typing.values()) cancel();
    this.#inbox.close();
    this.#unreadable.close();
    await this.#connection.stop();
    await this.#formatter.close();
    this.#store.close();
  }

  #content(message: OutboundMessage, about: WAMessage | null): AnyMessageContent {
    if (message.kind === 'reaction')
      return { react: { text: message.emoji, ...(about && { key: about.key }) } };
    const { text, jids } = this.#addresses.mentions(this.#signed(message.text));
    return outgoingContent(message.kind === 'file' ? message.file : null, text, jids);
  }

  #signed(text: string): string {
    if (!this.#signature) return text;
    // Lists, quotes and code are recognised only at the beginning of a line.
    return this.#signature + (/^(?:[->`]|\d+\.)/.test(text) ? '\n' : ' ') + text;
  }

  /** The parts of a message that WhatsApp needs to show it as a quote. */
  #messageAbout(jid: string, about: Reference): WAMessage {
    const { messageId: id, senderId, text } = about;
    const fromMe = this.#store.isOwn(id) || senderId === chatIdOf(this.#store.own() ?? '');
    const participant = isGroupJid(jid) && !fromMe && this.#addresses.jidOf(senderId);
    const key = { remoteJid: jid, id, fromMe, ...(participant && { participant }) };
    return { key, message: { conversation: clip(text, quoteTextMax) } };
  }

  #showTyping(chatId: ChatId): void {
    this.#sendPresence(chatId, 'composing');
    const again = this.#context.clock.after(typingMs, () => this.#showTyping(chatId));
    this.#typing.set(chatId, again);
  }

  #sendPresence(chatId: ChatId, presence: WAPresence): void {
    const jid = this.#addresses.jidOf(chatId);
    this.#quietly((socket) => socket.sendPresenceUpdate(presence, jid));
  }

  /**
   * WhatsApp tells who types only to those who are available. While a device of a shared number is,
   * the owner's phone shows no notifications.
   */
  #showAvailable(): void {
    if (this.#signature === null) this.#quietly((socket) => socket.sendPresenceUpdate('available'));
  }

  #watch(chat: string): void {
    if (this.#watched.has(chat)) return;
    this.#watched.add(chat);
    const jid = this.#addresses.jidOf(chatIdOf(chat));
    this.#quietly((socket) => socket.presenceSubscribe(jid));
  }

  /** Whether to store the message. For an unregistered chat, only notes that somebody wrote. */
  #isKept(message: WAMessage): boolean {
    const { host, clock } = this.#context;
    const chat = this.#addresses.chatOf(message);
    if (host.listRegistered().includes(chatIdOf(chat))) {
      // Links the sender's two addresses now: the stored message holds only one of them.
      this.#addresses.senderOf(message);
      return !this.#store.isOwn(message.key.id ?? '');
    }
    const isName = !isGroupJid(chat) && !message.key.fromMe;
    host.noteChat(chatIdOf(chat), (isName && message.pushName) || null, clock.now());
    return false;
  }

  #listen({ ev }: WASocket): void {
    ev.on('presence.update', ({ id, presences }) => {
      const chat = isGroupJid(id) ? id : this.#store.lookUp(id);
      const isWriting = Object.values(presences).some(
        ({ lastKnownPresence: state }) => state === 'composing' || state === 'recording',
      );
      if (isWriting) this.#context.host.expectMessage(chatIdOf(chat));
    });
    // Baileys says nothing before it knows the account's name.
    ev.on('creds.update', ({ me }) => me?.name && this.#showAvailable());
    ev.on('groups.upsert', (groups) => this.#noteGroups(groups));
    ev.on('groups.update', (groups) => this.#noteGroups(groups));
    ev.on('connection.update', ({ receivedPendingNotifications }) => {
      if (receivedPendingNotifications) this.#inbox.endHold();
    });
    ev.on('messages.upsert', ({ messages, requestId }) => {
      if (!requestId) return this.#unreadable.note(messages);
      // The account's own phone has resent these on request; they had arrived without content.
      for (const message of messages) {
        this.#unreadable.arrived(message.key.id ?? '');
        this.#keep(message);
      }
    });
  }

  #keep(message: WAMessage): void {
    if (!this.#isKept(message)) return;
    const bytes = proto.WebMessageInfo.encode(message).finish();
    const receivedAtMs = this.#context.clock.now();
    this.#store.addToInbox({ message: bytes, wasOffline: false, receivedAtMs });
    this.#inbox.pump();
  }

  #noteGroups(groups: { id?: string; subject?: string }[]): void {
    for (const { id, subject } of groups.slice(0, groupsMax))
      if (id && subject) this.#context.host.noteChat(chatIdOf(id), subject, 0);
  }

  #stateChanged(state: ConnectionState): void {
    const { log, host, clock } = this.#context;
    log.info({ state }, 'whatsapp');
    this.#cancelOnlineNote();
    if (state.kind === 'connecting') this.#inbox.hold();
    else if (state.kind === 'open') this.#opened();
    else this.#inbox.release();
    if (state.kind !== 'ended' || state.reason === 'stopped') return;
    const text = `WhatsApp is not connected (${state.reason}). ${state.remedy} Nothing is lost: messages wait.`;
    log.error({ state }, text);
    process.stderr.write(`${text}\n`);
    // A terminal attached to the main chat shows it at once, WhatsApp when it is connected again.
    const notice = `${new Date(clock.now()).toLocaleString()}: ${text}`;
    host.owner.tell(notice, { key: endedNotice });
  }

  #opened(): void {
    const { host } = this.#context;
    host.owner.forget(endedNotice);
    if (this.#watched.size === 0) process.stderr.write('WhatsApp is connected.\n');
    this.#reportGap();
    this.#noteOnline();
    this.#showAvailable();
    this.#watched.clear();
    for (const chatId of host.listRegistered())
      if (chatId.startsWith(chatIdOf(''))) this.#watch(chatId.slice(chatIdOf('').length));
    this.#quietly(async (socket) => {
      this.#noteGroups(Object.values(await socket.groupFetchAllParticipating()));
    });
    host.available();
    this.#inbox.pump();
  }

  /** The server keeps messages for two weeks, and none from before a new link. */
  #reportGap(): void {
    const { clock, host } = this.#context;
    const lastMs = Number(this.#store.get('last-online') ?? 0);
    const isNewLink = this.#store.get('new-link') !== null;
    this.#store.set('new-link', null);
    if (lastMs === 0 || (!isNewLink && clock.now() - lastMs < keptByServerMs)) return;
    const [from, to] = [lastMs, clock.now()].map((ms) => new Date(ms).toLocaleString());
    const text = `WhatsApp was not connected from ${from} to ${to}: I may have missed messages.`;
    host.owner.tell(text, { key: `whatsapp gap ${lastMs}` });
  }

  #noteOnline(): void {
    const { clock } = this.#context;
    this.#store.set('last-online', String(clock.now()));
    this.#cancelOnlineNote = clock.after(onlineNoteMs, () => this.#noteOnline());
  }

  async #isAdmin(chat: string, sender: string): Promise<boolean> {
    const group = await this.#connection.socket?.groupMetadata(chat);
    return (group?.participants ?? []).some(
      ({ id, phoneNumber, admin }) => admin && this.#store.personOf(id, phoneNumber) === sender,
    );
  }

  /** For what may fail without harm: typing, receipts, names. */
  #quietly(work: (socket: WASocket) => Promise<unknown>): void {
    const { socket } = this.#connection;
    if (!socket) return;
    work(socket).catch((error) => this.#context.log.debug({ err: error }, 'whatsapp: not shown'));
  }
}

function describeState(state: ConnectionState, nowMs: number): string {
  switch (state.kind) {
    case 'open':
      return 'connected';
    case 'connecting':
      return 'connecting';
    case 'waiting':
      return `not connected: ${state.reason}; attempt ${state.attempts + 1} in ${Math.max(0, Math.round((state.untilMs - nowMs) / 1000))} s`;
    case 'ended':
      return `not connected: ${state.reason}. ${state.remedy}`;
  }
}
