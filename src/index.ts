/**
 * The composition root: the only place that constructs. A message goes channel, router, store,
 * queue, turn, container, and its answer ipc, outbox, channel.
 */
import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { channelOf, loadChannels } from './channels.ts';
import { systemClock } from './clock.ts';
import { createCommands } from './commands.ts';
import { type Config, defaultLimits, type Limits, type ModelAccess } from './config.ts';
import { Run, type RunnerDependencies } from './container-runner.ts';
import {
  findGroup,
  findGroupByChat,
  findMainGroup,
  listGroups,
  noteChat,
  saveGroup,
} from './db/groups.ts';
import { Store } from './db.ts';
import { type EffectDependencies, effectOf } from './effects.ts';
import { Ledger } from './egress/ledger.ts';
import { openModelApi } from './egress/model-api.ts';
import { Web } from './egress/web.ts';
import { mountCommands } from './features/mounts/commands.ts';
import { extraMountsFor } from './features/mounts/extra-mounts.ts';
import { webCommands } from './features/web/commands.ts';
import { GroupQueue } from './group-queue.ts';
import { loadAgent, mainGroup, openGroup, settledState } from './groups.ts';
import { sweepRegularly } from './housekeeping.ts';
import { openLog } from './log.ts';
import { Outbox } from './outbox.ts';
import { recover } from './recovery.ts';
import { amend, type RouterDependencies, receive } from './router.ts';
import { detectRuntime, selfTest } from './runtimes/container-runtime.ts';
import { claimSocket, placeTemplates, prepareState } from './state-folders.ts';
import { Turns } from './turn.ts';
import type { Agent, Channel, ChannelHost, ChatId, StoredMessage } from './types.ts';

/**
 * Starts everything. Throws UserError with the remedy where it cannot: another host runs,
 * no container runtime, a runtime that does not seal.
 */
export async function startHost(
  config: Config,
  access: ModelAccess,
  limits = defaultLimits,
): Promise<Host> {
  const host = new Host(await layFoundation(config, access, limits));
  try {
    await host.start();
  } catch (error) {
    // Or its socket would pass for a host that runs.
    await host.stop();
    throw error;
  }
  return host;
}

type Foundation = Awaited<ReturnType<typeof layFoundation>>;

async function layFoundation(config: Config, access: ModelAccess, limits: Limits) {
  prepareState(config);
  const log = await openLog(config);
  placeTemplates(config, log);
  const runtime = await detectRuntime(config.runtime, config.projectDir, process.env);
  // Tells the containers of this state folder from those of another.
  const instance = createHash('sha256').update(config.homeDir).digest('hex').slice(0, 8);
  const probe = {
    name: `nanoclaw-${instance}-probe`,
    // Below those of the groups.
    uid: 199_999,
    mounts: [],
    env: {},
    workDir: '/',
    limits: limits.container,
  };
  const secrets = [config.storeDir, config.dataDir, join(config.projectDir, '.env')];
  await selfTest(runtime, probe, secrets);
  const model = openModelApi(access);
  const store = new Store(join(config.storeDir, 'nanoclaw.db'));
  const createChannels = await loadChannels(config);
  // Last: whoever attaches from now on must find the channel listening.
  const socket = await claimSocket(config.socketPath, store);
  const clock = systemClock;
  const parts = { config, limits, clock, log, store, socket, runtime, instance, model };
  return { ...parts, createChannels };
}

export class Host {
  readonly #base: Foundation;
  readonly #runner: RunnerDependencies;
  readonly #outbox: Outbox;
  readonly #ledger: Ledger;
  readonly #turns: Turns;
  readonly #queue: GroupQueue;
  readonly #router: RouterDependencies;
  readonly #channels: Channel[];
  readonly #events = new EventEmitter<{ settled: [ChatId] }>();
  readonly #refusedMounts = new Set<string>();
  #cancelSweep = () => {};

