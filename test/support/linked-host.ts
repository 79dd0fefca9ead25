/**
 * The host as `npm start` starts it, linked to the stand-in WhatsApp server as `npm run link` links
 * it, with the scripted model. Everything between server and model is real.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { saveGroup } from '../../src/db/groups.ts';
import { Store } from '../../src/db.ts';
import { type ScriptedModel, startScriptedModel } from '../scripted-model/scripted-model.ts';
import { WhatsAppServer } from '../whatsapp-server/client.ts';
import { bundleHost } from './bundled-host.ts';
import { queryRows, runSql } from './database.ts';
import { HostProcess } from './host-process.ts';
import { linkByCode } from './pairing-code.ts';
import { TestTerminal } from './terminal.ts';

export const assistant = { number: '15550000001', lid: '900000000000001', name: 'Assistant' };
export const owner = { number: '15551110001', lid: '900000000000011', name: 'Olivia' };
export const alice = { number: '15551110002', lid: '900000000000012', name: 'Alice' };
export const bob = { number: '15551110003', lid: '900000000000013', name: 'Bob' };
export const family = '120363000000000001@g.us';

export interface LinkedHostOptions {
  mode?: 'own' | 'shared';
  /** Registers the family group from the main chat. */
  withGroup?: boolean;
  /** Lets the test pass time with `passes`. */
  withClock?: boolean;
}

export class LinkedHost {
  readonly server: WhatsAppServer;
  readonly model: ScriptedModel;
  readonly home: string;
  /** Needed by power-cut.ts. Set it before the host runs. */
  followFlushes = false;
  #process: HostProcess | undefined;
  #program: { program?: string } = {};

  private constructor(server: WhatsAppServer, model: ScriptedModel, home: string) {
    this.server = server;
    this.model = model;
    this.home = home;
  }

  /** A server with people and a group; nothing is linked yet. */
  static async prepare(): Promise<LinkedHost> {
    const server = await WhatsAppServer.start(assistant);
    const model = await startScriptedModel();
    const home = mkdtempSync(join(tmpdir(), 'nanoclaw-wa-'));
    const host = new LinkedHost(server, model, home);
    onTestFinished(async () => {
      await host.stop();
      await server.close();
      await model.close();
      execFileSync('rm', ['-rf', home]);
    });
    for (const person of [owner, alice, bob]) await server.do('addPeer', person);
    const members = [alice.number, bob.number, owner.number];
    await server.do('addGroup', { id: family.split('@')[0] ?? '', subject: 'Family', members });
    return host;
  }

  /** Resolves once the host is linked by a code, started and connected. */
  static async start(options: LinkedHostOptions = {}): Promise<LinkedHost> {
    const host = await LinkedHost.prepare();
    await host.linkByCode(options.mode);
    const clock = { module: 'test/support/moved-clock.ts', name: 'withMovedClock' };
    if (options.withClock) host.#program = { program: await bundleHost(clock) };
    await host.run();
    if (options.withGroup) await host.register();
    return host;
  }

  get environment(): Record<string, string> {
    return {
      ANTHROPIC_API_KEY: 'the-real-key',
      ANTHROPIC_BASE_URL: this.model.url,
      NANOCLAW_HOME: this.home,
      ...this.server.environment,
    };
  }

  /** Starts a command of the project, such as `link`, as a process. */
  command(...args: string[]): HostProcess {
    return new HostProcess(this.environment, { args });
  }

  async linkByCode(mode: 'own' | 'shared' = 'own'): Promise<void> {
    const who = mode === 'own' ? ['--owner', `+${owner.number}`] : [];
    const { environment, server } = this;
    await linkByCode(environment, server, assistant.number, ['--mode', mode, ...who]);
  }

