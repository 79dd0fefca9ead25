/**
 * Plain Baileys with its keys in memory, for the server's own tests, which so do not depend on this
 * project's channel. It never reconnects by itself.
 */
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:https';
import { buffer as readBuffer } from 'node:stream/consumers';
import {
  type AuthenticationCreds,
  addTransactionCapability,
  type BaileysEventMap,
  type BinaryNode,
  DEFAULT_CONNECTION_CONFIG,
  downloadMediaMessage,
  initAuthCreds,
  makeWASocket,
  type proto,
  type SignalKeyStore,
  type WAMessage,
  type WASocket,
} from 'baileys';
import { pino } from 'pino';
import { onTestFinished, vi } from 'vitest';
import { WhatsAppServer } from './client.ts';
import { memoryKeys } from './memory-keys.ts';

export const assistant = { number: '15550000001', lid: '900000000000001', name: 'Assistant' };
export const alice = { number: '15551110002', lid: '900000000000012', name: 'Alice' };
export const bob = { number: '15551110003', lid: '900000000000013', name: 'Bob' };
export const family = '120363000000000001@g.us';

const silent = pino({ level: 'silent' });
const patienceMs = 30_000;

type EventName = keyof BaileysEventMap;

interface Seen {
  name: string;
  data: unknown;
}

export class PlainClient {
  readonly server: WhatsAppServer;
  /** Received stanzas, before Baileys processes them. */
  readonly stanzas: BinaryNode[] = [];
  readonly #creds: AuthenticationCreds;
  readonly #keys: SignalKeyStore;
  readonly #sent = new Map<string, proto.IMessage>();
  readonly #seen: Seen[] = [];
  readonly #changes = new EventEmitter<{ change: [] }>().setMaxListeners(100);
  #socket: WASocket | undefined;

  private constructor(server: WhatsAppServer, creds = initAuthCreds(), keys = memoryKeys()) {
    this.server = server;
    this.#creds = creds;
    this.#keys = keys;
  }

  /** Starts a server with two people and a group, and a client that is linked and connected. */
  static async start(): Promise<PlainClient> {
    const client = await PlainClient.prepare();
    await client.link();
    return client;
  }

  /** The same with a client that is not linked. */
  static async prepare(): Promise<PlainClient> {
    // libsignal prints its sessions.
    for (const method of ['log', 'info', 'warn', 'error'] as const)
      vi.spyOn(console, method).mockImplementation(() => {});
    const server = await WhatsAppServer.start(assistant);
    const client = new PlainClient(server);
    onTestFinished(async () => {
      client.disconnect();
      await server.close();
    });
    for (const person of [alice, bob]) await server.do('addPeer', person);
    const members = [alice.number, bob.number];
    await server.do('addGroup', { id: family.split('@')[0] ?? '', subject: 'Family', members });
    return client;
  }

