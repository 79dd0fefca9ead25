/**
 * A host linked to the tests' stand-in WhatsApp server as `npm run link` links it. Each writer has
 * a direct chat with an agent of its own, and all of them share a group. Measures nothing itself.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { saveGroup } from '../src/db/groups.ts';
import { Store } from '../src/db.ts';
import { linkByCode } from '../test/support/pairing-code.ts';
import { WhatsAppServer } from '../test/whatsapp-server/client.ts';
import { MeasuredHost } from './host-process.ts';

export const account = { number: '15550000001', lid: '900000000000001', name: 'Assistant' };
const owner = { number: '15551110001', lid: '900000000000011', name: 'Olivia' };
const groupDigits = '120363000000000001';
export const groupJid = `${groupDigits}@g.us`;

/**
 * The number of writers whose agents must be called by name, and of those whose answer everything.
 */
export interface Writers {
  talking: number;
  asking: number;
}

export class LinkedHost {
  readonly homeDir: string;
  readonly server: WhatsAppServer;
  readonly host: MeasuredHost;

  private constructor(homeDir: string, server: WhatsAppServer, host: MeasuredHost) {
    this.homeDir = homeDir;
    this.server = server;
    this.host = host;
  }

  /** Resolves when the host is connected. */
  static async start(
    dir: string,
    modelUrl: string,
    runtimeName: string,
    writers: Writers,
  ): Promise<LinkedHost> {
    const homeDir = join(dir, 'linked');
    mkdirSync(homeDir);
    const server = await startServer(writers.talking + writers.asking);
    const environment = server.environment;
    const who = ['--mode', 'own', '--owner', `+${owner.number}`];
    const linking = { ...environment, NANOCLAW_HOME: homeDir };
    await linkByCode(linking, server, account.number, who);
    openChats(homeDir, writers);
    const { logins } = await server.do('state', {});
    const host = await MeasuredHost.start(homeDir, modelUrl, runtimeName, environment);
    await server.waitState({ isReady: true, minLogins: logins + 1 });
    return new LinkedHost(homeDir, server, host);
  }

  /** Opens the core's store for reading while the host runs. */
  openStore(): Store {
    return new Store(join(this.homeDir, 'store/nanoclaw.db'));
  }

  async stop(): Promise<void> {
    await this.host.stop();
    await this.server.close();
  }
}

/** Starts a server with the owner and `writers` writers, all of them in the group. */
export async function startServer(writers: number): Promise<WhatsAppServer> {
  const server = await WhatsAppServer.start(account);
  process.once('exit', () => void server.close());
  const people = [owner, ...Array.from({ length: writers }, (_, index) => writer(index))];
  for (const person of people) await server.do('addPeer', person);
  const members = people.map(({ number }) => number);
  await server.do('addGroup', { id: groupDigits, subject: 'All', members });
  return server;
}

/** The talking writers come first. */
export function writer(index: number) {
  const digits = String(index).padStart(4, '0');
  return { number: `1555222${digits}`, lid: `90000000001${digits}`, name: `Writer ${index}` };
}

/** Registers the chats. Call it before the host runs. */
function openChats(homeDir: string, { talking, asking }: Writers): void {
  const store = new Store(join(homeDir, 'store/nanoclaw.db'));
  const open = (folder: string, address: string, requiresTrigger: boolean) =>
    saveGroup(store, {
      folder,
      chatId: `whatsapp:${address}`,
      name: folder,
      isMain: false,
      requiresTrigger,
      triggeredBy: null,
    });
  open('all', groupJid, true);
  for (let index = 0; index < talking + asking; index += 1)
    open(folderOf(index), `${writer(index).number}@s.whatsapp.net`, index < talking);
  store.close();
}

/** The folder of the writer's agent. */
export function folderOf(index: number): string {
  return `writer-${index}`;
}
