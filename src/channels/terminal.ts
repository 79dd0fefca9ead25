/**
 * The terminal as a channel: people attach over a local socket (0600), each to one group.
 * A message is delivered when a terminal of its group says that it was shown; with none
 * attached it waits. The reference for other channels.
 */
import { createReadStream, statSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { basename } from 'node:path';
import mime from 'mime';
import { type Deferred, deferred } from '../deferred.ts';
import type { Log } from '../log.ts';
import {
  type AttachmentKind,
  type Channel,
  type ChannelHost,
  type ChatId,
  type Delivery,
  type IncomingAttachment,
  type OutboundMessage,
  UserError,
} from '../types.ts';
import type { ChannelContext } from './registry.ts';
import {
  type FromTerminal,
  fromTerminalSchema,
  readLines,
  sendLine,
  type ToTerminal,
} from './terminal-protocol.ts';

/** A terminal that does not read is let go when this much waits for it. */
const unreadBytesMax = 8 * 1024 * 1024;

interface Terminal {
  socket: Socket;
  chatId: ChatId;
  senderName: string;
}

export class TerminalChannel implements Channel {
  readonly name = 'terminal';
  readonly textMax = 100_000;
  readonly #host: ChannelHost;
  readonly #log: Log;
  readonly #server: Server;
  readonly #terminals = new Set<Terminal>();
  readonly #sockets = new Set<Socket>();
  /** Deliveries that no terminal has acknowledged yet, by message id. */
  readonly #unacknowledged = new Map<string, { chatId: ChatId; done: Deferred<boolean> }>();
  readonly #connected = deferred<void>();
  #stopListening = () => {};

  constructor({ host, log, socket }: ChannelContext) {
    this.#host = host;
    this.#log = log;
    this.#server = socket;
    // At once, or a terminal that attaches early would be lost; it waits until the host is up.
    socket.on('connection', (connection) => void this.#serve(connection));
  }

  async connect(): Promise<void> {
    this.#stopListening = this.#host.onSettled((chatId) => {
      this.#tell(chatId, { kind: 'state', state: this.#host.settled(chatId) });
    });
    this.#connected.resolve();
  }

  async deliver({ id, chatId, text, file }: OutboundMessage): Promise<Delivery> {
    const done = deferred<boolean>();
    this.#unacknowledged.set(id, { chatId, done });
    try {
      const reached = this.#tell(chatId, { kind: 'deliver', id, text, file });
      if (reached === 0 || !(await done.promise)) throw new Error('no terminal is attached');
      return { kind: 'acknowledged' };
    } finally {
      this.#unacknowledged.delete(id);
    }
  }

  showActivity(chatId: ChatId, text: string | null): void {
    this.#tell(chatId, { kind: 'activity', text });
  }

  describe(): string {
    return `terminal (${this.#terminals.size} attached)`;
  }

  async disconnect(): Promise<void> {
    this.#stopListening();
    for (const socket of this.#sockets) socket.end();
    // Closing removes the socket file as well.
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Tells all terminals of a chat; returns how many there are. */
  #tell(chatId: ChatId, message: ToTerminal, except?: Terminal): number {
    const there = [...this.#terminals].filter(
      (terminal) => terminal.chatId === chatId && terminal !== except,
    );
    for (const { socket } of there) {
      if (socket.writableLength > unreadBytesMax) socket.destroy();
      else sendLine(socket, message);
    }
    return there.length;
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on('error', (error) => this.#log.debug({ err: error }, 'a terminal broke off'));
    let terminal: Terminal | undefined;
    try {
      await this.#connected.promise;
      for await (const line of readLines(socket, fromTerminalSchema)) {
        if (line.kind === 'hello') terminal ??= this.#greet(socket, line);
        else if (terminal) await this.#hear(terminal, line);
        else throw new UserError('say hello first');
      }
    } catch (error) {
      const reason = error instanceof UserError ? error.message : 'not understood';
      this.#log.debug({ err: error }, 'a terminal was refused');
      sendLine(socket, { kind: 'refused', reason });
    } finally {
      socket.end();
      this.#sockets.delete(socket);
      if (terminal) this.#leave(terminal);
    }
  }

  #greet(socket: Socket, { group: folder, as }: FromTerminal & { kind: 'hello' }): Terminal {
    const chatId = `${this.name}:${folder}`;
    const group = this.#host.openGroup({ folder, chatId, name: folder });
    const terminal: Terminal = { socket, chatId, senderName: as };
    this.#terminals.add(terminal);
    sendLine(socket, {
      kind: 'welcome',
      assistantName: this.#host.assistantName,
      needsTrigger: group.requiresTrigger,
    });
    sendLine(socket, { kind: 'state', state: this.#host.settled(chatId) });
    this.#host.available(chatId);
    return terminal;
  }

  async #hear(terminal: Terminal, line: Exclude<FromTerminal, { kind: 'hello' }>): Promise<void> {
    if (line.kind === 'ack') {
      this.#unacknowledged.get(line.id)?.done.resolve(true);
      return;
    }
    const { chatId, senderName, socket } = terminal;
    await this.#host.receive([
      {
        chatId,
        id: line.id,
        senderId: `${this.name}:${senderName}`,
        senderName,
        text: line.text,
        sentAtMs: Date.now(),
        attachments: line.files.map(localFile),
      },
    ]);
    sendLine(socket, { kind: 'stored', id: line.id });
    sendLine(socket, { kind: 'state', state: this.#host.settled(chatId) });
    this.#tell(chatId, { kind: 'said', senderName, text: line.text }, terminal);
  }

  #leave(terminal: Terminal): void {
    this.#terminals.delete(terminal);
    const { chatId } = terminal;
    if ([...this.#terminals].some((other) => other.chatId === chatId)) return;
    for (const waiting of this.#unacknowledged.values())
      if (waiting.chatId === chatId) waiting.done.resolve(false);
  }
}

/** A file that a person at this machine names; they could read it anyway. */
function localFile(path: string): IncomingAttachment {
  const type = mime.getType(path) ?? 'application/octet-stream';
  const family = type.slice(0, type.indexOf('/'));
  const kinds: readonly AttachmentKind[] = ['image', 'audio', 'video'];
  return {
    kind: kinds.find((kind) => kind === family) ?? 'document',
    name: basename(path),
    mime: type,
    open: async () => {
      if (!statSync(path, { throwIfNoEntry: false })?.isFile())
        throw new UserError('there is no such file');
      return createReadStream(path);
    },
  };
}
