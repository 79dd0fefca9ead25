/**
 * One attempt to connect to WhatsApp for `link` and `unlink`: shows the QR or pairing code if the
 * account has to be linked first, and logs out. Saves nothing but what the connection itself saves.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { WASocket } from 'baileys';
import { pino } from 'pino';
import qrcode from 'qrcode-terminal';
import { Connection, type ConnectionState } from '../channels/whatsapp/connection.ts';
import type { WhatsAppStore } from '../channels/whatsapp/store.ts';
import { systemClock } from '../clock.ts';
import { type Config, defaultLimits } from '../config.ts';
import { deferred } from '../deferred.ts';
import { UserError } from '../types.ts';

/** Limit for WhatsApp to confirm a logout. */
const logoutMs = 20_000;
/** Limit from the scan to the login. */
const pairedMs = 60_000;

/** Thrown when the person ends the command, as with Ctrl-C. */
export const cancelled = new UserError('Cancelled.');

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** `number`: the number to link with a pairing code; null for a QR code. */
export class Linking {
  readonly #connection: Connection;
  readonly #opened = deferred<WASocket | UserError>();
  readonly #number: string | null;
  #isShown = false;
  #isPaired = false;

  constructor(config: Config, store: WhatsAppStore, number: string | null) {
    this.#number = number;
    this.#connection = new Connection({
      store,
      log: pino({ level: 'silent' }),
      clock: systemClock,
      webSocketUrl: config.whatsAppUrl,
      keepAliveMs: defaultLimits.keepAliveMs,
      // Keeps everything: the host will drop the messages of chats that are not registered.
      isKept: () => true,
      kept() {},
      stateChanged: (state) => this.#changed(state),
      socketMade: ({ ev }) =>
        ev.on('connection.update', ({ isNewLogin }) => {
          if (isNewLogin) this.#paired();
        }),
      qr: (text, socket) => void this.#show(text, socket),
    });
    this.#connection.start();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
      process.on(signal, () => this.#opened.resolve(cancelled));
  }

  /** Resolves to the open socket. Rejects with a UserError when there will be none. */
  async opened(): Promise<WASocket> {
    const result = await this.#opened.promise;
    if (result instanceof UserError) throw result;
    return result;
  }

  /** Logs out; false if WhatsApp did not confirm it in time. */
  async logOut(): Promise<boolean> {
    const { socket } = this.#connection;
    if (!socket) return false;
    const confirmed = socket.logout().then(
      () => true,
      () => false,
    );
    return Promise.race([confirmed, sleep(logoutMs, false, { ref: false })]);
  }

  stop(): Promise<void> {
    return this.#connection.stop();
  }

  #changed(state: ConnectionState): void {
    const { socket } = this.#connection;
    if (state.kind === 'open' && socket) this.#opened.resolve(socket);
    // After the scan, failures are retried for a while.
    if (state.kind === 'waiting' && !this.#isPaired)
      this.#opened.resolve(new UserError(this.#whyNot(state.reason)));
    if (state.kind === 'ended')
      this.#opened.resolve(new UserError(`WhatsApp refused the connection: ${state.reason}.`));
  }

  #paired(): void {
    this.#isPaired = true;
    const late = new UserError('The code was accepted, but then WhatsApp could not be reached.');
    setTimeout(() => this.#opened.resolve(late), pairedMs).unref();
  }

  #whyNot(reason: string): string {
    if (!this.#isShown) return `WhatsApp cannot be reached: ${reason}.`;
    return `The code was not ${this.#number ? 'entered' : 'scanned'} in time (${reason}). To try again: npm run link`;
  }

  async #show(text: string, socket: WASocket): Promise<void> {
    const isFirst = !this.#isShown;
    this.#isShown = true;
    if (this.#number === null) showQr(text, isFirst);
    else if (isFirst) {
      try {
        const code = await socket.requestPairingCode(this.#number);
        say(
          `On the phone of +${this.#number}: WhatsApp, Settings, Linked devices, Link a device, "Link with phone number instead". The code:\n\n    ${code.slice(0, 4)}-${code.slice(4)}\n`,
        );
      } catch (error) {
        this.#opened.resolve(new UserError(`WhatsApp gave no code for this number: ${error}`));
      }
    }
  }
}

function showQr(text: string, isFirst: boolean): void {
  qrcode.generate(text, { small: true }, (picture) => {
    const lines = picture.split('\n');
    const width = lines[0]?.length ?? 0;
    const { columns } = process.stdout;
    if (columns && columns < width)
      return say(
        `The terminal is ${columns} columns wide, the QR code ${width}. Make it wider, or: npm run link -- --code +NUMBER`,
      );
    if (isFirst)
      say('On the phone of the account: WhatsApp, Settings, Linked devices, Link a device.');
    // Replaces the previous code, which has expired.
    else if (process.stdout.isTTY) process.stdout.write(`\x1b[${lines.length}A\x1b[J`);
    say(picture);
  });
}