  constructor(base: Foundation) {
    const { store, clock, limits, log } = base;
    this.#base = base;
    this.#outbox = new Outbox({
      ...base,
      channelOf: (chatId) => channelOf(this.#channels, chatId),
      leaving: (message) => {
        for (const channel of this.#channels) channel.mirror?.(message);
      },
      delivered: (chatId) => this.#events.emit('settled', chatId),
      refused: ({ chatId }, reason) => this.#reportRefusal(chatId, reason),
    });
    const shared = {
      ...base,
      outbox: this.#outbox,
      showActivity: ({ group: { chatId } }: Agent, text: string | null) =>
        channelOf(this.#channels, chatId)?.showActivity(chatId, text),
      showTaken: (messages: StoredMessage[]) =>
        channelOf(this.#channels, messages[0]?.chatId ?? '')?.showTaken?.(messages),
      tellOwner: (text: string) => this.#tellOwner(text),
    };
    const effects: EffectDependencies = {
      ...shared,
      turnEnded: (turn, end) => this.#turns.end(turn, end),
    };
    this.#ledger = new Ledger(base);
    const way = { web: new Web(shared), ledger: this.#ledger };
    this.#runner = {
      ...base,
      ...way,
      effectOf: (speaker, file) => effectOf(effects, speaker, file),
      moreMounts: ({ group }) =>
        extraMountsFor(base, group.folder, (source, reason) => this.#reportMount(source, reason)),
    };
    this.#turns = new Turns({
      ...shared,
      loadAgent: (agentId) => loadAgent(store, agentId),
      startRun: (agent, start) => new Run(this.#runner, agent, start),
      released: (agentId) => this.#queue.release(agentId),
    });
    this.#queue = new GroupQueue({
      clock,
      slotsMax: limits.containersMax,
      idleTimeoutMs: limits.idleTimeoutMs,
      run: (agentId) => this.#turns.take(agentId),
      nudge: (agentId) => this.#turns.nudge(agentId),
      isWarm: (agentId) => this.#turns.isWarm(agentId),
      warm: (agentId) => this.#turns.warm(agentId),
      evict: (agentId, reason) => this.#turns.evict(agentId, reason),
      failed: (agentId, error) => log.error({ err: error, agentId }, 'a turn broke'),
      settled: (agentId) => this.#events.emit('settled', loadAgent(store, agentId).group.chatId),
    });
    const findCommand = createCommands({
      ...base,
      turns: this.#turns,
      queue: this.#queue,
      describeHost: () => this.describe(),
      more: [
        ...mountCommands({ ...base, turns: this.#turns }),
        ...webCommands({ ...base, ...way }),
      ],
    });
    this.#router = {
      ...shared,
      findCommand,
      wake: (agentId) => this.#queue.enqueue(agentId),
    };
    this.#channels = base.createChannels({ ...base, host: this.#channelHost() });
  }

  /** First what a dead host left, then the channels, then the work that waits. */
  async start(): Promise<void> {
    const { store, log, runtime, instance } = this.#base;
    const reaped = await runtime.reap(instance);
    await recover(this.#runner);
    if (!findMainGroup(store)) saveGroup(store, mainGroup);
    for (const channel of this.#channels) await channel.connect();
    this.#outbox.flushAll();
    for (const { folder } of listGroups(store)) this.#queue.enqueue(folder);
    this.#cancelSweep = sweepRegularly(this.#base);
    log.info({ reaped, host: this.describe() }, 'started');
  }

  async stop(): Promise<void> {
    const { log, store, model } = this.#base;
    this.#cancelSweep();
    this.#queue.close();
    await this.#turns.shutdown();
    this.#outbox.close();
    this.#ledger.close();
    for (const channel of this.#channels) await channel.disconnect();
    await model.close?.();
    store.close();
    log.info('stopped');
    log.flush();
  }

  /** Runtime, model, channels, and where the state lies: a line each. */
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

  #channelHost(): ChannelHost {
    const { store, config } = this.#base;
    const folderOf = (chatId: ChatId) => findGroupByChat(store, chatId)?.folder;
    return {
      assistantName: config.assistantName,
      receive: (messages) => receive(this.#router, messages),
      amend: (amendment) => amend(this.#router, amendment),
      listRegistered: () => listGroups(store).map(({ chatId }) => chatId),
      noteChat: (chatId, name, atMs) => noteChat(store, chatId, name, atMs),
      expectMessage: (chatId) => {
        const folder = folderOf(chatId);
        if (folder) this.#queue.warm(folder);
      },
      tellOwner: (text) => this.#tellOwner(text),
      available: (chatId) => (chatId ? this.#outbox.flush(chatId) : this.#outbox.flushAll()),
      openGroup: (request) => findGroup(store, request.folder) ?? openGroup(store, request),
      settled: (chatId, isMirror) => {
        const isBusy = (agentId: string) => this.#queue.isBusy(agentId);
        return settledState(store, chatId, { isBusy, isMirror });
      },
      onSettled: (listener) => void this.#events.on('settled', listener),
    };
  }

  #reportRefusal(chatId: ChatId, reason: string): void {
    const { log, store } = this.#base;
    log.error({ chatId, reason }, 'the server refused a message');
    // Main's own would be refused again, and so on for ever.
    if (findMainGroup(store)?.chatId !== chatId)
      this.#tellOwner(`A message to ${chatId} was refused: ${reason}`);
  }

  /** To the owner once, not at every start of a container. */
  #reportMount(source: string, reason: string): void {
    this.#base.log.warn({ source, reason }, 'a folder is not lent');
    if (!this.#refusedMounts.has(source)) this.#tellOwner(reason);
    this.#refusedMounts.add(source);
  }

  #tellOwner(text: string): void {
    const main = findMainGroup(this.#base.store);
    if (!main) return;
    this.#outbox.add(main.chatId, text);
    this.#outbox.flush(main.chatId);
  }
}
