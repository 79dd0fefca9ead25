/**
 * Keeps one connection to WhatsApp: one live socket, one timer, and endless retries at growing
 * intervals. Where a retry would do harm, it stops and says what the owner can do.
 */
import {
  type AnyMessageContent,
  type BinaryNode,
  DisconnectReason,
  fetchLatestWaWebVersion,
  generateWAMessage,
  type MessageRelayOptions,
  proto,
  type WAMessage,
  type WASocket,
  type WAVersion,
} from 'baileys';
import { type Deferred, deferred } from '../../deferred.ts';
import type { Clock, Delivery } from '../../types.ts';
import { loggerFor, silenceLibsignal } from './quiet.ts';
import { openSocket, type SocketDependencies } from './socket.ts';

export type ConnectionState =
  | { kind: 'connecting' }
  | { kind: 'open' }
  | { kind: 'waiting'; reason: string; attempts: number; untilMs: number }
  | { kind: 'ended'; reason: EndReason; remedy: string };

type EndReason = 'logged out' | 'replaced' | 'forbidden' | 'stopped';

export interface ConnectionDependencies
  extends Omit<SocketDependencies, 'version' | 'storeFailed'> {
  stateChanged(state: ConnectionState): void;
  /** Called with each new socket before its first event, to add listeners. */
  socketMade?(socket: WASocket): void;
  /** Called while linking, with the text to show as a QR code. */
  qr?(text: string, socket: WASocket): void;
}

const second = 1000;
const minute = 60 * second;
const firstWaitMs = second;
const waitMaxMs = 5 * minute;
/** A connection that lasts this long resets the count of attempts. */
const stableMs = minute;
const outdatedWaitMs = 60 * minute;
/** Limit from the start of a connection to the login. */
const openTimeoutMs = minute;
/** Limit for the upload of a file to WhatsApp's hosts. */
const uploadTimeoutMs = 5 * minute;
/** Immediate restarts in a row. If the server asks for more, it is retried after a wait. */
const restartsMax = 3;
const closeWaitMs = 2 * second;
/** Limit for the server's acknowledgement of a message, and for what Baileys asks it before that. */
const ackTimeoutMs = 20 * second;

const loggedOut = {
  reason: 'logged out' as const,
  remedy: 'Stop me, run "npm run unlink" and "npm run link", and start me again.',
};
const remedies: Partial<Record<number, { reason: EndReason; remedy: string }>> = {
  [DisconnectReason.loggedOut]: loggedOut,
  [DisconnectReason.multideviceMismatch]: loggedOut,
  [DisconnectReason.forbidden]: {
    reason: 'forbidden',
    remedy: 'WhatsApp has restricted the account: look at the phone, then start me again.',
  },
  [DisconnectReason.connectionReplaced]: {
    reason: 'replaced',
    remedy: 'Another program uses this link: stop it, then start me again.',
  },
};
/** The server refuses this version of the client. Baileys has no name for the code. */
const versionRefused = 405;

/** The server refuses what was encrypted for devices that have changed. */
const staleDevices = 'error 479';

interface SendOptions {
  quoted?: WAMessage | undefined;
  /** Aborted when the message is not to be sent after all. */
  withdrawn?: AbortSignal;
}

export class Connection {
  readonly #deps: ConnectionDependencies;
  readonly #clock: Clock;
  #state: ConnectionState = { kind: 'connecting' };
  #socket: WASocket | null = null;
  #version: WAVersion | null = null;
  #attempts = 0;
  #restarts = 0;
  #openedAtMs = Number.POSITIVE_INFINITY;
  #cancelTimer = () => {};
  readonly #unacknowledged = new Map<string, Deferred<string | Error | null>>();

