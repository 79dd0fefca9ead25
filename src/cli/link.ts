/**
 * `npm run link` and `npm run unlink`: joins this machine to a WhatsApp account as a linked
 * device, and takes it out again. A link that was not finished leaves nothing behind.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { WASocket } from 'baileys';
import { pino } from 'pino';
import qrcode from 'qrcode-terminal';
import { Connection, type ConnectionState } from '../channels/whatsapp/connection.ts';
import { storePath } from '../channels/whatsapp/linked.ts';
import { WhatsAppStore } from '../channels/whatsapp/store.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { Store } from '../db.ts';
import { deferred } from '../deferred.ts';
import { mainGroup, moveMain } from '../groups.ts';
import { claimSocket, prepareState } from '../state-folders.ts';
import { UserError } from '../types.ts';

export interface LinkOptions {
  /** The number that is to be linked, where no QR code can be scanned. */
  code?: string;
  /** `own` or `shared`; asked for when it is left out. */
  mode?: string;
  /** The owner's number, in mode `own`; asked for when it is left out. */
  owner?: string;
}

const logoutMs = 20_000;
/** From the scan to the login. */
const pairedMs = 60_000;

/** Resolves to the exit status. Throws UserError when it cannot be linked. */
export async function link(config: Config, options: LinkOptions): Promise<number> {
  const number = options.code === undefined ? null : readNumber(options.code);
  checkMode(options);
  return withStores(config, async (core, store) => {
    if (store.isLinked)
      throw new UserError(`Linked already, as ${spoken(store.own())}. First: npm run unlink`);
    // A link that was broken off.
    if (store.isPaired) await leave(config, store);
    store.unlink();
    const linking = new Linking(config, store, number);
    try {
      const socket = await linking.opened();
      const own = store.own() ?? '';
      say(`\nLinked as ${spoken(own)}.`);
      const mode = await chooseMode(options, own);
      const mainChat = mode === 'shared' ? own : await findOwner(options, socket, store);
      store.set('mode', mode);
      store.set('new-link', '1');
      moveMain(core, `whatsapp:${mainChat}`);
      say(
        mode === 'shared'
          ? 'Your main chat is "Message yourself". Now: npm start'
          : `Your main chat is the one with ${spoken(own)}: write to it first, from ${spoken(mainChat)}. Now: npm start`,
      );
      return 0;
    } catch (error) {
      if (store.isPaired && !(await linking.logOut())) say(stillListed);
      store.unlink();
      throw error;
    } finally {
      await linking.stop();
    }
  });
}

/** Logs out at WhatsApp, if it can be reached, and removes the keys in any case. */
export async function unlink(config: Config): Promise<number> {
  return withStores(config, async (core, store) => {
    if (!store.isPaired) throw new UserError('Not linked. To link: npm run link');
    const own = spoken(store.own());
    await leave(config, store);
    moveMain(core, mainGroup.chatId);
    say(`Unlinked from ${own}: the keys are removed. Messages, groups and files stay.`);
    return 0;
  });
}

const stillListed =
  'WhatsApp could not be told. If the phone still lists this device under "Linked devices", remove it there.';

/** Logs out, as far as WhatsApp can be reached, and removes the keys; Ctrl-C leaves all as it is. */
async function leave(config: Config, store: WhatsAppStore): Promise<void> {
  const linking = new Linking(config, store, null);
  try {
    const isOut = await linking.opened().then(
      () => linking.logOut(),
      (error) => {
        if (error === brokenOff) throw error;
        return false;
      },
    );
    if (!isOut) say(stillListed);
  } finally {
    await linking.stop();
  }
  store.unlink();
}

const brokenOff = new UserError('Broken off.');

/** No host may run: it would use the same link at the same time. */
async function withStores(
  config: Config,
  work: (core: Store, store: WhatsAppStore) => Promise<number>,
): Promise<number> {
  prepareState(config);
  const core = new Store(join(config.storeDir, 'nanoclaw.db'));
  const socket = await claimSocket(config.socketPath, core).catch((error) => {
    core.close();
    throw error;
  });
  const store = new WhatsAppStore(storePath(config));
  try {
    return await work(core, store);
  } finally {
    store.close();
    socket.close();
    core.close();
  }
}

/** One attempt to get a connection, whether it needs a scan or not. */
class Linking {
  readonly #connection: Connection;
  readonly #opened = deferred<WASocket | UserError>();
  readonly #number: string | null;
  #isShown = false;
  #isPaired = false;

