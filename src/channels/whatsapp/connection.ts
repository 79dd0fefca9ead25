/**
 * Keeps one connection to WhatsApp: a single live socket, a single timer, waits that grow without
 * an end to the attempts. Where trying again would do harm it stops and says how to mend it.
 */
import {
  type AnyMessageContent,
  type BinaryNode,
  DisconnectReason,
  fetchLatestWaWebVersion,
  generateWAMessage,
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
  /** Of a new socket, before anything has come: to listen to its events. */
  socketMade?(socket: WASocket): void;
  /** For linking: what to show as a QR code. */
  qr?(text: string, socket: WASocket): void;
}

const second = 1000;
const minute = 60 * second;
const firstWaitMs = second;
const waitMaxMs = 5 * minute;
/** A connection that lived this long has not failed. */
const stableMs = minute;
const outdatedWaitMs = 60 * minute;
/** From the start of a connection to the login. */
const openTimeoutMs = minute;
/** For a file on its way to WhatsApp's hosts. */
const uploadTimeoutMs = 5 * minute;
/** In a row; a server that asks for one at every login is waited for like any other. */
const restartsMax = 3;
const closeWaitMs = 2 * second;
/** For the server's word on a message. */
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
/** Baileys has no name for it: this version of the client is refused. */
const versionRefused = 405;

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
  readonly #unacknowledged = new Map<string, Deferred<Delivery | Error>>();

  constructor(deps: ConnectionDependencies) {
    this.#deps = deps;
    this.#clock = deps.clock;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The live one, while it is open. */
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

  /** Resolves when the socket is closed. What waits for an acknowledgement rejects. */
  async stop(): Promise<void> {
    const closed = this.#drop();
    this.#enter({ kind: 'ended', reason: 'stopped', remedy: '' });
    // A server that is gone does not close its end.
    const late = new Promise<void>((resolve) => void this.#clock.after(closeWaitMs, resolve));
    await Promise.race([closed, late]);
  }

  /**
   * Sends under an id made beforehand. Resolves to the server's word; rejects when there is none:
   * while the connection is down, when it is lost, or after 20 s.
   *
   * Baileys' own sendMessage resolves when the socket has taken the bytes. Can go when it tells of
   * acknowledgements.
   */
  async send(
    jid: string,
    content: AnyMessageContent,
    id: string,
    quoted?: WAMessage,
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
    // A phone that cannot read it asks for it again by its id, at once or in days.
    store.saveSent(id, proto.Message.encode(message).finish(), this.#clock.now());
    const answer = deferred<Delivery | Error>();
    this.#unacknowledged.set(id, answer);
    const cancel = this.#clock.after(ackTimeoutMs, () =>
      answer.resolve(new Error('WhatsApp has not acknowledged the message')),
    );
    try {
      await socket.relayMessage(jid, message, { messageId: id });
      const delivery = await answer.promise;
      if (delivery instanceof Error) throw delivery;
      return delivery;
    } catch (error) {
      if (!isFinal(error)) throw error;
      return { kind: 'refused', reason: `WhatsApp refused it (${error.message}).` };
    } finally {
      cancel();
      this.#unacknowledged.delete(id);
    }
  }

  #acknowledged({ attrs: { id = '', error } }: BinaryNode): void {
    const refusal = { kind: 'refused' as const, reason: `WhatsApp refused it (error ${error}).` };
    this.#unacknowledged.get(id)?.resolve(error ? refusal : { kind: 'acknowledged' });
  }

  /** Only while linking; a person takes their time. */
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

  /** The version that WhatsApp's own page names now; once that is refused too, an update must come. */
  async #renewVersion(): Promise<void> {
    const latest = this.#version ? undefined : await fetchLatestWaWebVersion();
    if (this.#state.kind === 'ended') return;
    if (!latest?.isLatest) return this.#wait('this version is refused: update me', outdatedWaitMs);
    this.#version = latest.version;
    this.start();
  }

  #nextWaitMs(): number {
    const waitMs = Math.min(firstWaitMs * 2 ** Math.min(this.#attempts, 20), waitMaxMs);
    // Apart from all others that lost their connection in the same second.
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

  /** Ends the socket, if there is one; nothing of it is heard any more. */
  async #drop(): Promise<void> {
    const socket = this.#socket;
    this.#socket = null;
    this.#cancelTimer();
    const lost = new Error('the connection was lost');
    for (const answer of this.#unacknowledged.values()) answer.resolve(lost);
    if (!socket) return;
    socket.ev.removeAllListeners('connection.update');
    const ended = socket.end(undefined);
    // Baileys forgets what it has asked the server when this side ends the socket: who waits for
    // the answer, a message on its way out, say, waits for a minute. Can go when end() rejects it.
    socket.ws.emit('error', lost);
    await ended;
  }

  #enter(state: ConnectionState): void {
    this.#state = state;
    this.#deps.stateChanged(state);
  }
}

/** Asked for its members, the server says that the group is gone, or that we are not in it. */
function isFinal(error: unknown): error is Error {
  if (!(error instanceof Error && 'data' in error)) return false;
  return [401, 403, 404, 410].includes(Number(error.data));
}

/** Of a Boom error: the status that Baileys gave it. */
function codeOf(error: Error | undefined): number {
  if (!error || !('output' in error)) return 0;
  const { output } = error as { output?: { statusCode?: number } };
  return output?.statusCode ?? 0;
}
