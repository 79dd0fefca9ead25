/**
 * The composition root: the only place that constructs. Starts the parts in order and stops
 * them in reverse; between, a message goes channel, router, store, queue, turn, container,
 * and its answer ipc, outbox, channel.
 */
import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { type DemoModel, startDemoModel } from '../demo/demo-model.ts';
import type { Base } from './base.ts';
import { channelOf, createChannels } from './channels/registry.ts';
import { Commands } from './commands.ts';
import { type Config, defaultLimits, type Limits } from './config.ts';
import { Run, type RunnerDependencies } from './container-runner.ts';
import { detectRuntime, selfTest } from './container-runtime.ts';
import { findGroup, findMainGroup } from './db/groups.ts';
import { Store } from './db.ts';
import { Effects } from './effects.ts';
import { type ModelApi, openModelApi } from './egress.ts';
import { GroupQueue } from './group-queue.ts';
import { openGroup, settledState } from './groups.ts';
import { sweepRegularly } from './housekeeping.ts';
import { claimSocket } from './instance-lock.ts';
import { openLog } from './log.ts';
import { Outbox } from './outbox.ts';
import { recoverTurns, settleRuns } from './recovery.ts';
import { Router } from './router.ts';
import type { ContainerSpec, Runtime } from './runtimes/contract.ts';
import { prepareState } from './state-folders.ts';
import { Turns } from './turn.ts';
import type { Agent, Channel, ChannelHost, ChatId, Clock } from './types.ts';

/** What stands outside the process, found or opened before the parts are built. */
interface Surroundings {
  socket: Server;
  runtime: Runtime;
  model: ModelApi;
  demo: DemoModel | null;
}

/** Below those of the groups. */
const probeUid = 199_999;

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, fire) => {
    const timer = setTimeout(fire, delayMs);
    return () => clearTimeout(timer);
  },
};

/**
 * Starts everything. Throws UserError with the remedy where it cannot: another host runs,
 * no container runtime, a runtime that does not seal.
 */
export async function startHost(
  config: Config,
  { clock = systemClock, limits = defaultLimits }: { clock?: Clock; limits?: Limits } = {},
): Promise<Host> {
  prepareState(config);
  const log = await openLog(config, limits);
  const runtime = await detectRuntime(config.runtime, config.projectDir, process.env);
  await selfTest(runtime, probeSpec(config, limits), [config.storeDir, config.dataDir]);
  const demo = config.model ? null : await startDemoModel(config.assistantName);
  const model = openModelApi(
    config.model ?? {
      baseUrl: demo?.url ?? '',
      credential: { kind: 'api-key', secret: 'demo' },
    },
  );
  const store = new Store(join(config.storeDir, 'nanoclaw.db'));
  // Last: whoever attaches from now on must find the channel listening.
  const socket = await claimSocket(config.socketPath, store);
  const host = new Host({ config, limits, clock, log, store }, { socket, runtime, model, demo });
  await host.start();
  return host;
}

/** Tells the containers of one state folder from those of another. */
function instanceOf(config: Config): string {
  return createHash('sha256').update(config.homeDir).digest('hex').slice(0, 8);
}

/** A container like an agent's, but with nothing of anyone in it. */
function probeSpec(config: Config, limits: Limits): Omit<ContainerSpec, 'command'> {
  return {
    name: `nanoclaw-${instanceOf(config)}-probe`,
    uid: probeUid,
    mounts: [],
    env: {},
    workDir: '/',
    limits: limits.container,
  };
}

export class Host {
  readonly #base: Base;
  readonly #surroundings: Surroundings;
  readonly #runner: RunnerDependencies;
  readonly #outbox: Outbox;
  readonly #turns: Turns;
  readonly #queue: GroupQueue;
  readonly #router: Router;
  readonly #channels: Channel[];
  readonly #settled = new EventEmitter<{ settled: [ChatId] }>().setMaxListeners(0);
  #cancelSweep = () => {};

