/**
 * The terminal channel: people attach over a local socket, each to one group. A message is
 * delivered when a terminal confirms that it was shown. The example for other channels.
 */
import type { Socket } from 'node:net';
import { z } from 'zod';
import type { ChannelContext } from '../../base.ts';
import { type Deferred, deferred } from '../../deferred.ts';
import { plainName } from '../../text.ts';
import {
  type Channel,
  type ChatId,
  type Delivery,
  type OutboundFile,
  type OutboundMessage,
  type Settled,
  UserError,
} from '../../types.ts';
import { localFile } from './local-file.ts';
import {
  type FromTerminal,
  fromTerminalSchema,
  readLines,
  sendLine,
  type ToTerminal,
} from './protocol.ts';

/** A terminal with more unread output than this is disconnected. */
const unreadBytesMax = 8 * 1024 * 1024;
/** A terminal that has sent more than the host has stored is read no further for now. */
const unstoredMax = 100;

interface Terminal {
  socket: Socket;
  chatId: ChatId;
  senderName: string;
}

export class TerminalChannel implements Channel {
  readonly name = 'terminal';
  readonly textMax = 100_000;
  readonly #context: ChannelContext;
  readonly #sockets = new Set<Socket>();
  readonly #terminals = new Set<Terminal>();
  readonly #unacknowledged = new Map<string, { chatId: ChatId; done: Deferred<boolean> }>();
  readonly #connected = deferred<void>();

  constructor(context: ChannelContext) {
    this.#context = context;
    // Listens at once, so that no early terminal is lost; it is served when the host is up.
    context.socket.on('connection', (socket) => void this.#serve(socket));
  }

  async connect(): Promise<void> {
    const { host } = this.#context;
    host.onSettled((chatId) => {
      this.#tell(chatId, { kind: 'state', state: this.#settled(chatId) });
    });
    this.#connected.resolve();
  }

  async deliver(message: OutboundMessage): Promise<Delivery> {
    const { id, chatId } = message;
    const done = deferred<boolean>();
    this.#unacknowledged.set(id, { chatId, done });
    this.#show(message);
    const isShown = this.#terminalsOf(chatId).length > 0 && (await done.promise);
    this.#unacknowledged.delete(id);
    if (!isShown) throw new Error('no terminal is attached');
    return { kind: 'acknowledged' };
  }

  /** Shows what leaves for a chat of another channel at the terminals attached to its group. */
  mirror(message: OutboundMessage): void {
    if (this.#isForeign(message.chatId)) this.#show(message);
  }

  showActivity(chatId: ChatId, text: string | null): void {
    this.#tell(chatId, { kind: 'activity', text });
  }

  describe(): string {
    const { size } = this.#terminals;
    return size > 0 ? `terminal (${size} attached)` : this.name;
  }

  async disconnect(): Promise<void> {
    for (const socket of this.#sockets) socket.end();
    // Closing also removes the socket file.
    await new Promise((resolve) => this.#context.socket.close(resolve));
  }

  #settled(chatId: ChatId): Settled {
    return this.#context.host.settled(chatId, this.#isForeign(chatId));
  }

  /** Whether the chat is of another channel. */
  #isForeign(chatId: ChatId): boolean {
    return !chatId.startsWith(`${this.name}:`);
  }

  #terminalsOf(chatId: ChatId): Terminal[] {
    return [...this.#terminals].filter((terminal) => terminal.chatId === chatId);
  }

  #show(message: OutboundMessage): void {
    const { chatId, id } = message;
    this.#tell(chatId, { kind: 'deliver', id, ...shown(message) });
  }

  #tell(chatId: ChatId, message: ToTerminal, except?: Terminal): void {
    for (const terminal of this.#terminalsOf(chatId)) {
      if (terminal.socket.writableLength > unreadBytesMax) terminal.socket.destroy();
      else if (terminal !== except) sendLine(terminal.socket, message);
    }
  }

  async #serve(socket: Socket): Promise<void> {
    const { log } = this.#context;
    let terminal: Terminal | undefined;
    let unstored = 0;
    const refuse = (error: unknown) => {
      log.debug({ err: error }, 'a terminal was refused');
      sendLine(socket, { kind: 'refused', reason: reasonOf(error) });
      socket.end();
    };
    this.#sockets.add(socket);
    socket.on('error', (error) => log.debug({ err: error }, 'a terminal broke off'));
    try {
      await this.#connected.promise;
      for await (const line of readLines(socket, fromTerminalSchema)) {
        if (line.kind === 'hello') terminal ??= this.#greet(socket, line);
        else if (!terminal) throw new UserError('say hello first');
        else if (line.kind === 'ack') this.#unacknowledged.get(line.id)?.done.resolve(true);
        else {
          // The next line is not kept waiting: a command overtakes a file that is being read.
          const heard = this.#hear(terminal, line).catch((error) => {
            log.warn({ err: error }, 'a line of a terminal was not stored');
            sendLine(socket, { kind: 'unstored', id: line.id, reason: reasonOf(error) });
          });
          unstored += 1;
          void heard.then(() => {
            unstored -= 1;
          });
          if (unstored >= unstoredMax) await heard;
        }
      }
    } catch (error) {
      refuse(error);
    }
    socket.end();
    this.#sockets.delete(socket);
    if (terminal) this.#leave(terminal);
  }

  #greet(socket: Socket, { group: folder, as }: FromTerminal & { kind: 'hello' }): Terminal {
    const { host } = this.#context;
    const senderName = plainName(as);
    if (!senderName) throw new UserError(`${JSON.stringify(as)} is no name: it has no letter.`);
    const own = { folder, chatId: `${this.name}:${folder}`, name: folder };
    const { chatId, requiresTrigger } = host.openGroup(own);
    const terminal: Terminal = { socket, chatId, senderName };
    this.#terminals.add(terminal);
    const { assistantName } = host;
    sendLine(socket, { kind: 'welcome', assistantName, needsTrigger: requiresTrigger });
    sendLine(socket, { kind: 'state', state: this.#settled(chatId) });
    host.available(chatId);
    return terminal;
  }

  async #hear(terminal: Terminal, line: FromTerminal & { kind: 'message' }): Promise<void> {
    const { host } = this.#context;
    const { chatId, senderName, socket } = terminal;
    const { id, text } = line;
    const senderId = `${this.name}:${senderName}`;
    const attachments = line.files.map(localFile);
    const sentAtMs = Date.now();
    // Whoever can open the socket is the owner, whatever the name.
    const isOwner = true;
    const origin = attachments.length > 0 ? 'caption' : 'typed';
    const sender = { senderId, senderName, isOwner };
    await host.receive([
      { chatId, id, ...sender, text, origin, mentions: [], sentAtMs, attachments },
    ]);
    sendLine(socket, { kind: 'stored', id });
    sendLine(socket, { kind: 'state', state: this.#settled(chatId) });
    this.#tell(chatId, { kind: 'said', senderName, text }, terminal);
  }

  #leave(terminal: Terminal): void {
    this.#terminals.delete(terminal);
    const { chatId } = terminal;
    if (this.#terminalsOf(chatId).length > 0) return;
    for (const waiting of this.#unacknowledged.values())
      if (waiting.chatId === chatId) waiting.done.resolve(false);
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof z.ZodError) return error.issues[0]?.message ?? 'not understood';
  return error instanceof Error ? error.message : 'not understood';
}

function shown(message: OutboundMessage): { text: string; file: OutboundFile | null } {
  if (message.kind === 'reaction') return { text: `(${message.emoji})`, file: null };
  return { text: message.text, file: message.kind === 'file' ? message.file : null };
}
