/**
 * A connection without a host, linked to the stand-in WhatsApp server: the real Baileys over a real
 * socket, with a held clock. The test decides what happens to each message.
 */
import { EventEmitter, once } from 'node:events';
import { join } from 'node:path';
import { proto, type WAMessage, type WASocket } from 'baileys';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { Connection, type ConnectionState } from '../../src/channels/whatsapp/connection.ts';
import { WhatsAppStore } from '../../src/channels/whatsapp/store.ts';
import { defaultLimits } from '../../src/config.ts';
import { WhatsAppServer } from '../whatsapp-server/client.ts';
import { HeldClock } from './held-clock.ts';
import { alice, assistant, bob } from './linked-host.ts';
import { temporaryFolder } from './store.ts';

type Kind = ConnectionState['kind'];

export class LinkedConnection {
  readonly server: WhatsAppServer;
  readonly clock = new HeldClock();
  readonly path = join(temporaryFolder(), 'whatsapp.db');
  readonly store = new WhatsAppStore(this.path);
  /** Every state that was entered, in order. */
  readonly states: ConnectionState[] = [];
  readonly sockets: WASocket[] = [];
  /** The highest number of sockets that were connected or connecting at the same time. */
  liveMost = 0;
  readonly logLines: string[] = [];
  readonly connection: Connection;
  /** Given to the connection: which decrypted messages it stores, and what it calls after that. */
  isKept: (message: WAMessage) => boolean = () => true;
  kept: (message: WAMessage) => void = () => {};
  readonly #changes = new EventEmitter();

  private constructor(server: WhatsAppServer) {
    this.server = server;
    this.connection = new Connection({
      store: this.store,
      clock: this.clock,
      webSocketUrl: server.webSocketUrl,
      keepAliveMs: defaultLimits.keepAliveMs,
      log: pino({ level: 'warn' }, { write: (line: string) => void this.logLines.push(line) }),
      isKept: (message) => this.isKept(message),
      kept: (message) => this.kept(message),
      stateChanged: (state) => {
        this.states.push(state);
        this.#changes.emit('change');
      },
      socketMade: (socket) => {
        this.sockets.push(socket);
        const live = this.sockets.filter(({ ws }) => ws.isOpen || ws.isConnecting);
        this.liveMost = Math.max(this.liveMost, live.length);
      },
      qr: (qr) => void server.do('scanQr', { qr }),
    });
    onTestFinished(async () => {
      const stopped = this.connection.stop();
      await server.close();
      await stopped;
      this.store.close();
    });
  }

  /** Resolves once it is linked by a QR code and open. Alice and Bob can write to it. */
  static async start(): Promise<LinkedConnection> {
    const linked = new LinkedConnection(await WhatsAppServer.start(assistant));
    for (const person of [alice, bob]) await linked.server.do('addPeer', person);
    linked.connection.start();
    await linked.entered('open');
    await linked.server.waitState({ isReady: true, minLogins: 1 });
    return linked;
  }

  /** The ids of the messages in the inbox, in order. */
  inboxIds(): string[] {
    return this.store
      .listInbox(100_000)
      .map(({ message }) => proto.WebMessageInfo.decode(message).key?.id ?? '');
  }

  /** How often it has entered a state of this kind. */
  count(kind: Kind): number {
    return this.states.filter((state) => state.kind === kind).length;
  }

  /** Resolves to the `nth` state of this kind once it is entered. */
  async entered<Wanted extends Kind>(
    kind: Wanted,
    nth = 1,
  ): Promise<Extract<ConnectionState, { kind: Wanted }>> {
    const isWanted = (state: ConnectionState) => state.kind === kind;
    for (;;) {
      const found = this.states.filter(isWanted)[nth - 1];
      if (found) return found as Extract<ConnectionState, { kind: Wanted }>;
      await once(this.#changes, 'change');
    }
  }

  /** Calls `cause` and resolves to the next state of this kind. */
  async next<Wanted extends Kind>(kind: Wanted, cause: () => unknown) {
    const before = this.count(kind);
    await cause();
    return this.entered(kind, before + 1);
  }
}
