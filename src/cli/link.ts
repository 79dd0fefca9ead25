/**
 * `npm run link` and `npm run unlink`: link this machine to a WhatsApp account as a device, and
 * remove the link. A link that is not finished leaves nothing behind.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { WASocket } from 'baileys';
import { storePath } from '../channels/whatsapp/linked.ts';
import { WhatsAppStore } from '../channels/whatsapp/store.ts';
import type { Config } from '../config.ts';
import { Store } from '../db.ts';
import { mainGroup, moveMain } from '../groups.ts';
import { claimSocket, prepareState, refuseSecond } from '../state-folders.ts';
import { UserError } from '../types.ts';
import { cancelled, Linking, say } from './linking.ts';

export interface LinkOptions {
  /** The number to link with a pairing code instead of a QR code. */
  code?: string;
  /** `own` or `shared`; asked for if left out. */
  mode?: string;
  /** The owner's number, for mode `own`; asked for if left out. */
  owner?: string;
}

/** Resolves to the exit status. Throws UserError if linking fails or is cancelled. */
export async function link(config: Config, options: LinkOptions): Promise<number> {
  const number = options.code === undefined ? null : readNumber(options.code);
  checkMode(options);
  return withStores(config, async (core, store) => {
    if (store.isLinked)
      throw new UserError(`Linked already, as ${spoken(store.own())}. First: npm run unlink`);
    // A link that was not finished.
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
      store.set('owner', mainChat);
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

/**
 * Logs out at WhatsApp if it can be reached, and removes the keys in any case. Resolves to the exit
 * status; throws UserError if there is no link.
 */
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

/** Logs out if WhatsApp can be reached, and removes the keys. Ctrl-C changes nothing. */
async function leave(config: Config, store: WhatsAppStore): Promise<void> {
  const linking = new Linking(config, store, null);
  try {
    const isOut = await linking.opened().then(
      () => linking.logOut(),
      (error) => {
        if (error === cancelled) throw error;
        return false;
      },
    );
    if (!isOut) say(stillListed);
  } finally {
    await linking.stop();
  }
  store.unlink();
}

/**
 * Opens both stores for `work`. Throws UserError while a host runs, since it would use the same
 * link.
 */
async function withStores(
  config: Config,
  work: (core: Store, store: WhatsAppStore) => Promise<number>,
): Promise<number> {
  prepareState(config);
  await refuseSecond(config.socketPath);
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

/** The address under which the store knows the owner. Asks again after an error, on a terminal. */
async function findOwner(
  { owner }: LinkOptions,
  socket: WASocket,
  store: WhatsAppStore,
): Promise<string> {
  for (let given = owner; ; given = undefined) {
    try {
      const number = readNumber(
        given ?? (await ask('Your own number, from which you will write: ')),
      );
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
    throw error instanceof Error && error.name === 'AbortError' ? cancelled : error;
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