  /** Starts the host. Resolves when it is connected, or at once with `killAt`. */
  async run(killAt?: string): Promise<void> {
    const { logins } = await this.server.do('state', {});
    this.#process = new HostProcess(this.environment, {
      ...this.#program,
      followFlushes: this.followFlushes,
      ...(killAt && { killAt }),
    });
    if (!killAt) await this.server.waitState({ isReady: true, minLogins: logins + 1 });
  }

  /** Lets time pass for the host at once. */
  passes(ms: number): void {
    this.process.child.send(ms);
  }

  get process(): HostProcess {
    if (!this.#process) throw new Error('no host was started');
    return this.#process;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#process?.isAlive) await this.#process.kill(signal);
  }

  /** Gives a chat an agent that everybody may call. Call it before the host runs. */
  prepareGroup(folder: string, chatId: string, requiresTrigger = false): void {
    const store = new Store(join(this.home, 'store', 'nanoclaw.db'));
    const group = { folder, chatId, name: folder, isMain: false, requiresTrigger };
    saveGroup(store, { ...group, triggeredBy: null });
    store.close();
  }

  /** Registers the family group as the owner does, by asking the main agent and saying ok. */
  async register(options: { requires_trigger?: boolean; triggered_by?: string[] } = {}) {
    const chat_id = `whatsapp:${family}`;
    const args = { chat_id, name: 'Family', folder: 'family', ...options };
    this.model
      .on('register the family')
      .callTool('mcp__nanoclaw__register_group', args)
      .thenReply((result) => `I did: ${result}`);
    this.model.on('is approved').reply('<internal>good</internal>');
    await this.server.say(owner.number, 'register the family, please');
    const { id: messageId } = await this.server.hears(owner.number, { text: '^Request 1: ' });
    await this.server.hears(owner.number, { text: '^I did: Your owner has been asked' });
    const reaction = { kind: 'reaction', messageId, emoji: '👍', ofBot: true } as const;
    await this.server.say(owner.number, reaction);
    await this.server.hears(owner.number, { text: '^Registered' });
    await this.model.call('is approved');
  }

  /** Shows that the host still works: what the owner says now is answered exactly once. */
  async talks(words: string): Promise<void> {
    this.model.on(words).reply(`answer to ${words}`);
    await this.server.say(owner.number, words);
    const answer = await this.server.hears(owner.number, { text: `answer to ${words}` });
    expect(answer.deliveries).toBe(1);
  }

  attach(group = 'main'): Promise<TestTerminal> {
    return TestTerminal.attach(join(this.home, 'data', 'nanoclaw.sock'), group);
  }

  inGroup(group: string, ...path: string[]): string {
    return join(this.home, 'groups', group, ...path);
  }

  /** Waits up to 30 s for a log line with this message that `matches`. Resolves to the line. */
  async logs(
    message: string,
    matches: (facts: Record<string, unknown>) => boolean = () => true,
  ): Promise<Record<string, unknown>> {
    const signal = AbortSignal.timeout(30_000);
    const dir = join(this.home, 'data', 'logs');
    const find = () =>
      readdirSync(dir)
        .flatMap((name) => readFileSync(join(dir, name), 'utf8').split('\n'))
        .filter((line) => line.includes(`"msg":"${message}"`))
        .map((line): Record<string, unknown> => JSON.parse(line))
        .find(matches);
    const found = find();
    if (found) return found;
    for await (const _ of watch(dir, { signal })) {
      const late = find();
      if (late) return late;
    }
    throw new Error(`the log has no "${message}"`);
  }

  /** Changes the channel's database while the host runs. */
  onWhatsAppStore(sql: string): void {
    runSql(join(this.home, 'store', 'whatsapp.db'), sql);
  }

  /** The private keys and secrets of the linked device, as the channel's database holds them. */
  secrets(): Buffer[] {
    const path = join(this.home, 'store', 'whatsapp.db');
    const rows = queryRows<{ value: string }>(path, 'SELECT value FROM keys');
    const found: Buffer[] = [];
    for (const { value } of rows)
      JSON.parse(value, (name, part) => {
        if (/private|secret/i.test(name) && part)
          found.push(Buffer.from(part.data ?? part, 'base64'));
        return part;
      });
    return found;
  }

  /** Queries the core's database, also while the host runs. */
  rows(sql: string): unknown[] {
    return queryRows(join(this.home, 'store', 'nanoclaw.db'), sql);
  }
}
