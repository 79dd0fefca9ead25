/**
 * A person at a terminal: attaches to the host's socket, sends messages and records what arrives.
 * It speaks the real protocol, and a test can attach it again after the host has restarted.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  readLines,
  sendLine,
  type ToTerminal,
  toTerminalSchema,
} from '../../src/channels/terminal/protocol.ts';

type Delivered = Extract<ToTerminal, { kind: 'deliver' }>;

const patienceMs = 45_000;

export class TestTerminal {
  /** The delivered messages, each id once, in order. */
  readonly delivered: Delivered[] = [];
  /** Everything that the host sent, in order. */
  readonly heard: ToTerminal[] = [];
  /** How many deliveries repeated an id that had already been delivered. */
  repeats = 0;
  readonly #socketPath: string;
  readonly #group: string;
  readonly #as: string;
  readonly #unstored = new Map<string, { text: string; files: string[] }>();
  readonly #listeners = new Set<() => void>();
  #socket: Socket | undefined;
  #taken = 0;
  #left = false;

  /** Does not attach; see `connect`. */
  constructor(socketPath: string, group = 'main', as = 'you') {
    this.#socketPath = socketPath;
    this.#group = group;
    this.#as = as;
  }

  /** Attaches to a group. Rejects with the host's reason when it refuses. */
  static async attach(socketPath: string, group = 'main', as = 'you'): Promise<TestTerminal> {
    const terminal = new TestTerminal(socketPath, group, as);
    await terminal.connect();
    return terminal;
  }

  async connect(): Promise<void> {
    const socket = connect(this.#socketPath);
    await once(socket, 'connect');
    this.#socket?.destroy();
    this.#socket = socket;
    const from = this.heard.length;
    socket.on('error', () => {});
    sendLine(socket, { kind: 'hello', group: this.#group, as: this.#as });
    void this.#listen(socket);
    const closed = once(socket, 'close').then(() => {
      throw new Error('the host is gone');
    });
    const greeting = await Promise.race([
      closed,
      this.until(
        () => this.heard.slice(from).find(({ kind }) => kind === 'welcome' || kind === 'refused'),
        'a greeting',
      ),
    ]);
    closed.catch(() => {}); // After the greeting, whatever waits notices the end by itself.
    if (greeting.kind === 'refused') throw new Error(greeting.reason);
    for (const [id, message] of this.#unstored)
      sendLine(socket, { kind: 'message', id, ...message });
  }

  /** Sends a message. Resolves to its id once the host has stored it. */
  async say(text: string, files: string[] = [], id: string = randomUUID()): Promise<string> {
    this.tell(text, files, id);
    await this.until(() => !this.#unstored.has(id) || undefined, `"${text}" to be stored`);
    return id;
  }

  /** Sends a message without waiting. `connect` sends it again if it was not stored. */
  tell(text: string, files: string[] = [], id: string = randomUUID()): void {
    this.#unstored.set(id, { text, files });
    if (this.#socket) sendLine(this.#socket, { kind: 'message', id, text, files });
  }

  /** The number of messages that the host has not confirmed as stored. */
  get unstored(): number {
    return this.#unstored.size;
  }

  /** The next delivered message, in order. Rejects after 45 s without one. */
  async next(): Promise<Delivered> {
    const index = this.#taken;
    this.#taken += 1;
    return this.until(() => this.delivered[index], 'a delivery');
  }

  async nextText(): Promise<string> {
    return (await this.next()).text;
  }

  /** Resolves to what `find` returns as soon as that is not undefined. */
  until<Found>(
    find: () => Found | undefined,
    what: string,
    timeoutMs = patienceMs,
  ): Promise<Found> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = find();
        if (found === undefined) return;
        clearTimeout(timer);
        this.#listeners.delete(look);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#listeners.delete(look);
        const tail = JSON.stringify(this.heard.slice(-6), null, 1);
        reject(new Error(`gave up waiting for ${what}; the last lines from the host: ${tail}`));
      }, timeoutMs);
      this.#listeners.add(look);
      look();
    });
  }

  /** Resolves once the chat is settled or failed, after the latest message was stored. */
  async settled(timeoutMs?: number): Promise<'settled' | 'failed'> {
    const lastStored = this.heard.findLastIndex(({ kind }) => kind === 'stored');
    return this.until(
      () => {
        const last = this.heard.slice(lastStored).findLast(({ kind }) => kind === 'state');
        return last?.kind === 'state' && last.state !== 'open' ? last.state : undefined;
      },
      'the chat to be settled',
      timeoutMs,
    );
  }

  leave(): void {
    this.#left = true;
    this.#socket?.destroy();
  }

  async #listen(socket: Socket): Promise<void> {
    try {
      for await (const message of readLines(socket, toTerminalSchema)) this.#hear(socket, message);
    } catch {
      // The host was killed, or the terminal left on purpose.
    }
    if (this.#socket === socket) this.#socket = undefined;
    if (!this.#left) this.#notify();
  }

  #hear(socket: Socket, message: ToTerminal): void {
    this.heard.push(message);
    if (message.kind === 'stored' || message.kind === 'unstored') this.#unstored.delete(message.id);
    if (message.kind === 'deliver') {
      if (this.delivered.some(({ id }) => id === message.id)) this.repeats += 1;
      else this.delivered.push(message);
      sendLine(socket, { kind: 'ack', id: message.id });
    }
    this.#notify();
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
