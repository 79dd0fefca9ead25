/**
 * One container's life: start, talk, stop. The first cause of its end is recorded as the reason,
 * once. Every end takes the same path, which leaves nothing behind. Does not read what the agent
 * says.
 */
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type Config, credentialVariables } from './config.ts';
import { endRun, saveRun } from './db/runs.ts';
import { findOpenTurn } from './db/turns.ts';
import { type Deferred, deferred } from './deferred.ts';
import type { Ledger } from './egress/ledger.ts';
import type { ModelApi } from './egress/model-api.ts';
import type { Web } from './egress/web.ts';
import { serveWire } from './egress/wire.ts';
import { type IpcDependencies, OutReader, type Speaker } from './ipc.ts';
import { step } from './log.ts';
import { mountsFor, prepareFolders } from './mounts.ts';
import { writeNumberedFile } from './numbered-files.ts';
import { type InFile, inside } from './protocol.ts';
import { removeFolder } from './remove-folder.ts';
import { spawnLaunch } from './runtimes/container-runtime.ts';
import type { ContainerSpec, Mount, Runtime } from './runtimes/container-spec.ts';
import { watchFolders } from './runtimes/folder-watch.ts';
import { tail } from './text.ts';
import type { Agent, RunEnd, RunEndReason } from './types.ts';

export interface RunnerDependencies extends IpcDependencies {
  runtime: Runtime;
  model: ModelApi;
  web: Web;
  ledger: Ledger;
  instance: string;
  moreMounts(agent: Agent): Mount[];
}

/**
 * Only an open run takes files. A run that was asked to leave keeps that reason, whatever ends it.
 */
type State = { kind: 'open' } | { kind: 'leaving'; reason: RunEndReason } | { kind: 'over' };

/** How long a process may take to exit after the end of its streams. */
const exitGraceMs = 500;

export function runFolder(config: Config, agentId: string, runId: number): string {
  return join(config.dataDir, 'agents', agentId, `run-${runId}`);
}

export class Run implements Speaker {
  readonly runId: number;
  readonly agent: Agent;
  /** Resolves when the container is gone and all that it said is applied. Never rejects. */
  readonly ended: Promise<RunEnd>;
  readonly #deps: RunnerDependencies;
  readonly #dir: string;
  readonly #name: string;
  readonly #reader: OutReader;
  readonly #asked: Deferred<RunEnd> = deferred();
  #state: State = { kind: 'open' };
  #sent = 0;
  #cancelStartTimeout = () => {};

  /** Starts a container. `start` opens its session; further files can be sent at once. */
  constructor(deps: RunnerDependencies, agent: Agent, start: InFile) {
    this.#deps = deps;
    this.agent = agent;
    this.runId = saveRun(deps.store, agent.id, deps.clock.now());
    this.#dir = runFolder(deps.config, agent.id, this.runId);
    this.#name = `nanoclaw-${deps.instance}-${this.runId}`;
    this.#reader = new OutReader(deps, this, join(this.#dir, 'out'), 0);
    step(deps.log, 'run-recorded', { run: this.runId, agent: agent.id });
    this.ended = this.#live(start);
  }

  /** Whether the container still takes prompts. */
  get isOpen(): boolean {
    return this.#state.kind === 'open';
  }

