/**
 * The agent-runner with the real `claude` as a plain process on a folder of its own. The test plays
 * the host, file by file. Every file that the runner writes must pass the host's schema.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, watch } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { numberedFileName, writeNumberedFile } from '../../src/numbered-files.ts';
import {
  type InFile,
  type OutFile,
  outFileSchema,
  protocolFileBytesMax,
} from '../../src/protocol.ts';
import { type ScriptedModel, startScriptedModel } from '../scripted-model/scripted-model.ts';

export type OutFileOf<K extends OutFile['kind']> = Extract<OutFile, { kind: K }>;

/** As the host tells them; their arguments are the host's to check. */
const hostTools = ['send_message', 'send_file', 'react', 'list_groups', 'register_group'].map(
  (name) => ({ name, description: `It does ${name}.`, inputSchema: { type: 'object' as const } }),
);

const require = createRequire(import.meta.url);
export const claudePath = require.resolve(
  `@anthropic-ai/claude-agent-sdk-${process.platform}-${process.arch}/claude`,
);

/** Bundles the runner as a program that takes its settings as an argument. */
async function bundleRunner(dir: string): Promise<string> {
  const outfile = join(dir, 'agent-runner.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'programs/agent-runner.ts')],
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
  /** Holds the group's folder and the agent's home; both outlive the process. */
  dir: string;
  modelUrl: string;
  sessionId?: string;
  instructions?: string;
  modelSilenceMaxMs?: number;
  claudePath?: string;
}

let runs = 0;

export class AgentProcess {
  readonly groupDir: string;
  readonly globalDir: string;
  readonly homeDir: string;
  readonly received: OutFile[] = [];
  readonly child: ChildProcess;
  /** Must stay empty in these tests: only the wire may write to standard output. */
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
      instructions: options.instructions ?? 'You are Andy.',
      tools: hostTools,
      model: null,
    });
    const watcher = watch(this.#outboxDir, () => this.#collect());
    this.child = spawn(
      process.execPath,
      [options.program, JSON.stringify(this.#settings(options))],
      {
        cwd: dir,
        env: this.#environment(),
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

  /** Sends a prompt and returns its uuid. */
  prompt(text: string, images: string[] = []): string {
    const uuid = randomUUID();
    this.send({ kind: 'prompt', uuid, text, images });
    return uuid;
  }

  send(file: InFile): void {
    this.#sent += 1;
    writeNumberedFile(this.#inboxDir, this.#sent, JSON.stringify(file));
  }

  /** The path of the next file from the host. */
  nextInboxPath(): string {
    return join(this.#inboxDir, numberedFileName(this.#sent + 1));
  }

  /** Waits up to 40 s for a file of this kind that no earlier call has returned. */
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

  /** Resolves to the exit code or to the name of the signal. */
  async exit(): Promise<number | string | null> {
    if (this.child.exitCode === null && this.child.signalCode === null)
      await once(this.child, 'close');
    return this.child.exitCode ?? this.child.signalCode;
  }

  /** Kills it and every process below it. */
  async kill(): Promise<void> {
    for (const pid of this.descendants()) killIfThere(pid);
    this.child.kill('SIGKILL');
    await this.exit();
  }

  /** The ids of all processes below it, `claude` first. */
  descendants(): number[] {
    const listing = execFileSync('ps', ['-e', '-o', 'pid=,ppid='], { encoding: 'utf8' });
    const pairs = listing
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number));
    const found = [this.child.pid];
    for (let i = 0; i < found.length; i += 1)
      found.push(...pairs.filter(([, parent]) => parent === found[i]).map(([pid]) => pid));
    return found.slice(1).filter((pid) => pid !== undefined);
  }

  /** The transcript that `claude` writes; empty while there is none. */
  transcript(): string {
    const dir = join(
      this.homeDir,
      '.claude',
      'projects',
      this.groupDir.replace(/[^A-Za-z0-9]/g, '-'),
    );
    try {
      const files = readdirSync(dir).filter((name) => name.endsWith('.jsonl'));
      return files.map((name) => readFileSync(join(dir, name), 'utf8')).join('');
    } catch {
      return ''; // ENOENT: no transcript yet.
    }
  }

  /** Asks it to close and resolves as `exit` does. */
  async close(): Promise<number | string | null> {
    this.send({ kind: 'close' });
    return this.exit();
  }

  #settings(options: AgentOptions) {
    return {
      dirs: {
        group: this.groupDir,
        global: this.globalDir,
        inbox: this.#inboxDir,
        outbox: this.#outboxDir,
      },
      claudePath: options.claudePath ?? claudePath,
      modelUrl: options.modelUrl,
      modelSilenceMaxMs: options.modelSilenceMaxMs ?? 120_000,
    };
  }

  #environment() {
    return {
      PATH: process.env.PATH,
      HOME: this.homeDir,
      TZ: 'Europe/Paris',
      LANG: 'C.UTF-8',
      ANTHROPIC_API_KEY: 'placeholder',
      // A test may run as root; then `claude` skips permissions only if told that it is sandboxed.
      ...(process.getuid?.() === 0 && { IS_SANDBOX: '1' }),
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

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // ESRCH: it has already exited.
  }
}

/** Gives each test of a file a model and a folder, and kills its agents when it ends. */
export function agentBench() {
  let programDir: string;
  let program: string;
  let model: ScriptedModel | undefined;
  const agents: AgentProcess[] = [];
  const bench = {
    dir: '',
    get model(): ScriptedModel {
      if (!model) throw new Error('the model exists only while a test runs');
      return model;
    },
    start(options: Partial<AgentOptions> = {}): AgentProcess {
      const { dir, model } = bench;
      const agent = new AgentProcess({ program, dir, modelUrl: model.url, ...options });
      agents.push(agent);
      return agent;
    },
  };
  beforeAll(async () => {
    programDir = await mkdtemp(join(tmpdir(), 'agent-program-'));
    program = await bundleRunner(programDir);
  });
  afterAll(() => rm(programDir, { recursive: true }));
  beforeEach(async () => {
    bench.dir = await mkdtemp(join(tmpdir(), 'agent-'));
    model = await startScriptedModel();
  });
  afterEach(async () => {
    for (const agent of agents.splice(0)) await agent.kill();
    await model?.close();
    await rm(bench.dir, { recursive: true, force: true, maxRetries: 5 });
  });
  return bench;
}
