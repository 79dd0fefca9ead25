/**
 * The orchestrator: the only place that constructs. Starts all parts in order and stops them in
 * reverse. A message passes channel, router, store, queue, turn and container; its answer passes
 * ipc, outbox and channel.
 */
import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { Agents } from './agents.ts';
import { Approvals } from './approvals.ts';
import { channelOf, loadChannels } from './channels.ts';
import { systemClock } from './clock.ts';
import { createCommands } from './commands.ts';
import { type Config, type Limits, limitsFor, type ModelAccess } from './config.ts';
import { Run, type RunnerDependencies } from './container-runner.ts';
import { findAgent, findAgentByInbox, listAgents } from './db/agents.ts';
import { findMainGroup, listGroups, noteChat, saveGroup } from './db/groups.ts';
import { migrations } from './db/migrations.ts';
import type { Turn } from './db/turns.ts';
import { Store } from './db.ts';
import { effectOf } from './effects.ts';
import { Ledger } from './egress/ledger.ts';
import { openModelApi } from './egress/model-api.ts';
import { noWeb, Web } from './egress/web.ts';
import type { Feature, Parts } from './feature.ts';
import { features as allFeatures } from './features.ts';
import { GroupQueue } from './group-queue.ts';
import { mainGroup, reopenGroup, settledState } from './groups.ts';
import { loadInstructions, startFile } from './instructions.ts';
import { openLog } from './log.ts';
import { type LossDependencies, noteLoss, tellLosses } from './losses.ts';
import { Media } from './media.ts';
import { prepareMemory } from './memory.ts';
import { Outbox } from './outbox.ts';
import { createOwner } from './owner.ts';
import { recover } from './recovery.ts';
import { keepReserve } from './reserve.ts';
import { Router } from './router.ts';
import { detectRuntime, hiddenPaths, proveSealed } from './runtimes/container-runtime.ts';
import { claimSocket, prepareState, refuseSecond } from './state-folders.ts';
import { Tools } from './tools.ts';
import { Turns } from './turn.ts';
import type { TurnEnd } from './turn-end.ts';
import type { Channel, ChannelHost, ChatId, Clock, Group, Owner } from './types.ts';

/**
 * Starts everything, and resolves when the host takes messages. Rejects with UserError, which says
 * what to do, when another host runs, when there is no container runtime, or when the runtime does
 * not isolate its containers.
 */
export async function startHost(
  config: Config,
  access: ModelAccess,
  options: HostOptions = {},
): Promise<Host> {
  const host = new Host(await layFoundation(config, access, options));
  try {
    await host.start();
  } catch (error) {
    // Otherwise its socket would look like a running host.
    await host.stop();
    throw error;
  }
  return host;
}

type Foundation = Awaited<ReturnType<typeof layFoundation>>;

interface HostOptions {
  limits?: Limits;
  features?: readonly Feature[];
  clock?: Clock;
}

async function layFoundation(
  config: Config,
  access: ModelAccess,
  {
    limits = limitsFor({ memoryBytes: totalmem(), processors: availableParallelism() }),
    features = allFeatures,
    clock = systemClock,
  }: HostOptions,
) {
  prepareState(config);
  await refuseSecond(config.socketPath);
  keepReserve(config.storeDir, limits);
  const log = await openLog(config);
  prepareMemory(config, log);
  const instructions = loadInstructions(config);
  const runtime = await detectRuntime(config.runtime, config.projectDir, process.env);
  // Tells the containers of this state folder from those of others.
  const instance = createHash('sha256').update(config.homeDir).digest('hex').slice(0, 8);
  const name = `nanoclaw-${instance}-probe`;
  await proveSealed(runtime, { name, limits: limits.container, hidden: hiddenPaths(config) });
  const model = openModelApi(access);
  const store = new Store(join(config.storeDir, 'nanoclaw.db'), migrations, features, (error) =>
    log.error({ err: error }, error.message),
  );
  const createChannels = await loadChannels(config);
  // Last, because terminals can connect from now on.
  const socket = await claimSocket(config.socketPath, store);
  return {
    config,
    limits,
    clock,
    log,
    store,
    socket,
    runtime,
    instance,
    model,
    features,
    instructions,
    createChannels,
  };
}

export class Host {
  readonly #base: Foundation;
  readonly #outbox: Outbox;
  readonly #owner: Owner;
  readonly #losses: LossDependencies;
  readonly #ledger: Ledger;
  readonly #parts: Parts[];
  readonly #runner: RunnerDependencies;
  readonly #turns: Turns;
  readonly #queue: GroupQueue;
  readonly #router: Router;
  readonly #channels: Channel[];
  readonly #events = new EventEmitter<{ settled: [ChatId] }>();
  readonly #channelOf = (chatId: ChatId) => channelOf(this.#channels, chatId);