  /** A second client with the same keys. */
  twin(): PlainClient {
    const twin = new PlainClient(this.server, this.#creds, this.#keys);
    onTestFinished(() => twin.disconnect());
    return twin;
  }

  /** A second client that is not linked yet. */
  stranger(): PlainClient {
    const stranger = new PlainClient(this.server);
    onTestFinished(() => stranger.disconnect());
    return stranger;
  }

  get socket(): WASocket {
    if (!this.#socket) throw new Error('the client is not connected');
    return this.#socket;
  }

  /** Opens a socket in place of the previous one. */
  connect(): void {
    this.disconnect();
    const socket = makeWASocket({
      auth: { creds: this.#creds, keys: this.#keys },
      logger: silent,
      waWebSocketUrl: this.server.webSocketUrl,
      getMessage: async ({ id }) => this.#sent.get(id ?? ''),
      fetchAgent: new Agent({ ca: this.#ca() }),
      // Without it, Baileys 7.0.0-rc14 loses messages when it sends and receives at the same time.
      makeSignalRepository: (auth, logger, find) => {
        const options = { maxCommitRetries: 1, delayBetweenTriesMs: 1 };
        const keys = addTransactionCapability(this.#keys, silent, options);
        return DEFAULT_CONNECTION_CONFIG.makeSignalRepository({ ...auth, keys }, logger, find);
      },
    });
    this.#socket = socket;
    socket.ev.on('creds.update', (changes) => Object.assign(this.#creds, changes));
    socket.ev.process((events) => {
      if (this.#socket !== socket) return;
      for (const [name, data] of Object.entries(events)) this.#see({ name, data });
    });
    for (const tag of ['message', 'ack', 'ib', 'receipt', 'notification', 'chatstate'])
      socket.ws.on(`CB:${tag}`, (stanza: BinaryNode) => {
        this.stanzas.push(stanza);
        this.#changes.emit('change');
      });
  }

  /** Disconnects without a word, like a process that is killed. */
  disconnect(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.end(undefined);
  }

  /** Links the client by a QR code. Resolves when it is connected. */
  async link(): Promise<void> {
    this.connect();
    await this.server.do('scanQr', { qr: await this.qr() });
    await this.reconnectAfter(515);
  }

  async qr(): Promise<string> {
    const { qr } = await this.event('connection.update', ({ qr }) => qr !== undefined);
    return qr ?? '';
  }

  /** Waits until the server ends the connection with this code, then reconnects. */
  async reconnectAfter(code: number): Promise<void> {
    expectCode(await this.closed(), code);
    await this.open();
  }

  /** Connects and waits until it may send. */
  async open(): Promise<void> {
    this.connect();
    await this.event('connection.update', ({ connection }) => connection === 'open');
  }

  /** Resolves to the code with which the connection ends. */
  async closed(): Promise<number> {
    const { lastDisconnect } = await this.event(
      'connection.update',
      ({ connection }) => connection === 'close',
    );
    const error = lastDisconnect?.error;
    if (!error || !('output' in error)) throw new Error('it ended without a reason');
    return (error as { output: { statusCode: number } }).output.statusCode;
  }

  /** Waits for the first matching event that no earlier call has returned. */
  async event<Name extends EventName>(
    name: Name,
    matches: (data: BaileysEventMap[Name]) => boolean = () => true,
  ): Promise<BaileysEventMap[Name]> {
    const is = (seen: Seen): seen is Seen & { data: BaileysEventMap[Name] } =>
      seen.name === name && matches(seen.data as BaileysEventMap[Name]);
    const found = await this.#until(() => this.#seen.find(is), `the event ${name}`);
    this.#seen.splice(this.#seen.indexOf(found), 1);
    return found.data;
  }

  /** Waits for the message with this id and a readable content in `messages.upsert`. */
  async message(id: string): Promise<WAMessage & { upsert: string }> {
    const find = () => {
      for (const { name, data } of this.#seen) {
        if (name !== 'messages.upsert') continue;
        const { messages, type } = data as BaileysEventMap['messages.upsert'];
        const found = messages.find((message) => message.key.id === id && isReadable(message));
        if (found) return { ...found, upsert: type };
      }
      return undefined;
    };
    return this.#until(find, `message ${id}`);
  }

  /** How often the message with this id arrived with a readable content. */
  timesHeard(id: string): number {
    return this.#seen
      .filter(({ name }) => name === 'messages.upsert')
      .flatMap(({ data }) => (data as BaileysEventMap['messages.upsert']).messages)
      .filter((message) => message.key.id === id && isReadable(message)).length;
  }

  /** Waits for a stanza. */
  stanza(matches: (stanza: BinaryNode) => boolean): Promise<BinaryNode> {
    return this.#until(() => this.stanzas.find(matches), 'the stanza');
  }

  /** Resolves to the message's id. */
  async say(to: string, content: Parameters<WASocket['sendMessage']>[1]): Promise<string> {
    const sent = await this.socket.sendMessage(to, content);
    const id = sent?.key.id;
    if (!id || !sent.message) throw new Error('nothing was sent');
    this.#sent.set(id, sent.message);
    return id;
  }

  async download(message: WAMessage): Promise<Buffer> {
    await fetch('data:,'); // Loads Node's own undici Agent, which has no public name.
    const { constructor: Dispatcher } = Reflect.get(
      globalThis,
      Symbol.for('undici.globalDispatcher.1'),
    );
    const options = { dispatcher: new Dispatcher({ connect: { ca: this.#ca() } }) };
    return downloadMediaMessage(message, 'buffer', { options });
  }

  /**
   * Downloads the encrypted file without Baileys, in which a broken download is an uncaught
   * exception (7.0.0-rc14). Rejects when it ends too early.
   */
  async fetchFile({ message }: WAMessage): Promise<{ status: number; length: number }> {
    const request = get(message?.imageMessage?.url ?? '', { ca: this.#ca() });
    const [response] = await once(request, 'response');
    const bytes = await readBuffer(response);
    return { status: response.statusCode, length: bytes.length };
  }

  #see(seen: Seen): void {
    this.#seen.push(seen);
    this.#changes.emit('change');
  }

  async #until<Found>(look: () => Found | undefined, what: string): Promise<Found> {
    const signal = AbortSignal.timeout(patienceMs);
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      await once(this.#changes, 'change', { signal }).catch((cause) => {
        throw new Error(`${what} did not come`, { cause });
      });
    }
  }

  #ca(): string {
    return readFileSync(this.server.environment.NODE_EXTRA_CA_CERTS, 'utf8');
  }
}

/** Baileys also reports messages that it could not decrypt, sometimes with a decrypted part. */
function isReadable({ message, messageStubType }: WAMessage): boolean {
  return Boolean(message) && !messageStubType;
}

function expectCode(code: number, expected: number): void {
  if (code !== expected) throw new Error(`it ended with ${code} instead of ${expected}`);
}