  constructor(deps: ConnectionDependencies) {
    this.#deps = deps;
    this.#clock = deps.clock;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The live socket, while the connection is open. */
  get socket(): WASocket | null {
    return this.#state.kind === 'open' ? this.#socket : null;
  }

  start(): void {
    silenceLibsignal(console);
    this.#enter({ kind: 'connecting' });
    const storeFailed = (error: Error) => {
      if (socket === this.#socket) void this.#lost(error);
    };
    const socket = openSocket({ ...this.#deps, version: this.#version, storeFailed });
    this.#socket = socket;
    this.#deps.socketMade?.(socket);
    socket.ws.on('CB:ack,class:message', (node: BinaryNode) => this.#acknowledged(node));
    socket.ev.on('connection.update', ({ connection, lastDisconnect, qr }) => {
      if (socket !== this.#socket) return;
      if (qr) this.#waitForScan(qr, socket);
      if (connection === 'open') this.#opened();
      if (connection === 'close') void this.#lost(lastDisconnect?.error);
    });
    this.#setTimer(openTimeoutMs, () => void this.#lost(new Error('no login within a minute')));
  }

  /** Resolves when the socket is closed. Messages without an acknowledgement reject. */
  async stop(): Promise<void> {
    const closed = this.#drop();
    this.#enter({ kind: 'ended', reason: 'stopped', remedy: '' });
    // A server that is gone never closes its end.
    const late = new Promise<void>((resolve) => void this.#clock.after(closeWaitMs, resolve));
    await Promise.race([closed, late]);
  }

  /**
   * Sends a message under the given id and resolves to the server's answer. Rejects if there is
   * none: while the connection is down, when it is lost, or after 20 s. A server that has not even
   * answered what Baileys asks it first, such as the chat's devices, counts as lost by then. A
   * refusal that may pass is tried once more.
   *
   * Baileys' own sendMessage resolves once the bytes are written to the socket. Use it when it
   * reports acknowledgements.
   */
  async send(
    jid: string,
    content: AnyMessageContent,
    id: string,
    { quoted, withdrawn }: SendOptions = {},
  ): Promise<Delivery> {
    const { store, log } = this.#deps;
    const socket = this.socket;
    if (!socket) throw new Error('WhatsApp is not connected');
    const { message } = await generateWAMessage(jid, content, {
      userJid: socket.user?.id ?? '',
      upload: socket.waUploadToServer,
      mediaUploadTimeoutMs: uploadTimeoutMs,
      logger: loggerFor(log),
      messageId: id,
      getUrlInfo: async () => undefined,
      ...(quoted && { quoted }),
    });
    if (!message) throw new Error('there is nothing to send');
    withdrawn?.throwIfAborted();
    // A phone that cannot decrypt it requests it again by its id, at once or days later.
    store.saveSent(id, proto.Message.encode(message).finish(), this.#clock.now());
    const fresh = { useUserDevicesCache: false, useCachedGroupMetadata: false };
    let refusal = await this.#relay(socket, jid, message, { messageId: id });
    if (refusal === staleDevices)
      refusal = await this.#relay(socket, jid, message, { messageId: id, ...fresh });
    return refusal === null
      ? { kind: 'acknowledged' }
      : { kind: 'refused', reason: `WhatsApp refused it (${refusal}).` };
  }

  /** Resolves to why the server refuses it, or to null when the server has acknowledged it. */
  async #relay(
    socket: WASocket,
    jid: string,
    message: proto.IMessage,
    options: MessageRelayOptions & { messageId: string },
  ): Promise<string | null> {
    const { messageId: id } = options;
    const answer = deferred<string | Error | null>();
    this.#unacknowledged.set(id, answer);
    let isRelayed = false;
    const cancel = this.#clock.after(ackTimeoutMs, () => {
      answer.resolve(new Error('WhatsApp has not acknowledged the message'));
      // Baileys would wait for a minute, with all other messages behind it.
      if (!isRelayed && socket === this.#socket)
        void this.#lost(new Error('WhatsApp did not answer'));
    });
    try {
      await socket.relayMessage(jid, message, options);
      isRelayed = true;
      const refusal = await answer.promise;
      if (refusal instanceof Error) throw refusal;
      return refusal;
    } catch (error) {
      if (!isFinal(error)) throw error;
      return error.message;
    } finally {
      cancel();
      this.#unacknowledged.delete(id);
    }
  }

  #acknowledged({ attrs: { id = '', error } }: BinaryNode): void {
    this.#unacknowledged.get(id)?.resolve(error ? `error ${error}` : null);
  }

  /** Only while linking. Without a timeout: a person needs time to scan. */
  #waitForScan(qr: string, socket: WASocket): void {
    this.#cancelTimer();
    this.#deps.qr?.(qr, socket);
  }

  #opened(): void {
    this.#cancelTimer();
    this.#openedAtMs = this.#clock.now();
    const { store } = this.#deps;
    const { id, lid } = this.#socket?.user ?? {};
    if (id) store.set('own', store.personOf(id, lid));
    this.#enter({ kind: 'open' });
  }

  async #lost(error: Error | undefined): Promise<void> {
    const code = codeOf(error);
    void this.#drop();
    if (this.#clock.now() - this.#openedAtMs >= stableMs) {
      this.#attempts = 0;
      this.#restarts = 0;
    }
    this.#openedAtMs = Number.POSITIVE_INFINITY;
    const end = remedies[code];
    if (end) this.#enter({ kind: 'ended', ...end });
    else if (code === DisconnectReason.restartRequired && this.#restarts++ < restartsMax)
      this.start();
    else if (code === versionRefused) await this.#renewVersion();
    else this.#wait(error?.message ?? 'the connection was lost', this.#nextWaitMs());
  }

  /**
   * Retries with the version that WhatsApp's own page names. If that is refused too, only an update
   * of NanoClaw helps.
   */
  async #renewVersion(): Promise<void> {
    const latest = this.#version ? undefined : await fetchLatestWaWebVersion();
    if (this.#state.kind === 'ended') return;
    if (!latest?.isLatest) return this.#wait('this version is refused: update me', outdatedWaitMs);
    this.#version = latest.version;
    this.start();
  }

  #nextWaitMs(): number {
    const waitMs = Math.min(firstWaitMs * 2 ** Math.min(this.#attempts, 20), waitMaxMs);
    // Spread by chance: many clients lose their connection in the same second.
    return Math.round(waitMs * (0.5 + Math.random() / 2));
  }

  #wait(reason: string, waitMs: number): void {
    this.#attempts += 1;
    const untilMs = this.#clock.now() + waitMs;
    this.#enter({ kind: 'waiting', reason, attempts: this.#attempts, untilMs });
    this.#setTimer(waitMs, () => this.start());
  }

  #setTimer(delayMs: number, fire: () => void): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(delayMs, fire);
  }

  /** Ends the socket, if there is one, and ignores its events from now on. */
  async #drop(): Promise<void> {
    const socket = this.#socket;
    this.#socket = null;
    this.#cancelTimer();
    const lost = new Error('the connection was lost');
    for (const answer of this.#unacknowledged.values()) answer.resolve(lost);
    if (!socket) return;
    socket.ev.removeAllListeners('connection.update');
    const ended = socket.end(undefined);
    // Baileys does not reject its open queries when this side ends the socket: a message on its way
    // out would wait for a minute. Remove once end() rejects them.
    socket.ws.emit('error', lost);
    await ended;
  }

  #enter(state: ConnectionState): void {
    this.#state = state;
    this.#deps.stateChanged(state);
  }
}

/**
 * Whether the server says, when asked for a group's members, that there is no such group or that we
 * are not in it.
 */
function isFinal(error: unknown): error is Error {
  if (!(error instanceof Error && 'data' in error)) return false;
  return [401, 403, 404, 410].includes(Number(error.data));
}

/** The status code of a Boom error of Baileys; 0 for other errors. */
function codeOf(error: Error | undefined): number {
  if (!error || !('output' in error)) return 0;
  const { output } = error as { output?: { statusCode?: number } };
  return output?.statusCode ?? 0;
}
