/**
 * The agent-runner with the real `claude` as a plain process on a folder of its own: tests
 * play the host, file by file. Every file that comes out must pass the host's schema.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, readFileSync, renameSync, watch, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import {
  type InFile,
  numberedFileName,
  type OutFile,
  outFileSchema,
  protocolFileBytesMax,
} from '../src/protocol.ts';

export type OutFileOf<K extends OutFile['kind']> = Extract<OutFile, { kind: K }>;

const projectDir = dirname(import.meta.dirname);
const require = createRequire(import.meta.url);
export const claudePath = require.resolve(
  `@anthropic-ai/claude-agent-sdk-${process.platform}-${process.arch}/claude`,
);

/** Bundles the runner with an entry that takes its settings as an argument. */
export async function bundleRunner(dir: string): Promise<string> {
  const outfile = join(dir, 'agent-runner.mjs');
  const start = 'runAgent(JSON.parse(process.argv[2]));';
  await build({
    stdin: {
      contents: `import { runAgent } from './container/agent-runner/runner.ts'; ${start}`,
      resolveDir: projectDir,
    },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  return outfile;
}

export interface AgentOptions {
  program: string;
  /** The group's folder and home live on below it, from one process to the next. */
  dir: string;
  modelUrl: string;
  sessionId?: string;
  streamIdleTimeoutMs?: number;
  environment?: Record<string, string>;
}

let runs = 0;

export class AgentProcess {
  readonly groupDir: string;
  readonly globalDir: string;
  readonly homeDir: string;
  readonly received: OutFile[] = [];
  readonly child: ChildProcess;
  /** What it wrote to standard output; nothing but the wire may. */
  stdout = '';
  stderr = '';
  readonly #inboxDir: string;
  readonly #outboxDir: string;
  readonly #arrivals = new EventEmitter().setMaxListeners(0);
  readonly #handedOut = new Set<OutFile>();
  #sent = 0;

  constructor(options: AgentOptions) {
    runs += 1;
    const { dir } = options;
    this.groupDir = join(dir, 'group');
    this.globalDir = join(dir, 'global');
    this.homeDir = join(dir, 'home');
    this.#inboxDir = join(dir, `in-${runs}`);
    this.#outboxDir = join(dir, `out-${runs}`);
    for (const folder of [this.groupDir, this.globalDir, this.homeDir])
      mkdirSync(folder, { recursive: true });
    mkdirSync(this.#inboxDir);
    mkdirSync(this.#outboxDir);
    this.send({
      kind: 'start',
      sessionId: options.sessionId ?? null,
      assistantName: 'Andy',
      isMain: true,
      instructions: 'You are Andy.',
    });
    const watcher = watch(this.#outboxDir, () => this.#collect());
    this.child = spawn(
      process.execPath,
      [options.program, JSON.stringify(this.#settings(options))],
      {
        cwd: dir,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.child.stdout?.on('data', (chunk) => (this.stdout += chunk));
    this.child.stderr?.on('data', (chunk) => (this.stderr += chunk));
    this.child.on('close', () => {
      watcher.close();
      this.#collect();
      this.#arrivals.emit('file');
    });
  }

  /** Hands over a prompt and returns its uuid. */
  prompt(text: string, images: { path: string; mime: string }[] = []): string {
    const uuid = randomUUID();
    this.send({ kind: 'prompt', uuid, text, images });
    return uuid;
  }

  send(file: InFile): void {
    this.#sent += 1;
    const path = join(this.#inboxDir, numberedFileName(this.#sent));
    writeFileSync(`${path}.tmp`, JSON.stringify(file));
    renameSync(`${path}.tmp`, path);
  }

  /** The first file of this kind that was not handed out yet; waits for it. */
  async next<K extends OutFile['kind']>(kind: K): Promise<OutFileOf<K>> {
    for (;;) {
      const isWanted = (file: OutFile): file is OutFileOf<K> =>
        file.kind === kind && !this.#handedOut.has(file);
      const found = this.received.find(isWanted);
      if (found) {
        this.#handedOut.add(found);
        return found;
      }
      if (this.child.exitCode !== null)
        throw new Error(`It left without ${kind}: ${this.#story()}`);
      const signal = AbortSignal.timeout(40_000);
      await once(this.#arrivals, 'file', { signal }).catch(() => {
        throw new Error(`No ${kind} came: ${this.#story()}`);
      });
    }
  }

  /** Resolves to the exit code, or the name of the signal. */
  async exit(): Promise<number | string | null> {
    if (this.child.exitCode === null && this.child.signalCode === null)
      await once(this.child, 'close');
    return this.child.exitCode ?? this.child.signalCode;
  }

  /** Asks it to close and waits for its end. */
  async close(): Promise<number | string | null> {
    this.send({ kind: 'close' });
    return this.exit();
  }

  #settings(options: AgentOptions) {
    return {
      groupDir: this.groupDir,
      globalDir: this.globalDir,
      inboxDir: this.#inboxDir,
      outboxDir: this.#outboxDir,
      claudePath,
      modelUrl: options.modelUrl,
      streamIdleTimeoutMs: options.streamIdleTimeoutMs ?? 120_000,
      closeTimeoutMs: 1500,
      environment: {
        PATH: process.env.PATH,
        HOME: this.homeDir,
        TZ: 'Europe/Paris',
        LANG: 'C.UTF-8',
        ANTHROPIC_API_KEY: 'placeholder',
        // The container never runs as root, but a test may.
        ...(process.getuid?.() === 0 && { IS_SANDBOX: '1' }),
        ...options.environment,
      },
    };
  }

  #collect(): void {
    for (;;) {
      const path = join(this.#outboxDir, numberedFileName(this.received.length + 1));
      let bytes: Buffer;
      try {
        bytes = readFileSync(path);
      } catch {
        return; // ENOENT: not written yet.
      }
      if (bytes.length > protocolFileBytesMax) throw new Error(`${path} is too large`);
      this.received.push(outFileSchema.parse(JSON.parse(bytes.toString())));
      this.#arrivals.emit('file');
    }
  }

  #story(): string {
    return `${JSON.stringify(this.received, null, 1)}\n${this.stderr}`;
  }
}