  constructor(base: Foundation) {
    this.#base = base;
    this.#outbox = this.#createOutbox();
    const shared = { ...base, outbox: this.#outbox, wake: (id: string) => this.#queue.enqueue(id) };
    this.#owner = createOwner(shared);
    this.#ledger = new Ledger(base);
    const agents = new Agents({ ...shared, owner: this.#owner, channelOf: this.#channelOf });
    this.#losses = { ...base, agents, owner: this.#owner };
    const approvals = new Approvals({
      ...shared,
      agents,
      findCommand: (name) => commands.find((command) => command.name === name),
    });
    const web = new Web(noWeb);
    this.#queue = this.#createQueue();
    this.#router = new Router({
      ...shared,
      owner: this.#owner,
      media: new Media(base),
      findCommand: (message) => findCommand(message),
    });
    this.#turns = new Turns({
      ...base,
      agents,
      queue: this.#queue,
      router: this.#router,
      withdraw: (agentId) => this.#outbox.withdraw(agentId),
      startRun: (agent) => new Run(this.#runner, agent, startFile(agent, surroundings)),
      showTaken: (messages) => this.#channelOf(messages[0]?.chatId ?? '')?.showTaken?.(messages),
    });
    const featureHost = {
      ...base,
      agents,
      owner: this.#owner,
      approvals,
      web,
      ledger: this.#ledger,
      work: this.#turns,
      describe: () => this.describe(),
      status: (group: Group) => this.#parts.flatMap((part) => part.status?.(group) ?? []),
      reach: (group: Group) => this.#parts.flatMap((part) => part.reach?.(group) ?? []),
      retention: () => this.#parts.flatMap((part) => part.retention ?? []),
    };
    this.#parts = base.features.map((feature) => feature.create(featureHost));
    web.policy = this.#parts.find((part) => part.webPolicy)?.webPolicy ?? noWeb;
    const commands = this.#parts.flatMap((part) => part.commands ?? []);
    const findCommand = createCommands(base, commands, approvals.findAnswer);
    const tools = new Tools(this.#parts.flatMap((part) => part.tools ?? []));
    const surroundings = { ...base, tools, features: this.#parts };
    const effects = {
      ...base,
      agents,
      tools,
      turnEnded: (turn: Turn, end: TurnEnd) => this.#turns.end(turn, end),
    };
    this.#runner = {
      ...base,
      web,
      ledger: this.#ledger,
      effectOf: (speaker, file) => effectOf(effects, speaker, file),
      moreMounts: (agent) => this.#parts.flatMap((part) => part.mounts?.(agent) ?? []),
    };
    this.#channels = base.createChannels({ ...base, host: this.#channelHost() });
  }

  /** Recovers from a crash, then starts channels and features, then the work that waits. */
  async start(): Promise<void> {
    const { store, log, runtime, instance } = this.#base;
    const reaped = await runtime.reap(instance);
    await recover(this.#runner);
    if (!findMainGroup(store)) saveGroup(store, mainGroup);
    for (const channel of this.#channels) await channel.connect();
    for (const part of this.#parts) part.start?.();
    this.#outbox.flushAll();
    for (const { id } of listAgents(store)) this.#queue.enqueue(id);
    this.#queue.open();
    log.info({ reaped, host: this.describe() }, 'started');
  }

  async stop(): Promise<void> {
    const { log, store, model } = this.#base;
    this.#queue.close();
    await this.#turns.shutdown();
    for (const part of this.#parts) part.stop?.();
    this.#outbox.close();
    this.#ledger.close();
    for (const channel of this.#channels) await channel.disconnect();
    await model.close?.();
    store.close();
    log.info('stopped');
    log.flush();
  }

  /** One line each about runtime, model, channels and state folder. */
  describe(): string[] {
    const { runtime, config, model } = this.#base;
    const { host } = new URL(model.baseUrl);
    return [
      `runtime   ${runtime.describe()}`,
      `model     ${model.label ?? `${host}, with your ${model.credential.kind}`}`,
      `channels  ${this.#channels.map((channel) => channel.describe()).join(', ')}`,
      `state     ${config.homeDir}`,
    ];
  }

  #createOutbox(): Outbox {
    return new Outbox({
      ...this.#base,
      channelOf: this.#channelOf,
      leaving: (message) => {
        for (const channel of this.#channels) channel.mirror?.(message);
      },
      delivered: (chatId) => tellLosses(this.#losses, chatId),
      refused: (message, reason) => noteLoss(this.#losses, message, reason),
      ended: (chatId) => this.#events.emit('settled', chatId),
    });
  }

  #createQueue(): GroupQueue {
    const { store, clock, limits, log } = this.#base;
    return new GroupQueue({
      clock,
      slotsMax: limits.containersMax,
      idleTimeoutMs: limits.idleTimeoutMs,
      run: (agentId) => this.#turns.take(agentId),
      nudge: (agentId) => this.#turns.nudge(agentId),
      isWarm: (agentId) => this.#turns.isWarm(agentId),
      warm: (agentId) => this.#turns.warm(agentId),
      evict: (agentId, reason) => this.#turns.evict(agentId, reason),
      isFirst: (agentId) => {
        const agent = findAgent(store, agentId);
        return agent?.group.isMain === true && agent.group.chatId === agent.inbox;
      },
      failed: (agentId, error) => log.error({ err: error, agentId }, 'a turn broke'),
      settled: (agentId) => {
        const chatId = findAgent(store, agentId)?.group.chatId;
        if (chatId) this.#events.emit('settled', chatId);
      },
    });
  }

  #channelHost(): ChannelHost {
    const { store, config } = this.#base;
    return {
      assistantName: config.assistantName,
      owner: this.#owner,
      receive: (messages) => this.#router.receive(messages),
      isCommand: (message) => this.#router.isCommand(message),
      amend: (amendment) => this.#router.amend(amendment),
      listRegistered: () => listGroups(store).flatMap(({ chatId }) => chatId ?? []),
      noteChat: (chatId, name, atMs) =>
        store.transaction(() => noteChat(store, chatId, name, atMs), { flush: false }),
      expectMessage: (chatId) => {
        const agent = findAgentByInbox(store, chatId);
        if (agent) this.#queue.warm(agent.id);
      },
      available: (chatId) => (chatId ? this.#outbox.flush(chatId) : this.#outbox.flushAll()),
      openGroup: (request) => reopenGroup(store, request),
      settled: (chatId, isMirror) => {
        const isBusy = (agentId: string) => this.#queue.isBusy(agentId);
        return settledState(store, chatId, { isBusy, isMirror });
      },
      onSettled: (listener) => void this.#events.on('settled', listener),
    };
  }
}
