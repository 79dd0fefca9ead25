/** Starts bare-bot.mjs on a stand-in WhatsApp server of its own. Measures nothing itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { WhatsAppServer } from '../test/whatsapp-server/client.ts';
import { startServer } from './linked.ts';
import { projectDir } from './measure.ts';

export class BareBot {
  readonly server: WhatsAppServer;
  readonly dir: string;
  readonly #child: ChildProcess;

  private constructor(server: WhatsAppServer, dir: string, child: ChildProcess) {
    this.server = server;
    this.dir = dir;
    this.#child = child;
  }

  /** Resolves when the bot is linked and connected. */
  static async start(dir: string, modelUrl: string, writers: number): Promise<BareBot> {
    const server = await startServer(writers);
    const program = join(projectDir, 'bench/bare-bot.mjs');
    const child = spawn(process.execPath, [program, dir, modelUrl, server.webSocketUrl], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...server.environment },
    });
    process.once('exit', () => child.kill());
    const [qr] = await once(createInterface({ input: child.stdout }), 'line');
    await server.do('scanQr', { qr });
    await server.waitState({ isLinked: true, isReady: true });
    return new BareBot(server, dir, child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill();
    await exited;
    await this.server.close();
  }
}