  constructor(config: Config, store: WhatsAppStore, number: string | null) {
    this.#number = number;
    this.#connection = new Connection({
      ...{ store, log: pino({ level: 'silent' }), clock: systemClock },
      webSocketUrl: config.whatsAppUrl,
      // The host takes it up, and keeps of it what it may.
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
      process.on(signal, () => this.#opened.resolve(brokenOff));
  }

  async opened(): Promise<WASocket> {
    const result = await this.#opened.promise;
    if (result instanceof UserError) throw result;
    return result;
  }

  /** False when WhatsApp did not hear of it in time. */
  async logOut(): Promise<boolean> {
    const { socket } = this.#connection;
    if (!socket) return false;
    const late = new Promise<false>((resolve) => setTimeout(resolve, logoutMs, false).unref());
    return Promise.race([
      socket.logout().then(
        () => true,
        () => false,
      ),
      late,
    ]);
  }

  stop(): Promise<void> {
    return this.#connection.stop();
  }

  #changed(state: ConnectionState): void {
    const { socket } = this.#connection;
    if (state.kind === 'open' && socket) this.#opened.resolve(socket);
    // Once paired it tries again, for a while.
    if (state.kind === 'waiting' && !this.#isPaired)
      this.#opened.resolve(new UserError(this.#whyNot(state.reason)));
    if (state.kind === 'ended')
      this.#opened.resolve(new UserError(`WhatsApp does not let us in: ${state.reason}.`));
  }

  #paired(): void {
    this.#isPaired = true;
    const late = new UserError('Paired, but WhatsApp could not be reached afterwards.');
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
        this.#opened.resolve(new UserError(`WhatsApp gives no code for this number: ${error}`));
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
    // Over the one before, which is not valid any more.
    else if (process.stdout.isTTY) process.stdout.write(`\x1b[${lines.length}A\x1b[J`);
    say(picture);
  });
}

function checkMode({ mode, owner }: LinkOptions): void {
  if (mode !== undefined && mode !== 'own' && mode !== 'shared')
    throw new UserError('--mode is own (a number for the assistant) or shared (your own number).');
  if (owner !== undefined) readNumber(owner);
  const isSaid = mode === 'shared' || (mode === 'own' && owner !== undefined);
  if (!isSaid && !process.stdin.isTTY)
    throw new UserError(
      'Without a terminal, say which chat is the main one: --mode own --owner +NUMBER, or --mode shared.',
    );
}

async function chooseMode({ mode }: LinkOptions, own: string): Promise<'own' | 'shared'> {
  if (mode === 'own' || mode === 'shared') return mode;
  const question = `Is ${spoken(own)} the assistant's own number, or yours?
  1  its own (recommended): you talk to it as to a person
  2  yours: you talk to it in "Message yourself"
1 or 2? `;
  for (;;) {
    const answer = (await ask(question)).trim();
    if (answer === '1') return 'own';
    if (answer === '2') return 'shared';
  }
}

/** The canonical address of the person who is in charge. */
async function findOwner(
  { owner }: LinkOptions,
  socket: WASocket,
  store: WhatsAppStore,
): Promise<string> {
  for (let given = owner; ; given = undefined) {
    try {
      const number = readNumber(given ?? (await ask('Your own number, with which you write: ')));
      const [found] = (await socket.onWhatsApp(number)) ?? [];
      if (!found?.exists) throw new UserError(`+${number} is not on WhatsApp.`);
      const person = store.personOf(found.jid);
      if (person !== store.own()) return person;
      throw new UserError(`+${number} is the number that was linked. To share it: --mode shared`);
    } catch (error) {
      if (!(error instanceof UserError) || !process.stdin.isTTY) throw error;
      say(error.message);
    }
  }
}

async function ask(question: string): Promise<string> {
  const reader = createInterface({ input: process.stdin, output: process.stdout });
  const stop = new AbortController();
  reader.once('SIGINT', () => stop.abort());
  try {
    return await reader.question(question, { signal: stop.signal });
  } catch (error) {
    throw error instanceof Error && error.name === 'AbortError' ? brokenOff : error;
  } finally {
    reader.close();
  }
}

/** The digits of an international number (E.164). Throws UserError. */
function readNumber(text: string): string {
  const digits = text.replace(/[\s()./-]/g, '').replace(/^(\+|00)/, '');
  if (/^[1-9]\d{6,14}$/.test(digits)) return digits;
  throw new UserError(`"${text}" is no phone number: write it like +491701234567.`);
}

function spoken(person: string | null): string {
  return `+${person?.split('@')[0] ?? '?'}`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