  constructor(base: Base, surroundings: Surroundings) {
    const { store, config, clock } = base;
    this.#base = base;
    this.#surroundings = surroundings;
    this.#outbox = new Outbox({
      ...base,
      channelOf: (chatId) => channelOf(this.#channels, chatId),
      delivered: (chatId) => this.#settled.emit('settled', chatId),
      refused: ({ chatId }, reason) => this.#reportRefusal(chatId, reason),
    });
    const effects = new Effects({
      ...base,
      outbox: this.#outbox,
      showActivity: (agent, text) => this.#showActivity(agent, text),
      turnEnded: (turn, end) => this.#turns.end(turn, end),
    });
    this.#runner = {
      ...base,
      ...surroundings,
      instance: instanceOf(config),
      effectOf: (speaker, file) => effects.of(speaker, file),
    };
    this.#turns = new Turns({
      ...base,
      outbox: this.#outbox,
      loadAgent: (agentId) => this.#loadAgent(agentId),
      startRun: (agent, start) => new Run(this.#runner, agent, start),
      showActivity: (agent, text) => this.#showActivity(agent, text),
      released: (agentId) => this.#queue.release(agentId),
    });
    this.#queue = new GroupQueue({
      clock,
      slotsMax: base.limits.containersMax,
      run: (agentId) => this.#turns.take(agentId),
      nudge: (agentId) => this.#turns.nudge(agentId),
      isWarm: (agentId) => this.#turns.isWarm(agentId),
      idleTimeoutMs: base.limits.idleTimeoutMs,
      evict: (agentId, reason) => this.#turns.evict(agentId, reason),
      failed: (agentId, error) => base.log.error({ err: error, agentId }, 'a turn broke'),
      settled: (agentId) => this.#settled.emit('settled', this.#loadAgent(agentId).group.chatId),
    });
    const commands = new Commands({
      assistantName: config.assistantName,
      turns: this.#turns,
      queue: this.#queue,
      describeHost: () => this.describe(),
    });
    this.#router = new Router({
      ...base,
      outbox: this.#outbox,
      commands,
      wake: (agentId) => this.#queue.enqueue(agentId),
    });
    const { socket } = surroundings;
    this.#channels = createChannels({ host: this.#channelHost(), config, log: base.log, socket });
    if (!findMainGroup(store))
      openGroup(store, clock, { folder: 'main', chatId: 'terminal:main', name: 'main' }, true);
  }

  /** Whether the built-in demo model answers instead of Claude. */
  get isDemo(): boolean {
    return this.#surroundings.demo !== null;
  }

  /** First what a dead host left, then the channels, then the work that waits. */
  async start(): Promise<void> {
    const { store, log } = this.#base;
    const { runtime } = this.#surroundings;
    const reaped = await runtime.reap(this.#runner.instance);
    if (reaped > 0) log.warn({ reaped }, 'containers of a dead host were removed');
    await settleRuns({ ...this.#runner, findAgent: (agentId) => this.#findAgent(agentId) });
    for (const channel of this.#channels) await channel.connect();
    this.#outbox.flushAll();
    for (const agentId of recoverTurns(store)) this.#queue.enqueue(agentId);
    this.#cancelSweep = sweepRegularly(this.#base);
    log.info({ runtime: runtime.name, isDemo: this.isDemo }, 'started');
  }

  async stop(): Promise<void> {
    const { log, store } = this.#base;
    this.#cancelSweep();
    this.#queue.close();
    await this.#turns.shutdown();
    this.#outbox.close();
    for (const channel of this.#channels) await channel.disconnect();
    await this.#surroundings.demo?.close();
    store.close();
    log.info('stopped');
    log.flush();
  }

  /** Runtime, model, channels, and where the state lies: a line each. */
  describe(): string[] {
    const { runtime, model, demo } = this.#surroundings;
    return [
      `runtime   ${runtime.describe()}`,
      demo
        ? 'model     the built-in DEMO MODEL, not Claude: no credential was found'
        : `model     ${new URL(model.baseUrl).host}, with your ${model.credential.kind}`,
      `channels  ${this.#channels.map((channel) => channel.describe()).join(', ')}`,
      `state     ${this.#base.config.homeDir}`,
    ];
  }

  #channelHost(): ChannelHost {
    const { store, clock, config } = this.#base;
    return {
      assistantName: config.assistantName,
      receive: (messages) => this.#router.receive(messages),
      available: (chatId) => (chatId ? this.#outbox.flush(chatId) : this.#outbox.flushAll()),
      openGroup: (request) => openGroup(store, clock, request),
      settled: (chatId) => settledState(store, chatId, (agentId) => this.#queue.isBusy(agentId)),
      onSettled: (listener) => {
        this.#settled.on('settled', listener);
        return () => this.#settled.off('settled', listener);
      },
    };
  }

  #findAgent(agentId: string): Agent | undefined {
    const group = findGroup(this.#base.store, agentId);
    return group && { id: agentId, group };
  }

  #loadAgent(agentId: string): Agent {
    const agent = this.#findAgent(agentId);
    if (!agent) throw new Error(`there is no agent ${agentId}`);
    return agent;
  }

  #showActivity(agent: Agent, text: string | null): void {
    const { chatId } = agent.group;
    channelOf(this.#channels, chatId)?.showActivity(chatId, text);
  }

  /** The owner hears of what could not be said elsewhere. */
  #reportRefusal(chatId: ChatId, reason: string): void {
    const { log, store } = this.#base;
    log.error({ chatId, reason }, 'the server refused a message');
    const main = findMainGroup(store);
    if (!main || main.chatId === chatId) return;
    this.#outbox.add(main.chatId, `A message to ${chatId} was refused: ${reason}`);
    this.#outbox.flush(main.chatId);
  }
}