  /** Writes a file for the container. Does nothing unless the run is open. */
  send(file: InFile): void {
    if (!this.isOpen) return;
    this.#sent += 1;
    const { requestsPerRunMax: most } = this.#deps.limits;
    if (this.#sent > most)
      this.kill('too-many-requests', `I asked my host for more than ${most} things`);
    writeNumberedFile(join(this.#dir, 'in'), this.#sent, JSON.stringify(file));
  }

  /** Asks the container to exit, and kills it after `closeGraceMs`. */
  close(reason: RunEndReason): void {
    if (!this.isOpen) return;
    try {
      this.send({ kind: 'close' });
    } catch (error) {
      this.#deps.log.error({ err: error, run: this.runId }, 'a container is killed, not closed');
      this.kill(reason);
      return;
    }
    this.#state = { kind: 'leaving', reason };
    this.#deps.clock.after(this.#deps.limits.closeGraceMs, () => this.kill(reason));
  }

  /**
   * Kills the container; the first reason counts. Files that it has written are still applied,
   * unless the reason is `stopped` or `new-session`.
   */
  kill(reason: RunEndReason, detail = ''): void {
    if (reason === 'stopped' || reason === 'new-session') this.#reader.close();
    const first = this.#state.kind === 'leaving' ? this.#state.reason : reason;
    this.#state = { kind: 'over' };
    this.#asked.resolve({ reason: first, detail });
  }

  noteAlive(): void {
    this.#cancelStartTimeout();
  }

  async #live(start: InFile): Promise<RunEnd> {
    let child: ChildProcessWithoutNullStreams | undefined;
    let end: RunEnd;
    try {
      prepareFolders(this.agent, { config: this.#deps.config, runDir: this.#dir });
      this.send(start);
      child = this.#spawn();
      end = await Promise.race([this.#asked.promise, this.#exit(child)]);
    } catch (error) {
      end = { reason: 'start-failed', detail: String(error) };
    }
    this.#state = { kind: 'over' };
    this.#cancelStartTimeout();
    await this.#finish(child, end);
    return end;
  }

  #spawn(): ChildProcessWithoutNullStreams {
    const { runtime, model, web, ledger, limits, log, clock, store } = this.#deps;
    const spec = this.#spec();
    const child = spawnLaunch(runtime.launch(spec), this.#dir);
    const writable = spec.mounts.filter(({ readOnly }) => !readOnly).map(({ source }) => source);
    const full = (detail: string) => this.kill('folder-full', detail);
    child.once('close', watchFolders(writable, this.#deps, full));
    this.#reader.start();
    const { id, group } = this.agent;
    const account = ledger.account(group.folder, () => findOpenTurn(store, id)?.id ?? 0);
    const caller = { group, account };
    const io = { input: child.stdout, output: child.stdin };
    const wire = serveWire(io, { model, web, caller, log });
    // The wire also breaks when the process dies. The exit, a moment later, says more.
    void wire.broken.then(({ message }) =>
      clock.after(exitGraceMs, () => this.kill('wire-broken', message)),
    );
    // After garbage, the HTTP/2 session stops reading, and so never sees the end of the stream.
    child.once('exit', () => clock.after(exitGraceMs, () => wire.close()));
    this.#cancelStartTimeout = clock.after(limits.startTimeoutMs, () =>
      this.kill('start-timeout', `no sign of life in ${limits.startTimeoutMs} ms`),
    );
    step(log, 'container-spawned', { run: this.runId, agent: this.agent.id });
    return child;
  }

  #spec(): ContainerSpec {
    const { config, model, limits, moreMounts } = this.#deps;
    const { uid } = this.agent.group;
    return {
      name: this.#name,
      uid,
      mounts: [...mountsFor(this.agent, { config, runDir: this.#dir }), ...moreMounts(this.agent)],
      env: {
        HOME: inside.home,
        LANG: 'C.UTF-8',
        TZ: Intl.DateTimeFormat().resolvedOptions().timeZone,
        [credentialVariables[model.credential.kind]]: 'placeholder',
      },
      workDir: inside.group,
      command: ['node', `${inside.program}/agent-runner.js`],
      limits: limits.container,
    };
  }

  async #exit(child: ChildProcessWithoutNullStreams): Promise<RunEnd> {
    let lastWords = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      lastWords = tail(lastWords + text, this.#deps.limits.stderrTextMax);
    });
    // `close` comes after the last byte of standard error.
    const [code, signal] = await once(child, 'close');
    if (this.#state.kind === 'leaving') return { reason: this.#state.reason, detail: '' };
    return { reason: 'crashed', detail: `exit ${code ?? signal}: ${lastWords.trim()}` };
  }

  /** Cleans up after every end: no process, container or folder of the run is left. */
  async #finish(child: ChildProcessWithoutNullStreams | undefined, end: RunEnd): Promise<void> {
    const { store, log, clock, runtime } = this.#deps;
    const facts = { run: this.runId, agent: this.agent.id, ...end };
    try {
      if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
        const exited = once(child, 'exit');
        // The engine's client first: it may be about to start a container that does not exist yet.
        child.kill('SIGKILL');
        await runtime.kill(this.#name);
        await exited;
      }
      await this.#reader.drain();
      this.#reader.close();
      await runtime.release(this.#name);
      // In this order, because the next start removes the folders of runs that have not ended.
      removeFolder(this.#dir, this.#deps);
      endRun(store, this.runId, end, clock.now());
    } catch (error) {
      log.error({ ...facts, err: error }, 'the end of a run was untidy');
    }
    step(log, 'run-ended', facts);
  }
}
