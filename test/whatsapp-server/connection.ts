/** One WebSocket: frames with a three-byte length, the Noise handshake, then binary XML nodes. */
import { decodeBinaryNode, encodeBinaryNode, NOISE_WA_HEADER, proto } from 'baileys';
import type { WebSocket } from 'ws';
import { type BinaryNode, node } from './nodes.ts';
import type { NoiseResponder } from './noise.ts';

export interface Login {
  clientStatic: Buffer;
  payload: proto.ClientPayload;
}

export interface ConnectionEvents {
  loggingIn(connection: ClientConnection, login: Login): void | Promise<void>;
  received(connection: ClientConnection, node: BinaryNode): void | Promise<void>;
  closed(connection: ClientConnection): void;
}

/** Leaves time for the last frame to be sent before the socket closes. */
const closeDelayMs = 20;

export class ClientConnection {
  /** The client has asked for its messages. */
  isReady = false;
  /** The client has shown itself: only then is it told who types, in the chats that it watches. */
  isAvailable = false;
  readonly watched = new Set<string>();
  /** Neither reads nor sends, like a dead network. */
  isStalled = false;
  readonly #socket: WebSocket;
  readonly #noise: NoiseResponder;
  readonly #events: ConnectionEvents;
  #state: 'hello' | 'finish' | 'open' = 'hello';
  #buffer = Buffer.alloc(0);
  #hasIntro = false;

  constructor(socket: WebSocket, noise: NoiseResponder, events: ConnectionEvents) {
    this.#socket = socket;
    this.#noise = noise;
    this.#events = events;
    let last: Promise<void> = Promise.resolve();
    socket.on('message', (data: Buffer) => {
      last = last.then(() => this.#read(data)).catch((error) => this.#fail(error));
    });
    socket.on('close', () => events.closed(this));
    socket.on('error', () => {}); // `close` follows.
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  send(stanza: BinaryNode): void {
    if (!this.isStalled) this.#write(this.#noise.seal(encodeBinaryNode(stanza)));
  }

  /** Ends the stream with an error, which the client tells by its code or child node. */
  endWith(code: number | null, reason?: BinaryNode): void {
    const attrs = code === null ? {} : { code: String(code) };
    this.send(node('stream:error', attrs, reason ? [reason] : undefined));
    this.#closeSoon();
  }

  /** Refuses the login. */
  refuse(reason: number): void {
    this.send(node('failure', { reason: String(reason), location: 'frc' }));
    this.#closeSoon();
  }

  /** Drops the connection like a broken network. */
  drop(): void {
    this.#socket.terminate();
  }

  #closeSoon(): void {
    setTimeout(() => this.#socket.close(), closeDelayMs);
  }

  #fail(error: Error): void {
    process.stderr.write(`whatsapp-server: ${error.stack}\n`);
    this.#socket.terminate();
  }

  #write(frame: Uint8Array): void {
    if (!this.isOpen) return;
    const header = Buffer.alloc(3);
    header.writeUIntBE(frame.length, 0, 3);
    this.#socket.send(Buffer.concat([header, frame]));
  }

  async #read(data: Buffer): Promise<void> {
    if (this.isStalled) return;
    this.#buffer = Buffer.concat([this.#buffer, data]);
    if (!this.#hasIntro) this.#readIntro();
    while (this.#buffer.length >= 3) {
      const end = 3 + this.#buffer.readUIntBE(0, 3);
      if (this.#buffer.length < end) return;
      const frame = this.#buffer.subarray(3, end);
      this.#buffer = this.#buffer.subarray(end);
      await this.#readFrame(frame);
    }
  }

  /** The header may be preceded by `ED`, a version and a routing hint. */
  #readIntro(): void {
    if (this.#buffer.subarray(0, 2).toString() === 'ED')
      this.#buffer = this.#buffer.subarray(7 + this.#buffer.readUIntBE(4, 3));
    const header = Buffer.from(NOISE_WA_HEADER);
    if (!this.#buffer.subarray(0, header.length).equals(header)) throw new Error('not WhatsApp');
    this.#buffer = this.#buffer.subarray(header.length);
    this.#hasIntro = true;
  }

  async #readFrame(frame: Buffer): Promise<void> {
    if (this.#state === 'hello') {
      const { clientHello } = proto.HandshakeMessage.decode(frame);
      this.#state = 'finish';
      this.#write(this.#noise.hello(clientHello?.ephemeral ?? Buffer.alloc(0)));
    } else if (this.#state === 'finish') {
      const { clientFinish } = proto.HandshakeMessage.decode(frame);
      const login = this.#noise.finish(clientFinish ?? {});
      this.#state = 'open';
      await this.#events.loggingIn(this, login);
    } else await this.#events.received(this, await decodeBinaryNode(this.#noise.open(frame)));
  }
}
