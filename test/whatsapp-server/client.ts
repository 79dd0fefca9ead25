/**
 * Starts the stand-in server as a process and calls its control port. Frequent actions have a
 * method of their own; `do` runs any action.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text as readText } from 'node:stream/consumers';
import { build } from 'esbuild';
import { z } from 'zod';
import type { Person } from './account.ts';
import type { ActionName, Actions } from './actions.ts';
import type { Content } from './contents.ts';
import type { HeardMessage } from './peers.ts';

type RequestOf<Name extends ActionName> = z.input<Actions[Name]['schema']>;
type ResultOf<Name extends ActionName> = Awaited<ReturnType<Actions[Name]['run']>>;

const addressesSchema = z.object({
  controlUrl: z.url(),
  webSocketUrl: z.url(),
  caPath: z.string(),
  noiseRootHex: z.string(),
});

const patienceMs = 30_000;

export interface HeardFilter {
  text?: string;
  kind?: string;
  group?: string | null;
  skip?: number;
  minDeliveries?: number;
  timeoutMs?: number;
}

export class WhatsAppServer {
  readonly webSocketUrl: string;
  /** The environment in which the product connects to this server instead of WhatsApp's. */
  readonly environment: { WHATSAPP_WEBSOCKET_URL: string; NODE_EXTRA_CA_CERTS: string };
  /** `do` sends a POST with JSON to `<controlUrl>/<action>`. */
  readonly controlUrl: string;
  readonly #process: ChildProcess;
  readonly #caPath: string;

  private constructor(child: ChildProcess, addresses: z.infer<typeof addressesSchema>) {
    this.#process = child;
    this.controlUrl = addresses.controlUrl;
    this.#caPath = addresses.caPath;
    this.webSocketUrl = addresses.webSocketUrl;
    this.environment = {
      WHATSAPP_WEBSOCKET_URL: addresses.webSocketUrl,
      NODE_EXTRA_CA_CERTS: addresses.caPath,
    };
  }

  /** `account` is the one that gets the linked device. */
  static async start(account?: Person): Promise<WhatsAppServer> {
    const program = await bundle();
    const args = account ? ['--account', JSON.stringify(account)] : [];
    const child = spawn(process.execPath, ['--enable-source-maps', program, ...args], {
      // The server ends when its IPC channel closes, and so with this process.
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    if (!child.stdout) throw new Error('the stand-in server has no output');
    const lines = createInterface({ input: child.stdout });
    const [line] = await Promise.race([
      once(lines, 'line'),
      once(child, 'exit').then(() => {
        throw new Error('the stand-in server did not start');
      }),
    ]);
    rmSync(dirname(program), { recursive: true });
    return new WhatsAppServer(child, addressesSchema.parse(JSON.parse(line)));
  }

  /** Runs one action of the control port. Rejects with the server's reason when it refuses. */
  async do<Name extends ActionName>(name: Name, body: RequestOf<Name>): Promise<ResultOf<Name>> {
    // Not fetch: it gives up on an answer after five minutes.
    // A new connection each time: the server may have closed a kept one.
    const call = request(`${this.controlUrl}/${name}`, { method: 'POST', agent: false });
    call.end(JSON.stringify(body));
    const [response] = await once(call, 'response');
    const { result, error } = JSON.parse(await readText(response));
    if (error !== undefined) throw new Error(`${name}: ${error}`);
    return result;
  }

  /** Sends a message in the direct chat with the account. Resolves to its id. */
  say(by: string, content: string | Content): Promise<string> {
    return this.do('send', { by, content: asContent(content) });
  }

  sayInGroup(by: string, group: string, content: string | Content): Promise<string> {
    return this.do('send', { by, group, content: asContent(content) });
  }

  /** Waits for the first message to `by` that matches. */
  hears(by: string, filter: HeardFilter = {}): Promise<HeardMessage> {
    return this.do('waitHeard', { by, timeoutMs: patienceMs, ...filter });
  }

  waitState(wanted: Omit<RequestOf<'waitState'>, 'timeoutMs'> & { timeoutMs?: number }) {
    return this.do('waitState', { timeoutMs: patienceMs, ...wanted });
  }

  faults(changes: RequestOf<'setFaults'>): Promise<void> {
    return this.do('setFaults', changes);
  }

  async close(): Promise<void> {
    rmSync(dirname(this.#caPath), { recursive: true, force: true });
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
  }
}

function asContent(content: string | Content): Content {
  return typeof content === 'string' ? { kind: 'text', text: content } : content;
}

/** The bundle lies inside the project, so that its imports are found. */
async function bundle(): Promise<string> {
  const project = dirname(dirname(import.meta.dirname));
  const dir = mkdtempSync(join(project, 'node_modules', '.whatsapp-server-'));
  const outfile = join(dir, 'main.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'main.ts')],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    logLevel: 'error',
  });
  return outfile;
}
